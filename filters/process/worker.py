"""One worker: the process that serves ext_proc. Wires the servers around a `Program`, and runs until told to stop."""

import asyncio
import contextlib
import gc
import glob
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from filters.contract.sections import Sections
from filters.extproc import peers, server, service
from filters.extproc.exchange import Exchange
from filters.process import control, memory
from filters.process.admin import Admin

logger = logging.getLogger(__name__)

GC_THRESHOLD: Final = (50_000, 20, 50)
"""Requests make few cycles; with the defaults the collector runs every 30 requests and costs 4 % of the CPU."""


SWITCH_INTERVAL: Final = 0.0005
"""Seconds that the thread which builds a configuration keeps requests waiting at a time (Python's default is 5 ms, and
a request has five turns). 10,000 rules are built in 0.3 s."""


class Program(Protocol):
    """What the process serves: the half that knows requests."""

    def prepare(self, document: bytes) -> Callable[[], str]:
        """Reads and builds a configuration; what it returns makes that the newest and returns its content hash. Raises
        ValueError with a sentence for people. Runs in a thread of its own, beside requests."""
        ...

    def prepare_sections(self, whole: Sections) -> Callable[[], str]:
        """The same for a configuration that was pushed."""
        ...

    def exchange(self, metadata: Mapping[str, str]) -> Exchange:
        """`filters.extproc.exchange.ExchangeFactory`"""
        ...

    def metrics(self) -> bytes:
        """Prometheus text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one worker runs."""

    socket: str
    config: str | None = None
    worker: int = 0
    workers: int = 1
    admin_host: str = "127.0.0.1"
    admin_port: int | None = None
    """None: no admin HTTP"""
    drain_seconds: float = 10.0
    controlled: bool = True
    """obey stdin and end with it"""


def worker_socket(base: str, worker: int) -> str:
    """Where worker number `worker` serves Envoy, when there are several."""
    return f"{base}.{worker}"


def process_name(worker: int) -> str:
    """Names this process: among the workers, and among those that were worker number `worker` before it."""
    return f"{worker}.{os.getpid()}"


def peer_socket(base: str, process: str) -> str:
    """Where a process answers the other ones."""
    return f"{base}.{process}.peer"


def remove_stale_peers(base: str, worker: int) -> None:
    """Takes away the peer sockets of predecessors that were killed."""
    prefix = f"{Path(base).name}.{worker}."
    for path in Path(base).parent.glob(f"{glob.escape(prefix)}*.peer"):
        pid = path.name.removeprefix(prefix).removesuffix(".peer")
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)


def admin_socket(base: str, worker: int) -> str:
    """Where it answers its supervisor's `/health` and `/metrics`."""
    return f"{base}.{worker}.admin"


class Following(Protocol):
    """Gets configurations pushed. `filters.push.follower.Follower`, where that is wanted."""

    async def restore(self) -> None:
        """Serves with the last good one, if there is one."""
        ...

    def distrust(self) -> None:
        """Nothing can be served with what `restore` gave."""
        ...

    async def run(self) -> None:
        """Until cancelled."""
        ...


Follow = Callable[["Target"], Following]


class Target(Protocol):
    """Who takes configurations that are pushed. `filters.push.follower.Target`"""

    needs_file: bool

    async def take(self, whole: Sections, file: Path | None) -> None: ...

    def was_asked(self) -> bool | None: ...


@contextlib.asynccontextmanager
async def following(follower: Following | None) -> AsyncIterator[None]:
    """Follows meanwhile. A follower that fails ends nothing else: what runs, runs on."""
    task = asyncio.create_task(follower.run()) if follower is not None else None
    if task is not None:
        task.add_done_callback(_failed)
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))


def _failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the controller is not followed any more", exc_info=error)


async def run(options: Options, program: Program, follow: Follow | None = None) -> int:
    """Serves until SIGTERM, SIGINT or the end of stdin. Returns the exit code; 2: no good configuration or socket."""
    memory.keep_large_blocks()
    worker = _Worker(options, program)
    stop = Stop(options.controlled)
    if options.config is not None and not await worker.start_with(options.config):
        return 2
    follower = follow(worker) if follow is not None else None
    if follower is not None:
        # Changes are taken apart and put together in threads.
        sys.setswitchinterval(SWITCH_INTERVAL)
        # Before there is a socket: Envoy tries again while there is none, and gets a 503 from an empty filter.
        await follower.restore()
    try:
        await worker.listen()
    except OSError as exc:
        logger.error("cannot listen: %s", exc)  # noqa: TRY400  a sentence, no trace
        control.say(control.Loaded(error=f"cannot listen on {options.socket}: {exc.strerror or exc}"))
        await worker.close(0.0)
        return 2
    control.say(control.Loaded(loaded=worker.loaded, ready=not worker.loaded))
    async with following(follower):
        reason = await stop.wait(worker)
    logger.info("stopping: %s", reason)
    # A parent that is gone has taken Envoy with it: nobody waits for what is in flight.
    await worker.close(options.drain_seconds if reason != "end of stdin" else 0.0)
    return 0


class _Worker:
    def __init__(self, options: Options, program: Program) -> None:
        self._options = options
        self._program = program
        self._peers = peers.Peers(lambda process: peer_socket(options.socket, process))
        self._health = service.Health()
        self._processor = service.ExternalProcessor(program.exchange, self._peers.ask)
        self._server = server.Server(
            service.services(self._processor, self._health), service.last_services(self._processor, self._health)
        )
        self._peer_server = peers.PeerServer(self._processor.answer)
        self._admin = Admin(healthy=lambda: self._health.serving, metrics=self._metrics)
        self._prepared: tuple[str, Callable[[], str]] | None = None
        self._building = asyncio.Lock()
        self.loaded = ""

    async def _metrics(self) -> bytes:
        return self._program.metrics()

    async def start_with(self, path: str) -> bool:
        try:
            await control.load(self, path)
        except (ValueError, OSError) as exc:
            logger.error("configuration refused: %s", exc)  # noqa: TRY400  a sentence, no trace
            control.say(control.Loaded(error=str(exc)))
            return False
        return True

    # `filters.process.control.Configurable`

    async def prepare(self, path: str) -> None:
        self._prepared = path, await self._built(lambda: self._program.prepare(Path(path).read_bytes()))

    async def activate(self, path: str) -> str:
        if self._prepared is None or self._prepared[0] != path:
            raise ValueError("this configuration is not prepared")
        _, activate = self._prepared
        self._prepared = None
        return self._activate(activate)

    # `Target`

    needs_file = False

    async def take(self, whole: Sections, file: Path | None) -> None:
        self._activate(await self._built(lambda: self._program.prepare_sections(whole)))

    def was_asked(self) -> bool:
        return self._server.was_asked()

    async def _built(self, build: Callable[[], Callable[[], str]]) -> Callable[[], str]:
        async with self._building:
            # Whatever is garbage now is not to be kept by the freeze below.
            gc.collect()
            gc.disable()
            interval = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_INTERVAL)
            try:
                return await asyncio.to_thread(build)
            finally:
                sys.setswitchinterval(interval)
                gc.enable()

    def _activate(self, activate: Callable[[], str]) -> str:
        self.loaded = activate()
        self._health.serving = True
        # What lives now lives long: the collector need not look at it again. Snapshots have no cycles: they are freed
        # without it.
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        logger.info("configuration %s loaded", self.loaded)
        return self.loaded

    async def listen(self) -> None:
        options = self._options
        await self._listen_to_peers()
        if options.workers > 1:
            await self._admin.listen_unix(admin_socket(options.socket, options.worker))
        elif options.admin_port is not None:
            port = await self._admin.listen(options.admin_host, options.admin_port)
            logger.info("admin HTTP on %s:%d", options.admin_host, port)
        path = worker_socket(options.socket, options.worker) if options.workers > 1 else options.socket
        await self._server.listen(path)
        logger.info("serving ext_proc on %s", path)

    async def _listen_to_peers(self) -> None:
        base, worker = self._options.socket, self._options.worker
        remove_stale_peers(base, worker)
        try:
            await self._peer_server.listen(peer_socket(base, process_name(worker)))
        except OSError as exc:
            if self._options.workers > 1:
                raise
            # A path that is just short enough for one socket. What is missed is the hand-over to a successor.
            logger.warning("no socket for other filter processes: %s", exc)

    async def close(self, drain_seconds: float) -> None:
        self._health.serving = False
        await self._server.drain(drain_seconds)
        self._peer_server.close()
        self._peers.close()
        self._admin.close()


class Stop:
    """Waits for what ends a process: SIGTERM, SIGINT, or the end of stdin."""

    def __init__(self, controlled: bool) -> None:
        self._controlled = controlled
        self._signal: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._note, number.name)

    def _note(self, name: str) -> None:
        if not self._signal.done():
            self._signal.set_result(name)

    async def wait(self, configurable: control.Configurable) -> str:
        """Obeys stdin meanwhile, if that was asked for. Returns the reason in two words."""
        if not self._controlled:
            return await self._signal
        commands = asyncio.create_task(control.follow(configurable))
        await asyncio.wait((commands, self._signal), return_when=asyncio.FIRST_COMPLETED)
        if self._signal.done():
            commands.cancel()
            return self._signal.result()
        commands.result()
        return "end of stdin"
