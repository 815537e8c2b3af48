"""Both ends of the push in one process, over real TLS, with an API server that knows tokens and pods from a table."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from extension_server.compile.result import Compiled, ObjectRef
from extension_server.controller.client import Api, ApiError, Document, Resource
from extension_server.controller.ports import ReportedFilters
from extension_server.controller.workloads import PODS
from extension_server.push.feed import Feed
from extension_server.push.identity import REVIEWS, Identities
from extension_server.push.presence import Presence
from extension_server.push.server import PushServer
from extension_server.sidecar.mutation import OWNER_NAME, OWNER_NAMESPACE
from extension_server.webhook import certificates
from extension_server.webhook.certificates import Bundle, Names
from filters.contract import jsonlib
from filters.contract.push import AUDIENCE
from filters.contract.sections import Sections
from filters.push.follower import Follower, Settings
from tests.support.waiting import LIMIT, eventually
from tests.support.xds import mediation
from tests.unit.filters.contract.test_push import state

EDGE = ObjectRef("Gateway", "team", "edge")
OTHER = ObjectRef("Gateway", "team", "other")
PROXIES = "envoy-gateway-system"
NOW = 1_000_000.0


def token(name: str, *, expires: float = NOW + 3600) -> str:
    """Looks like a JWT; only the API server can say whether it is good."""
    payload = base64.urlsafe_b64encode(jsonlib.encode({"exp": expires})).decode().rstrip("=")
    return f"h.{payload}.{name}"


class Pods:
    """`Api`, as far as identities need it."""

    def __init__(self) -> None:
        self.tokens: dict[str, Document] = {}
        self.pods: dict[tuple[str, str], Document] = {}
        self.away = False
        self.reviews = 0
        self.looks = 0
        """at pods"""

    def add(self, name: str, gateway: ObjectRef = EDGE, *, namespace: str = PROXIES, **changes: Any) -> str:
        """A proxy's pod. `changes`: `labels`, `uid` of the pod; `status`, `extra`, `username`, `audiences` of the
        review. Returns its token."""
        labels = changes.get("labels", {OWNER_NAME: gateway.name, OWNER_NAMESPACE: gateway.namespace})
        uid = changes.get("uid", f"uid-{name}")
        self.pods[namespace, name] = {
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "labels": labels},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        extra = {
            "authentication.kubernetes.io/pod-name": [name],
            "authentication.kubernetes.io/pod-uid": [f"uid-{name}"],
        }
        self.tokens[token(name)] = changes.get(
            "status",
            {
                "authenticated": True,
                "audiences": changes.get("audiences", [AUDIENCE]),
                "user": {
                    "username": changes.get("username", f"system:serviceaccount:{namespace}:envoy"),
                    "extra": changes.get("extra", extra),
                },
            },
        )
        return token(name)

    async def create(self, resource: Resource, document: Document) -> Document:
        assert resource == REVIEWS
        assert document["spec"]["audiences"] == [AUDIENCE]
        self.reviews += 1
        if self.away:
            raise ApiError(0, "Unreachable", "connection refused")
        unknown = {"authenticated": False, "error": "invalid bearer token"}
        return {"status": self.tokens.get(document["spec"]["token"], unknown)}

    async def get(self, resource: Resource, namespace: str, name: str) -> Document:
        assert resource == PODS
        self.looks += 1
        if self.away:
            raise ApiError(500, "InternalError", "etcd is away")
        if (namespace, name) not in self.pods:
            raise ApiError(404, "NotFound", name)
        return self.pods[namespace, name]

    def identities(self) -> Identities:
        return Identities(cast("Api", self), PROXIES, now=lambda: NOW)


def compiled(gateway: ObjectRef, numbers: list[int], key: str = "k") -> Compiled:
    return replace(mediation().compiled, gateway=gateway, sections=state(numbers, key))


def bundle(old: dict[str, bytes] | None = None) -> tuple[Bundle, dict[str, bytes]]:
    data = certificates.renewed(old or {}, Names(), ("localhost",), datetime.now(UTC))
    assert data is not None
    return certificates.read(data, Names()), data


class Serving:
    """A push server that listens."""

    def __init__(self, pods: Pods, feed: Feed | None = None, port: int = 0, grace: float = 0.0) -> None:
        self.pods = pods
        self.feed = feed or Feed()
        self.reports = ReportedFilters()
        self.presence = Presence(self.reports, grace)
        self.server = PushServer(self.feed, pods.identities(), self.presence)
        self.address = f"127.0.0.1:{port}"

    @property
    def port(self) -> int:
        assert self.server.port is not None
        return self.server.port

    def running(self, gateway: ObjectRef = EDGE) -> tuple[str, ...]:
        return self.reports.running(gateway) or ()


@contextlib.asynccontextmanager
async def served(serving: Serving, certificate: Bundle) -> AsyncIterator[Serving]:
    serving.server.use(certificate.certificate, certificate.key)
    task = asyncio.create_task(serving.server.serve(serving.address))
    try:
        await eventually(lambda: serving.server.port is not None or task.done(), "listening", every=0.01)
        if task.done():
            task.result()
        yield serving
    finally:
        task.cancel()
        await asyncio.wait((task,))


class Runs:
    """`Target`: a filter that takes everything, but what a test says."""

    needs_file = False

    def __init__(self) -> None:
        self.taken: list[Sections] = []
        self.files: list[Path | None] = []
        self.refuse: Callable[[Sections], str] = lambda _: ""
        self.asked: bool | None = None
        self.looks = 0

    async def take(self, whole: Sections, file: Path | None) -> None:
        if reason := self.refuse(whole):
            raise ValueError(reason)
        self.taken.append(whole)
        self.files.append(file)

    def was_asked(self) -> bool | None:
        self.looks += 1
        return self.asked

    @property
    def hashes(self) -> list[str]:
        return [each.config_hash for each in self.taken]


class Following:
    """A follower with its files."""

    def __init__(self, directory: Path, port: int, authorities: bytes, token_: str, *, keep: bool = False) -> None:
        self.authorities, self.token = directory / "ca.crt", directory / "token"
        self.authorities.write_bytes(authorities)
        self.token.write_text(token_ + "\n")
        self.target = Runs()
        self.waits = 0
        self.follower = Follower(
            Settings(
                server=f"localhost:{port}",
                authorities=self.authorities,
                token=self.token,
                state=directory / "state" if keep else None,
                release="test",
            ),
            self.target,
            wait=self._wait,
            look=0.005,
        )

    async def _wait(self, seconds: float) -> None:
        assert 0 < seconds <= 15
        self.waits += 1
        await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Following"]:
        task = asyncio.create_task(self.follower.run())
        try:
            yield self
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.wait_for(asyncio.wait((task,)), LIMIT)
