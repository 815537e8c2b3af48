"""`aigw run`: configuration in, a running gateway out; follows changes of the file; leaves nothing behind.

Exit codes: 0 stopped by a signal, 1 something failed while running, 2 it cannot start like this.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aigw.standalone import autoconfig, banner, ports, resources, verdicts, watch
from aigw.standalone.base_xds import access_log
from aigw.standalone.base_xds.world import NotServable, World
from aigw.standalone.data_plane import DataPlane, Settings
from aigw.standalone.default_log import default_access_log
from aigw.standalone.envoy import EnvoyError, LogLevels
from aigw.standalone.filter import FilterError
from aigw.standalone.resources import BadResources, Loaded
from aigw.standalone.state import Homes, StateError, run_directories
from extension_server.api import gateway as gw
from extension_server.compile.result import Compiled
from extension_server.compile.snapshot import Snapshot
from filters.process import logs

logger = logging.getLogger("aigw")

DEFAULT_PORT: Final = 1975
DEFAULT_ADMIN_PORT: Final = 1064
LOCAL: Final = "127.0.0.1"
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  a Gateway in a file is a server for others
CANNOT_START: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    path: Path | None = None
    port: int = DEFAULT_PORT
    """of the configuration that is made up; a file says its own"""
    admin_port: int | None = None
    """None: the default, or a free one when that is in use"""
    address: str | None = None
    log_level: str = "warn"
    debug: bool = False
    workers: int = 1
    concurrency: int | None = None


class CannotStart(Exception):
    """Nothing was started; `messages` say why, one sentence each."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the configuration comes from."""

    load: Callable[[], Loaded]
    description: str
    address: str
    watched: Path | None = None
    known: bytes | None = None
    """fingerprint of what `load` found first"""


@dataclass(frozen=True, slots=True)
class _Configuration:
    loaded: Loaded
    compiled: Compiled
    warnings: tuple[str, ...]

    @property
    def snapshot(self) -> Snapshot:
        return self.loaded.snapshot


def run(options: Options, environment: Mapping[str, str]) -> int:
    """Serves until SIGINT or SIGTERM. Returns the exit code."""
    began = _process_start()
    logs.set_up("debug" if options.debug else options.log_level, "text", "aigw")
    try:
        return asyncio.run(_run(options, environment, began))
    except CannotStart as exc:
        for message in exc.messages:
            print(f"aigw: {message}", file=sys.stderr)
        return CANNOT_START


async def _run(options: Options, environment: Mapping[str, str], began: float) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with _source(options, environment) as source:
        judge = _Judge(source)
        configuration = judge.next()
        address = options.address or source.address
        admin_port = _check_ports(options, address, configuration)
        try:
            with run_directories(Homes.of(environment)) as directories:
                settings = _settings(options, address, admin_port, configuration)
                plane = DataPlane(directories, settings, _print_line)
                return await _serve(plane, source, judge, configuration, stop, began)
        except StateError as exc:
            raise CannotStart(str(exc)) from exc


async def _serve(
    plane: DataPlane, source: _Source, judge: "_Judge", first: _Configuration, stop: asyncio.Event, began: float
) -> int:
    try:
        _check_servable(plane, first)
        if not await _started(plane, first, stop):
            return 0
        for warning in first.warnings:
            logger.warning("%s", warning)
        _print_banner(plane, source, first, time.time() - began)
        return await _until_stopped(plane, source, judge, stop)
    finally:
        await plane.stop()


async def _started(plane: DataPlane, first: _Configuration, stop: asyncio.Event) -> bool:
    """False: a signal came first. Raises CannotStart."""

    async def start() -> None:
        await plane.start()
        await plane.apply(first.snapshot, first.compiled)

    starting = asyncio.create_task(start())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return False
        starting.result()
        return True
    except (OSError, EnvoyError, FilterError) as exc:
        raise CannotStart(str(exc)) from exc
    finally:
        for task in (starting, stopped):
            task.cancel()
        await asyncio.gather(starting, stopped, return_exceptions=True)


async def _until_stopped(plane: DataPlane, source: _Source, judge: "_Judge", stop: asyncio.Event) -> int:
    following = asyncio.create_task(_follow(plane, source, judge))
    ended = asyncio.create_task(plane.ended())
    stopped = asyncio.create_task(stop.wait())
    tasks: set[asyncio.Task[object]] = {following, ended, stopped}
    try:
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            logger.error("%s", ended.result())
            return 1
        return 0
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(plane: DataPlane, source: _Source, judge: "_Judge") -> None:
    """Applies every good save; says of a bad one what is wrong with it."""
    if source.watched is None:
        return
    async for _ in watch.changes(source.watched, source.known):
        began = time.monotonic()
        try:
            configuration = judge.next()
            _check_servable(plane, configuration)
            await plane.apply(configuration.snapshot, configuration.compiled)
        except (CannotStart, EnvoyError, FilterError, OSError) as exc:
            reasons = "\n".join(f"  {line}" for line in str(exc).splitlines())
            _say(f"{source.watched}: not applied, the last good configuration stays in place:\n{reasons}")
            continue
        for warning in configuration.warnings:
            logger.warning("%s", warning)
        milliseconds = (time.monotonic() - began) * 1000
        models = ", ".join(banner.models_of(configuration.compiled)[: banner.MODELS_SHOWN])
        _say(f"{source.watched}: applied after {milliseconds:.0f} ms; models: {models or 'any'}")


class _Judge:
    """Compiles what the source says, with one token key for the run: a rule that did not change keeps its token."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._token_key = secrets.token_bytes(32)
        self._created = int(time.time())

    def next(self) -> _Configuration:
        """Raises CannotStart with every error."""
        try:
            loaded = self._source.load()
            verdict = verdicts.judge(loaded, token_key=self._token_key, created=self._created)
        except BadResources as exc:
            raise CannotStart(*exc.messages) from exc
        if verdict.errors:
            raise CannotStart(*verdict.errors)
        return _Configuration(loaded, verdict.compiled, verdict.warnings)


@contextlib.asynccontextmanager
async def _source(options: Options, environment: Mapping[str, str]) -> AsyncIterator[_Source]:
    """A file, the environment's API keys, or the demo with its providers."""
    if options.path is not None:
        path = options.path
        known = watch.fingerprint(path)
        yield _Source(lambda: resources.load(path, environment), str(path), EVERYWHERE, path.absolute(), known)
        return
    try:
        text = autoconfig.from_environment(environment, port=options.port, debug=options.debug)
    except BadResources as exc:
        raise CannotStart(*exc.messages) from exc
    if text is not None:
        made = text
        yield _Source(lambda: resources.read(made, "environment", environment), "from the environment", LOCAL)
        return
    from aigw.demo import servers  # here, because only the demo needs it

    async with servers.running() as demo:
        demo_ports = autoconfig.DemoPorts(
            openai=demo.openai, anthropic=demo.anthropic, bedrock=demo.bedrock, down=demo.down
        )
        try:
            made_up = autoconfig.demo(demo_ports, environment, port=options.port, debug=options.debug)
        except BadResources as exc:
            raise CannotStart(*exc.messages) from exc
        yield _Source(lambda: resources.read(made_up, "demo", environment), "demo: no file, no API key", LOCAL)


def _check_ports(options: Options, address: str, configuration: _Configuration) -> int:
    """The admin port to use. Raises CannotStart when a port is taken."""
    gateway = configuration.snapshot.get(
        gw.Gateway, configuration.compiled.gateway.namespace, configuration.compiled.gateway.name
    )
    assert gateway is not None
    change = "change the listener's port in the file" if options.path else "choose another with --port"
    problems: list[str] = []
    for port in sorted({listener.port for listener in gateway.spec.listeners}):
        try:
            ports.check_free(address, port, what="gateway", remedy=f"stop what listens there, or {change}")
        except ports.PortInUse as exc:
            problems.append(str(exc))
    admin_port = options.admin_port if options.admin_port is not None else DEFAULT_ADMIN_PORT
    try:
        ports.check_free(LOCAL, admin_port, what="admin", remedy="choose another with --admin-port")
    except ports.PortInUse as exc:
        if options.admin_port is None:
            admin_port = ports.free_port()  # a second gateway on this machine
        else:
            problems.append(str(exc))
    if problems:
        raise CannotStart(*problems)
    return admin_port


def _settings(options: Options, address: str, admin_port: int, configuration: _Configuration) -> Settings:
    levels = LogLevels(default=options.log_level)
    with contextlib.suppress(NotServable):  # said by `_check_servable`
        proxy = access_log.proxy_of(World(configuration.snapshot, configuration.compiled))
        if proxy is not None:
            components: dict[str, str] = dict(proxy.spec.logging.level)
            default = components.pop("default", options.log_level)
            levels = LogLevels(default=default, components=components)
    if options.debug:
        levels = LogLevels(default="debug", components=levels.components)
    return Settings(
        address=address,
        admin_port=admin_port,
        log_level="debug" if options.debug else options.log_level,
        levels=levels,
        workers=options.workers,
        concurrency=options.concurrency,
        system_ca=system_ca(),
        default_log=default_access_log(),
    )


def system_ca() -> Path:
    """The machine's bundle of trusted CAs; without one, the bundle that comes with our HTTP client."""
    paths = ssl.get_default_verify_paths()
    for candidate in (paths.cafile, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    import certifi  # here, because most machines have a bundle

    return Path(certifi.where())


def _check_servable(plane: DataPlane, configuration: _Configuration) -> None:
    try:
        plane.check(configuration.snapshot, configuration.compiled)
    except NotServable as exc:
        raise CannotStart(*(configuration.loaded.sentence(finding) for finding in exc.findings)) from exc


def _print_banner(plane: DataPlane, source: _Source, configuration: _Configuration, seconds: float) -> None:
    started = banner.Started(
        seconds=seconds, source=source.description, admin_port=plane.admin_port, host=_reachable(plane.address)
    )
    _say(banner.text(configuration.snapshot, configuration.compiled, started))


def _reachable(address: str) -> str:
    return "localhost" if address in (EVERYWHERE, LOCAL, "::", "::1") else address


def _say(text: str) -> None:
    """To the person at the terminal; standard output is the access log's."""
    print(text, file=sys.stderr, flush=True)


def _print_line(line: bytes) -> None:
    """One access-log line."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()


def _process_start() -> float:
    """Unix time at which this process began, interpreter and imports included (proc_pid_stat(5), field 22)."""
    try:
        fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.time()
