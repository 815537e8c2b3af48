"""How a parent steers a filter process: JSON lines on stdin, answers on stdout, in order.

    {"load": "/path/of/the/document"}   →   {"loaded": "<content hash>"}  or  {"error": "<one sentence>"}

The process also writes one such line when it has started (with `{"ready": true}` when it has no configuration yet), and
ends when stdin does, so that it does not outlive its parent.
"""

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from filters.contract import jsonlib

LINE_LIMIT: Final = 64 * 1024


class _Command(msgspec.Struct, forbid_unknown_fields=True):
    load: str


class Loaded(msgspec.Struct, omit_defaults=True):
    """One answer: `loaded` or `error`, or neither for a process without configuration."""

    loaded: str = ""
    error: str = ""
    ready: bool = False


_command = jsonlib.decoder(_Command)
read_answer = jsonlib.decoder(Loaded)
"""for the parent's side: a line → Loaded. Raises JsonError."""

Load = Callable[[str], Awaitable[str]]
"""path → content hash. Raises ValueError or OSError with a sentence that may be shown."""


def say(answer: Loaded) -> None:
    """One line for the parent. A parent that is gone is noticed by the end of stdin."""
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(jsonlib.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


async def load_and_say(load: Load, path: str) -> bool:
    """Loads the document and tells the parent; False when it was refused."""
    try:
        say(Loaded(loaded=await load(path)))
    except (ValueError, OSError) as exc:
        say(Loaded(error=str(exc)))
        return False
    return True


def is_steered() -> bool:
    """Whether stdin is something that a parent can steer by: a pipe or a socket. Others make the event loop abort."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


async def follow(load: Load) -> None:
    """Obeys stdin until it ends (or sends a line beyond LINE_LIMIT)."""
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await _line(reader):
        try:
            command = _command(line)
        except jsonlib.JsonError as exc:
            say(Loaded(error=f"control: {exc}"))
            continue
        await load_and_say(load, command.load)


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        say(Loaded(error=f"control: a line of more than {LINE_LIMIT} bytes"))
        return b""
