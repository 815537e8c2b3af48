"""Child processes that never outlive us: the kernel kills them when this process dies, however it dies."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_INHERITED: Final = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV")
_INHERITED_FAMILIES: Final = ("LC_", "PYTHON")
"""Variables that a child is given. API keys are others: children get configuration by files, and what a process has in
its environment, an access-log format or a crash report can print."""
LINE_LIMIT: Final = 1024 * 1024
"""Longest line of a child that is passed on whole; access-log lines are 1 KB."""


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of our environment that children get."""
    return {
        name: value for name, value in environment.items() if name in _INHERITED or name.startswith(_INHERITED_FAMILIES)
    }


async def start(command: Sequence[str], *, stdin: int) -> asyncio.subprocess.Process:
    """Starts `command` in a session of its own (Ctrl-C in a terminal reaches us alone), output piped.

    Must be called on the main thread: the kernel watches the thread that forked. Raises OSError.
    """
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=inherited(os.environ),
        start_new_session=True,
        preexec_fn=_die_with(os.getpid()),
        limit=LINE_LIMIT,
    )


def _die_with(parent: int) -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return in_child


async def follow(stream: asyncio.StreamReader | None, line: Callable[[bytes], None]) -> None:
    """Calls `line` for each line, without its end; a line that is too long is cut."""
    assert stream is not None
    while True:
        try:
            data = await stream.readline()
        except ValueError:  # longer than LINE_LIMIT: the reader has dropped what it had
            continue
        if not data:
            return
        line(data.rstrip(b"\r\n"))


async def stop(process: asyncio.subprocess.Process, *, grace: float) -> None:
    """SIGTERM, then SIGKILL after `grace` seconds."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
