"""The filter process: started, told of new configurations, started again at once when it dies.

The conversation on its stdin and stdout is described in `filters.process.control`.
"""

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aigw.standalone import children
from filters.contract import jsonlib

logger = logging.getLogger("aigw")

START_LIMIT: Final = 20.0
STOP_LIMIT: Final = 1.0
YOUNG: Final = 5.0
"""Seconds of life below which a death counts as a failed start."""
BACKOFF: Final = (0.0, 0.05, 0.25, 1.0, 2.0)
"""Seconds before the n-th new start in a row of a process that keeps dying young; a killed one is replaced at once."""


class FilterError(RuntimeError):
    """The filter refused a configuration or does not start; the text is for a person."""


def sockets(base: Path, workers: int) -> tuple[str, ...]:
    """Where Envoy finds the workers."""
    return (str(base),) if workers == 1 else tuple(f"{base}.{number}" for number in range(workers))


class Filter:
    """The process and its successors."""

    def __init__(self, *, socket: Path, admin_port: int | None, log_level: str, workers: int = 1) -> None:
        self._command = [
            *(sys.executable, "-m", "filters.main", "--socket", str(socket)),
            *("--workers", str(workers), "--log-level", log_level, "--drain-seconds", "0.5"),
            *([] if admin_port is None else ["--admin-port", str(admin_port)]),
        ]
        self._process: asyncio.subprocess.Process | None = None
        self._config: Path | None = None
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._stopping = False
        self._serving = asyncio.Event()
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Starts the process, without a configuration; it loads Python meanwhile. Raises OSError."""
        await self._spawn([])

    async def load(self, document: Path) -> str:
        """Hands over a configuration; returns its hash once the filter has it. Raises FilterError."""
        async with self._lock:
            await self._started()
            loaded = await self._ask(document)
            self._config = document
            return loaded

    async def _ask(self, document: Path) -> str:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(jsonlib.encode({"load": str(document)}) + b"\n")
        answer = await self._answer()
        if "error" in answer:
            raise FilterError(f"the filter refused the configuration: {answer['error']}")
        return answer["loaded"]

    async def _started(self) -> None:
        """Takes the line that the process writes when it serves."""
        if not self._serving.is_set():
            answer = await self._answer()
            if "error" in answer:
                raise FilterError(f"the filter does not start: {answer['error']}")
            self._serving.set()

    async def _answer(self) -> dict[str, str]:
        process = self._process
        assert process is not None
        line = asyncio.ensure_future(self._answers.get())
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({line, ended}, timeout=START_LIMIT, return_when=asyncio.FIRST_COMPLETED)
            if line.done():
                members = jsonlib.decode(line.result(), dict[str, str | bool])
                return {name: str(value) for name, value in members.items()}
            why = f"ended with code {process.returncode}" if ended.done() else "does not answer"
            raise FilterError(f"the filter process {why}")
        finally:
            line.cancel()
            ended.cancel()

    async def keep_alive(self) -> None:
        """Runs until `stop`: a process that died is replaced with the newest configuration."""
        deaths = 0
        loop = asyncio.get_running_loop()
        while True:
            born = loop.time()
            assert self._process is not None
            code = await self._process.wait()
            if self._stopping:
                return
            deaths = deaths + 1 if loop.time() - born < YOUNG else 0
            logger.warning("the filter process ended with code %d; starting it again", code)
            await asyncio.sleep(BACKOFF[min(deaths, len(BACKOFF) - 1)])
            async with self._lock:
                config = [] if self._config is None else ["--config", str(self._config)]
                await self._spawn(config)
                try:
                    await self._started()
                except FilterError as exc:
                    logger.error("%s", exc)  # noqa: TRY400  a sentence, no trace

    async def _spawn(self, more: Sequence[str]) -> None:
        self._serving.clear()
        self._answers = asyncio.Queue()
        self._process = await children.start([*self._command, *more], stdin=asyncio.subprocess.PIPE)
        answers = self._answers
        self._readers = (
            asyncio.create_task(children.follow(self._process.stdout, answers.put_nowait)),
            asyncio.create_task(children.follow(self._process.stderr, _log_line)),
        )

    async def stop(self) -> None:
        self._stopping = True
        if self._process is not None:
            await children.stop(self._process, grace=STOP_LIMIT)
            await asyncio.gather(*self._readers)


def _log_line(line: bytes) -> None:
    """The process has formatted its lines already."""
    sys.stderr.write(line.decode(errors="replace") + "\n")
