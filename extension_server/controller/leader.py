"""Which replica writes: a Lease, held as client-go does, so that it can change hands with other controllers' too.

Only the clock of this process counts: a holder is late when its Lease has not changed for as long as it said, since we
saw it change.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final

from extension_server.controller.client import Api, ApiError, Document, Resource

LEASE: Final = "envoy-ai-gateway-controller"
LEASES: Final = Resource("coordination.k8s.io", "v1", "Lease", "leases")

_log = logging.getLogger(__name__)


class Elector:
    def __init__(
        self,
        api: Api,
        namespace: str,
        identity: str,
        now: Callable[[], datetime],
        *,
        duration: float = 15.0,
        deadline: float = 10.0,
        retry: float = 2.0,
    ) -> None:
        """`duration`: seconds that a Lease lasts; `deadline`: after so long without renewal we stop writing;
        `retry`: between tries. Defaults are controller-runtime's."""
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._now = now
        self._duration = duration
        self._deadline = deadline
        self._retry = retry
        self._seen: tuple[str, float] | None = None
        """resource version of somebody else's Lease, and when we saw it first"""

    @contextlib.asynccontextmanager
    async def leading(self) -> AsyncIterator[asyncio.Event]:
        """Waits until this replica leads. The event is set when it does not any more; on leaving, the Lease is given
        back, so that the next one need not wait."""
        held = await self._acquire()
        _log.info("leading as %s", self._identity)
        lost = asyncio.Event()
        renewal = asyncio.create_task(self._renew(held, lost), name="lease renewal")
        try:
            yield lost
        finally:
            renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewal
            if not lost.is_set():
                await self._release()

    async def _acquire(self) -> Document:
        while True:
            try:
                held = await self._try()
            except ApiError as exc:
                if not exc.conflict:
                    _log.warning("leader election: %s", exc)
                held = None
            if held is not None:
                return held
            await asyncio.sleep(self._retry)

    async def _try(self) -> Document | None:
        """Raises ApiError."""
        try:
            lease = await self._api.get(LEASES, self._namespace, LEASE)
        except ApiError as exc:
            if not exc.not_found:
                raise
            return await self._api.create(LEASES, self._document(None))
        holder = lease["spec"].get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._late(lease):
            return None
        return await self._api.replace(LEASES, self._document(lease))

    def _late(self, lease: Document) -> bool:
        time = asyncio.get_running_loop().time()
        version = lease["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, time)
        return time - self._seen[1] > float(lease["spec"].get("leaseDurationSeconds") or self._duration)

    async def _renew(self, held: Document, lost: asyncio.Event) -> None:
        """Until cancelled, or lost."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while loop.time() - renewed < self._deadline:
            await asyncio.sleep(self._retry)
            try:
                held = await self._api.replace(LEASES, self._document(held))
                renewed = loop.time()
            except ApiError as exc:
                _log.warning("lease renewal: %s", exc)
                if exc.conflict or exc.not_found:
                    with contextlib.suppress(ApiError):
                        lease = await self._api.get(LEASES, self._namespace, LEASE)
                        if lease["spec"].get("holderIdentity") != self._identity:
                            break
                        held = lease
        _log.error("the lease is lost; not writing any more")
        lost.set()

    async def _release(self) -> None:
        with contextlib.suppress(ApiError):
            lease = await self._api.get(LEASES, self._namespace, LEASE)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self._api.replace(LEASES, lease)

    def _document(self, present: Document | None) -> Document:
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict((present or {}).get("spec") or {})
        if spec.get("holderIdentity") != self._identity:
            transitions = int(spec.get("leaseTransitions") or 0) + (present is not None)
            spec |= {"holderIdentity": self._identity, "acquireTime": now, "leaseTransitions": transitions}
        spec |= {"leaseDurationSeconds": max(1, round(self._duration)), "renewTime": now}
        metadata = (present or {}).get("metadata") or {"name": LEASE, "namespace": self._namespace}
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
