"""Keeps the certificates: in the Secret, in this process, and the authority in the webhook's configuration.

Every replica reads; a Secret that is not there may be made by any (the first wins), and is renewed by the one that
leads. Whoever keeps the Secret tells the API server, too. A Secret of cert-manager's is only read, and the authority is
its cainjector's; until it has issued into the Secret, and again once its Certificate is gone, both are ours.

The API server is asked about two or three objects every few seconds, which is cheaper than a watch that has to be kept
alive, and just as good: renewal is a matter of days. A new connection to the webhook is a reason to ask at once: it may
be refused, because the API server knows an authority already whose certificate we have not read yet. It tries again.
"""

import asyncio
import base64
import binascii
import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from extension_server.controller.client import Api, ApiError, Document, Resource
from extension_server.controller.token_key import SECRETS
from extension_server.webhook import cert_manager, certificates
from extension_server.webhook.admission import NotKnown
from extension_server.webhook.certificates import Bundle, Names, Unusable

CONFIGURATIONS: Final = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    namespaced=False,
)
PERIOD: Final = 10.0
"""Seconds between two looks."""
SOON: Final = 0.5
"""Seconds, until everything is in its place after a start, or others have put it there; and the least at all."""
_EARLY_LOOKS: Final = 30
_log = logging.getLogger(__name__)


class Keeper:
    def __init__(
        self,
        api: Api,
        namespace: str,
        secret: str,
        configuration: str,
        hosts: Sequence[str],
        now: Callable[[], datetime],
        *,
        names: Names | None = None,
        leads: Callable[[], bool] = lambda: True,
        period: float = PERIOD,
    ) -> None:
        """`configuration`: name of the MutatingWebhookConfiguration. `hosts`: see `certificates.renewed`."""
        self._api = api
        self._namespace = namespace
        self._secret = secret
        self._configuration = configuration
        self._hosts = hosts
        self._now = now
        self._names = names or Names()
        self._leads = leads
        self._period = period
        self._bundle: Bundle | None = None
        self._context: ssl.SSLContext | None = None
        self._listeners: list[Callable[[Bundle], None]] = []
        self._said = ""
        self._settled = False
        self._connected = asyncio.Event()
        self._is_theirs = False
        """cert-manager keeps the Secret"""
        self._injected: list[str | None] = []
        """what its cainjector had written when we last looked"""
        self._registrations: list[Callable[[], None]] = []
        self.registered: datetime | None = None
        """Since when the API server knows the webhook and trusts it, as far as is seen here: None while it does not.
        It may have been without it for a moment between two looks, so what counts is when it came to know it."""
        self.ready = asyncio.Event()
        """There is a certificate."""

    def subscribe(self, listener: Callable[[Bundle], None]) -> None:
        """Called with each new bundle."""
        self._listeners.append(listener)

    def subscribe_registration(self, listener: Callable[[], None]) -> None:
        """Called whenever `registered` changes."""
        self._registrations.append(listener)

    def bundle(self) -> Bundle:
        """Raises NotKnown."""
        if self._bundle is None:
            raise NotKnown(f"Secret {self._namespace}/{self._secret} with its certificate is not there yet")
        return self._bundle

    def authorities(self) -> str:
        """PEM. Raises NotKnown."""
        return self.bundle().authorities.decode("ascii", "replace")

    def context(self) -> ssl.SSLContext:
        """For a TLS server, for each connection. Raises NotKnown."""
        self._connected.set()
        bundle = self.bundle()
        if self._context is None:
            self._context = _context(bundle)
        return self._context

    async def run(self) -> None:
        """Until cancelled."""
        early = _EARLY_LOOKS
        while True:
            self._connected.clear()
            try:
                await self.look()
            except ApiError as exc:
                self._say(f"certificates: {exc}")
            early = 0 if self._settled else max(early - 1, 0)
            soon = min(SOON, self._period)
            await asyncio.sleep(soon)
            if not early:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._period - soon):
                        await self._connected.wait()

    async def look(self) -> None:
        """Once. Raises ApiError."""
        document = await self._current()
        if document is not None:
            self._take(document)
        if self._bundle is not None and self._leads():
            await self._tell_api_server(self._bundle)

    async def _current(self) -> Document | None:
        try:
            document = await self._api.get(SECRETS, self._namespace, self._secret)
        except ApiError as exc:
            if not exc.not_found:
                raise
            if not await self._is_injected():
                return await self._make()
            self._say(f"Secret {self._namespace}/{self._secret} is not there yet; cert-manager is to make it")
            return None
        self._is_theirs = await self._is_kept(document)
        if self._is_theirs:
            return document
        data = _data(document)
        wanted = certificates.renewed(data, self._names, self._hosts, self._now())
        # A Secret that nobody can use is mended by whoever sees it; one that only grows old, by the leader.
        if wanted is None or not (self._leads() or not self._usable(data)):
            return document
        return await self._write(document, wanted)

    def _usable(self, data: dict[str, bytes]) -> bool:
        try:
            certificates.read(data, self._names)
        except Unusable:
            return False
        return True

    async def _is_kept(self, document: Document) -> bool:
        """By cert-manager. Its mark stays on the Secret when it is not any more."""
        name = cert_manager.certificate(document)
        if name is None or await cert_manager.exists(self._api, self._namespace, name):
            return name is not None
        if not await self._is_injected():
            return False
        # The next Certificate is on its way, or whoever took this one away has to say what is to be instead.
        where = f"Secret {self._namespace}/{self._secret}"
        self._say(f"{where} is cert-manager's, and its Certificate {name} does not exist: nobody renews it")
        return True

    async def _is_injected(self) -> bool:
        """cert-manager is to tell the API server its authority, so the Secret is to be its own, too."""
        try:
            document = await self._api.get(CONFIGURATIONS, None, self._configuration)
        except ApiError as exc:
            if not exc.not_found:
                raise
            return False
        return cert_manager.is_injected(document)

    async def _make(self) -> Document | None:
        wanted = certificates.renewed({}, self._names, self._hosts, self._now())
        assert wanted is not None  # of nothing
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._secret, "namespace": self._namespace},
            "type": "Opaque",
            "data": _encoded(wanted),
        }
        try:
            made = await self._api.create(SECRETS, document)
        except ApiError as exc:
            if exc.conflict:
                return None  # another replica was faster: it is read with the next look
            raise
        _log.info("made certificates in Secret %s/%s", self._namespace, self._secret)
        return made

    async def _write(self, document: Document, wanted: dict[str, bytes]) -> Document | None:
        try:
            written = await self._api.replace(SECRETS, {**document, "data": _encoded(wanted)})
        except ApiError as exc:
            if exc.conflict or exc.not_found:
                return None
            raise
        _log.info("renewed certificates in Secret %s/%s", self._namespace, self._secret)
        return written

    def _take(self, document: Document) -> None:
        try:
            found = certificates.read(_data(document), self._names)
        except Unusable as exc:
            self._say(f"Secret {self._namespace}/{self._secret} {exc}; the last good certificate stays")
            return
        if found == self._bundle:
            return
        self._bundle, self._context = found, None
        self._said = ""
        _log.info("certificate of %s until %s", self._hosts[0], f"{found.expires():%Y-%m-%d %H:%M} UTC")
        self.ready.set()
        for listener in self._listeners:
            listener(found)

    async def _tell_api_server(self, bundle: Bundle) -> None:
        try:
            document = await self._api.get(CONFIGURATIONS, None, self._configuration)
        except ApiError as exc:
            if not exc.not_found:
                raise
            self._say(f"MutatingWebhookConfiguration {self._configuration} is not there: no pod gets the filter")
            self._registers(None)
            return
        since = datetime.fromisoformat(document["metadata"]["creationTimestamp"])
        hooks = document.get("webhooks") or []
        told = [hook["clientConfig"].get("caBundle") for hook in hooks]
        injected = cert_manager.is_injected(document)
        if injected and self._is_theirs:
            self._read_injected(told, since)
            return
        wanted = base64.b64encode(bundle.authorities).decode()
        if all(each == wanted for each in told):
            self._settled = not injected  # else the Secret is about to change hands
            self._registers(since)
            return
        changed = [{**hook, "clientConfig": {**hook["clientConfig"], "caBundle": wanted}} for hook in hooks]
        try:
            await self._api.replace(CONFIGURATIONS, {**document, "webhooks": changed})
        except ApiError as exc:
            if not exc.conflict:
                raise
        else:
            _log.info("told the API server the authority of %s", self._configuration)
            self._registers(self._now())

    def _read_injected(self, told: list[str | None], since: datetime) -> None:
        before, self._injected = self._injected, told
        if not all(told):
            self._say(
                f"cert-manager's cainjector has not told the API server the authority of {self._configuration} yet"
            )
            self._registers(None)
            return
        self._settled = True
        self._registers(since if before in ([], told) else self._now())

    def _registers(self, since: datetime | None) -> None:
        before = self.registered
        if before is not None and since is not None:
            since = max(before, since)
        if since == before:
            return
        self.registered = since
        for listener in self._registrations:
            listener()

    def _say(self, text: str) -> None:
        """Each trouble once, not with every look."""
        if text != self._said:
            self._said = text
            _log.warning("%s", text)


def _data(document: Document) -> dict[str, bytes]:
    found = {}
    for key, value in (document.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            continue
    return found


def _encoded(data: dict[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in data.items()}


def _context(bundle: Bundle) -> ssl.SSLContext:
    """Python takes certificates from files only; this one is in memory and has no name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    file = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(file, bundle.key.rstrip(b"\n") + b"\n" + bundle.certificate)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context
