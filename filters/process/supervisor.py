"""Several workers under one parent: starts them, starts dead ones again, hands configurations to all.

Each worker is a process with sockets of its own (`<socket>.<i>`), because one shared socket balances badly. A worker
that dies takes its socket with it (Envoy's connections break and go to another), and its successor takes over the path.
The supervisor itself serves only the admin HTTP, with the workers' metrics added up.
"""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

from filters.contract import jsonlib
from filters.contract.sections import Sections
from filters.process import control, metrics
from filters.process.admin import Admin, get_unix
from filters.process.worker import Follow, Options, Stop, admin_socket, following

logger = logging.getLogger(__name__)

START_LIMIT: Final = 20.0
"""Seconds until a worker that has not said that it serves counts as broken."""
STABLE_AFTER: Final = 5.0
"""Seconds of life after which a death is answered at once; one that dies younger waits."""
BACKOFF: Final = (0.0, 0.1, 0.5, 2.0, 5.0)
"""Seconds before the n-th new start of a worker that keeps dying young."""


class _Worker:
    """One child process and its successors."""

    def __init__(self, number: int, command: list[str]) -> None:
        self.number = number
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._answers: deque[asyncio.Future[control.Loaded | None]] = deque()
        self._catching_up: asyncio.Task[control.Loaded | None] | None = None
        self._stopping = False
        self.serving = False
        self.config: str | None = None
        self._begun_with: str | None = None

    async def keep_alive(self, first: asyncio.Future[control.Loaded]) -> None:
        """Runs until `stop`. `first` is set to the first start's answer."""
        young_deaths = 0
        while True:
            await asyncio.sleep(BACKOFF[min(young_deaths, len(BACKOFF) - 1)])
            if self._stopping:
                return
            born = time.monotonic()
            code = await self._live(first)
            young_deaths = young_deaths + 1 if time.monotonic() - born < STABLE_AFTER else 0
            if not self._stopping:
                logger.warning("worker %d ended with code %d; starting it again", self.number, code)

    async def _live(self, first: asyncio.Future[control.Loaded]) -> int:
        self._begun_with = self.config
        config = [] if self.config is None else ["--config", self.config]
        process = await asyncio.create_subprocess_exec(
            *self._command, *config, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._process = process
        if self._stopping:
            process.terminate()
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._heard(control.read_answer(line), first)
        self.serving = False
        for waiting in self._answers:
            if not waiting.done():
                waiting.set_result(None)
        self._answers.clear()
        return await process.wait()

    def _heard(self, answer: control.Loaded, first: asyncio.Future[control.Loaded]) -> None:
        if self._answers:
            waiting = self._answers.popleft()
            if not waiting.done():
                waiting.set_result(answer)
            return
        # The line that says how the start went.
        self.serving = not answer.error
        if not first.done():
            first.set_result(answer)
        if self.serving and self.config is not None and self.config != self._begun_with:
            # It changed while this process started.
            self._catching_up = asyncio.create_task(self.tell(control.Command(load=self.config)))

    async def tell(self, command: control.Command) -> control.Loaded | None:
        """The worker's answer. None when it does not run, or ended meanwhile: it reads `config` when it starts."""
        if self._process is None or self._process.stdin is None or not self.serving:
            return None
        future: asyncio.Future[control.Loaded | None] = asyncio.get_running_loop().create_future()
        self._answers.append(future)
        with contextlib.suppress(OSError):
            self._process.stdin.write(jsonlib.encode(command) + b"\n")
            await self._process.stdin.drain()
        return await future

    async def activate(self, path: str) -> control.Loaded | None:
        """Serves with what was prepared; a process that has started since then prepares it now."""
        answer = await self.tell(control.Command(activate=path))
        if answer is not None and answer.error:
            return await self.tell(control.Command(load=path))
        return answer

    def stop(self) -> None:
        self._stopping = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)


class _Supervisor:
    def __init__(self, options: Options, module: str, arguments: list[str]) -> None:
        self._options = options
        base = [sys.executable, "-m", module, *arguments, "--socket", options.socket]
        base += ["--workers", str(options.workers), "--drain-seconds", str(options.drain_seconds)]
        self._workers = [_Worker(i, [*base, "--worker", str(i)]) for i in range(options.workers)]
        self._tasks: list[asyncio.Task[None]] = []
        self._admin = Admin(healthy=self._healthy, metrics=self._metrics)
        self.loaded = ""

    def _healthy(self) -> bool:
        return bool(self.loaded) and any(worker.serving for worker in self._workers)

    async def start(self) -> str:
        """Starts all. Returns what went wrong, empty when all serve."""
        loop = asyncio.get_running_loop()
        firsts = [loop.create_future() for _ in self._workers]
        for worker, first in zip(self._workers, firsts, strict=True):
            worker.config = worker.config or self._options.config
            self._tasks.append(asyncio.create_task(worker.keep_alive(first)))
        try:
            async with asyncio.timeout(START_LIMIT):
                answers: list[control.Loaded] = await asyncio.gather(*firsts)
        except TimeoutError:
            return f"the workers do not serve after {START_LIMIT:.0f} s"
        for answer in answers:
            if answer.error:
                return answer.error
        self.loaded = answers[0].loaded
        if self._options.admin_port is not None:
            await self._admin.listen(self._options.admin_host, self._options.admin_port)
        return ""

    # `filters.process.control.Configurable`: all workers, or none of them. One that does not run (it is being started
    # again) gets the configuration when it starts.

    async def prepare(self, path: str) -> None:
        command = control.Command(prepare=path)
        answers = [answer for worker in self._workers if (answer := await worker.tell(command)) is not None]
        if not answers:
            raise ValueError("no worker runs")
        for answer in answers:
            if answer.error:
                raise ValueError(answer.error)

    async def activate(self, path: str) -> str:
        for worker in self._workers:
            worker.config = path
        answers = await asyncio.gather(*(worker.activate(path) for worker in self._workers))
        self.loaded = next((answer.loaded for answer in answers if answer is not None and answer.loaded), self.loaded)
        return self.loaded

    # `filters.process.worker.Target`

    needs_file = True

    async def take(self, whole: Sections, file: Path | None) -> None:
        if not self._tasks:
            # Nothing runs yet: the workers start with it.
            for worker in self._workers:
                worker.config = str(file)
            return
        await self.prepare(str(file))
        await self.activate(str(file))

    def was_asked(self) -> None:
        """The workers have the sockets, and are not asked about them."""

    async def _metrics(self) -> bytes:
        texts = await asyncio.gather(
            *(get_unix(admin_socket(self._options.socket, worker.number), "/metrics") for worker in self._workers),
            return_exceptions=True,
        )
        return metrics.added_up([text for text in texts if isinstance(text, bytes)])

    async def close(self) -> None:
        self._admin.close()
        for worker in self._workers:
            worker.stop()
        await asyncio.gather(*self._tasks)


async def run(options: Options, module: str, arguments: list[str], follow: Follow | None = None) -> int:
    """Serves until SIGTERM, SIGINT or the end of stdin. Workers run `module` with `arguments` and their own."""
    supervisor = _Supervisor(options, module, arguments)
    stop = Stop(options.controlled)
    follower = follow(supervisor) if follow is not None else None
    if follower is not None:
        await follower.restore()
    problem = await supervisor.start()
    if problem:
        if follower is not None:
            follower.distrust()
        control.say(control.Loaded(error=problem))
        await supervisor.close()
        return 2
    control.say(control.Loaded(loaded=supervisor.loaded, ready=not supervisor.loaded))
    async with following(follower):
        logger.info("stopping: %s", await stop.wait(supervisor))
    await supervisor.close()
    return 0
