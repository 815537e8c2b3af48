"""The controller in this process against a real API server, with its writes counted, for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from extension_server.compile.result import Compiled, ObjectRef
from extension_server.compile.route import Settings
from extension_server.controller.client import Document, KubernetesApi, Listing, Resource, WatchEvent
from extension_server.controller.leader import Elector
from extension_server.controller.ports import ReportedFilters
from extension_server.controller.reconcile import Controller
from extension_server.controller.store import Store
from extension_server.controller.world import World
from tests.support.waiting import LIMIT, eventually

"""Seconds until something that should happen counts as not happening."""
CLASS_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
KEY = b"k" * 32


class CountingApi:
    """Passes on, and remembers what was written."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self.writes: list[str] = []
        """`apply HTTPRoute ns/name`, `patch AIGatewayRoute ns/name status`, …"""

    def _note(self, verb: str, resource: Resource, namespace: str | None, name: str, part: str = "") -> None:
        self.writes.append(f"{verb} {resource.kind} {namespace}/{name} {part}".rstrip())

    async def versions(self, group: str) -> dict[str, frozenset[str]]:
        return await self._api.versions(group)

    async def server_version(self) -> tuple[str, str]:
        return await self._api.server_version()

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Document:
        return await self._api.get(resource, namespace, name)

    async def list(
        self, resource: Resource, namespace: str | None, *, metadata_only: bool = False, labels: str = ""
    ) -> Listing:
        return await self._api.list(resource, namespace, metadata_only=metadata_only, labels=labels)

    def watch(
        self, resource: Resource, namespace: str | None, since: str, *, metadata_only: bool = False, labels: str = ""
    ) -> AsyncIterator[WatchEvent]:
        return self._api.watch(resource, namespace, since, metadata_only=metadata_only, labels=labels)

    async def create(self, resource: Resource, document: Document) -> Document:
        self._note("create", resource, document["metadata"]["namespace"], document["metadata"]["name"])
        return await self._api.create(resource, document)

    async def replace(self, resource: Resource, document: Document) -> Document:
        self._note("replace", resource, document["metadata"]["namespace"], document["metadata"]["name"])
        return await self._api.replace(resource, document)

    async def apply(self, resource: Resource, document: Document) -> Document:
        self._note("apply", resource, document["metadata"]["namespace"], document["metadata"]["name"])
        return await self._api.apply(resource, document)

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Document, *, part: str = ""
    ) -> Document:
        self._note("patch", resource, namespace, name, part)
        return await self._api.patch(resource, namespace, name, patch, part=part)

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        self._note("delete", resource, namespace, name)
        await self._api.delete(resource, namespace, name, uid=uid)


class Sink:
    """The configurations that were published; an obedient filter runs each at once."""

    def __init__(self, reports: ReportedFilters | None = None) -> None:
        self.compiled: dict[ObjectRef, Compiled] = {}
        self.published = 0
        self._reports = reports

    def put(self, compiled: Compiled) -> None:
        self.compiled[compiled.gateway] = compiled
        self.published += 1
        if self._reports is not None:
            hash_ = compiled.config_hash
            asyncio.get_running_loop().call_soon(self._reports.report, compiled.gateway, "pod", hash_)

    def remove(self, gateway: ObjectRef) -> None:
        self.compiled.pop(gateway, None)


class Running:
    """One controller that runs."""

    def __init__(self, controller: Controller, api: CountingApi, sink: Sink, reports: ReportedFilters) -> None:
        self.controller = controller
        self.api = api
        self.sink = sink
        self.reports = reports

    @property
    def writes(self) -> list[str]:
        return self.api.writes

    async def idle(self) -> None:
        await eventually(lambda: self.controller.idle, "idle")

    async def leading(self) -> None:
        async with asyncio.timeout(LIMIT):
            await self.controller.lead.wait()
        await self.idle()


@contextlib.asynccontextmanager
async def running(
    kubeconfig: Path,
    namespaces: Sequence[str],
    *,
    identity: str = "",
    filters: bool = True,
    settle: float = 3600.0,
    reconnect: float = 0.0,
    patience: float = 0.0,
) -> AsyncIterator[Running]:
    """`identity`: takes part in leader election in the first namespace. `filters`: Gateways have a filter that runs
    what is published."""
    async with KubernetesApi(await KubernetesApi.configuration(kubeconfig)) as real:
        api = CountingApi(real)
        reports = ReportedFilters()
        sink = Sink(reports if filters else None)
        elector = (
            Elector(real, namespaces[0], identity, _now, duration=2.0, deadline=1.5, retry=0.2) if identity else None
        )
        controller = Controller(
            api,
            World(Settings(token_key=KEY)),
            Store(CLASS_CONTROLLER),
            (sink,),
            reports,
            _now,
            namespaces=namespaces,
            elector=elector,
            settle=settle,
            reconnect=reconnect,
            patience=patience,
        )
        task = asyncio.create_task(controller.run())
        try:
            async with asyncio.timeout(LIMIT):
                waiting = asyncio.create_task(controller.ready.wait())
                await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    task.result()
            yield Running(controller, api, sink, reports)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def condition(document: dict[str, Any], type_: str) -> dict[str, Any]:
    """A condition of `status`; empty when it is not there."""
    conditions = document.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each["type"] == type_), {})


def _now() -> datetime:
    return datetime.now(UTC)
