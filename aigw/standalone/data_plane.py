"""Envoy and the filter as one thing: start, apply a configuration without a failed request, stop.

Order of an update (docs/adr/0004): the filter first, it then knows the old and the new configuration; Envoy's clusters,
old and new side by side; then routes and listeners. Requests in flight keep what they began with.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aigw.standalone import filter as filter_process
from aigw.standalone.base_xds import build, tls
from aigw.standalone.base_xds.world import World
from aigw.standalone.envoy import Envoy, EnvoyError, LogLevels
from aigw.standalone.generations import Generations
from aigw.standalone.state import RunDirectories, write_private
from aigw.standalone.xds_files import XdsFiles
from extension_server.api import envoy_gateway as eg
from extension_server.compile.result import Compiled
from extension_server.compile.snapshot import Snapshot
from extension_server.xds import patches, route_table
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources

logger = logging.getLogger("aigw")

RETIRE_AFTER: Final = 120.0
"""Seconds for which clusters of an earlier configuration stay: longer than an upload that began before the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the data plane needs to know besides resources."""

    address: str
    admin_port: int | None
    log_level: str
    levels: LogLevels
    workers: int
    concurrency: int | None
    system_ca: Path
    default_log: eg.AccessLog


class DataPlane:
    """One running Envoy with its filter."""

    def __init__(self, directories: RunDirectories, settings: Settings, access_log: Callable[[bytes], None]) -> None:
        self._directories = directories
        self._settings = settings
        self._files = XdsFiles(directories.state)
        self._generations = Generations()
        self._good: Resources | None = None
        self._sockets = filter_process.sockets(directories.filter_socket, settings.workers)
        self.filter = filter_process.Filter(
            socket=directories.filter_socket,
            admin_port=settings.admin_port,
            log_level=settings.log_level,
            workers=settings.workers,
        )
        self.envoy = Envoy(directories, self._files, access_log)
        self._changing = asyncio.Lock()
        self._retirements: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return self._settings.address

    @property
    def admin_port(self) -> int | None:
        return self._settings.admin_port

    async def start(self) -> None:
        """Starts both processes, without configuration. Raises OSError."""
        self._files.write_clusters([])
        self._files.write_listeners([])
        await asyncio.gather(
            self.filter.start(), self.envoy.start(self._settings.levels, concurrency=self._settings.concurrency)
        )

    def check(self, snapshot: Snapshot, compiled: Compiled) -> None:
        """Raises NotServable when these resources cannot be turned into Envoy's configuration. Changes nothing."""
        self._xds(snapshot, compiled)

    async def apply(self, snapshot: Snapshot, compiled: Compiled) -> None:
        """Makes it the running configuration.

        Raises NotServable, FilterError or EnvoyError; the earlier configuration then runs on.
        """
        async with self._changing:
            await self._apply(snapshot, compiled)

    async def _apply(self, snapshot: Snapshot, compiled: Compiled) -> None:
        resources, secret_files = self._xds(snapshot, compiled)
        for name, text in secret_files.content.items():
            write_private(self._directories.runtime / name, text.reveal().encode())
        # Other credentials are another document, under the same hash of the configuration.
        name = f"filter-{compiled.config_hash}-{compiled.credentials_hash}.json"
        document = self._directories.runtime / name
        write_private(document, compiled.document)
        await self.filter.load(document)
        before = self._generations.copy()
        retired = self._generations.prepare(resources)
        route_table.fold(resources)  # last: others want routes as a list
        try:
            await self._to_envoy(list(self._generations.alive.values()), resources)
        except EnvoyError:
            self._generations = before
            if self._good is not None:
                with contextlib.suppress(EnvoyError):
                    await self._to_envoy(self._good.clusters, self._good)
            raise
        self._good = Resources(
            listeners=resources.listeners,
            routes=resources.routes,
            clusters=list(self._generations.alive.values()),
        )
        self._remove_old_documents(document)
        if retired:
            task = asyncio.create_task(self._retire(retired))
            self._retirements.add(task)
            task.add_done_callback(self._retirements.discard)

    def _xds(self, snapshot: Snapshot, compiled: Compiled) -> tuple[Resources, tls.Files]:
        settings = self._settings
        secret_files = tls.Files(self._directories.runtime, settings.system_ca)
        world = World(snapshot, compiled)
        resources = build.build(world, secret_files, default_log=settings.default_log, address=settings.address)
        patches.apply(resources, Mediation(compiled, self._sockets))
        return resources, secret_files

    async def _to_envoy(self, clusters: list[Message], resources: Resources) -> None:
        await self.envoy.clusters_applied(self._files.write_clusters(clusters))
        versions = self._files.write_routes(resources.routes)
        await self.envoy.listeners_applied(self._files.write_listeners(resources.listeners))
        await self.envoy.routes_applied(versions)

    async def _retire(self, names: frozenset[str]) -> None:
        await asyncio.sleep(RETIRE_AFTER)
        async with self._changing:
            self._generations.settle(names)
            self._files.write_clusters(list(self._generations.alive.values()))

    def _remove_old_documents(self, newest: Path) -> None:
        """They hold credentials; the filter has read them."""
        for document in self._directories.runtime.glob("filter-*.json"):
            if document != newest:
                document.unlink(missing_ok=True)

    async def ended(self) -> str:
        """Waits until Envoy ends by itself (the filter is started again) and says so."""
        keeping = asyncio.create_task(self.filter.keep_alive())
        try:
            return f"Envoy ended with code {await self.envoy.wait()}"
        finally:
            keeping.cancel()

    async def stop(self) -> None:
        """Ends both processes; takes at most about a second."""
        for task in self._retirements:
            task.cancel()
        await asyncio.gather(self.envoy.stop(), self.filter.stop())
