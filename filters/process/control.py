"""How a parent steers a filter process: JSON lines on stdin, answers on stdout, in order.

    {"load": "/path/of/the/document"}   →   {"loaded": "<content hash>"}  or  {"error": "<one sentence>"}

or in two steps, so that several processes take a configuration, or none of them:

    {"prepare": "/path"}   →   {"prepared": "/path"}  or  {"error": …}
    {"activate": "/path"}  →   {"loaded": …}  or  {"error": …}

The process also writes one such line when it has started (with `{"ready": true}` when it has no configuration yet), and
ends when stdin does, so that it does not outlive its parent.
"""

import asyncio
import contextlib
import os
import stat
import sys
from typing import Final, Protocol

import msgspec

from filters.contract import jsonlib

LINE_LIMIT: Final = 64 * 1024


class Command(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the parent: one of these paths."""

    load: str = ""
    prepare: str = ""
    activate: str = ""


class Loaded(msgspec.Struct, omit_defaults=True):
    """One answer: `loaded`, `prepared` or `error`, or none of them for a process without configuration."""

    loaded: str = ""
    prepared: str = ""
    error: str = ""
    ready: bool = False


_command = jsonlib.decoder(Command)
read_answer = jsonlib.decoder(Loaded)
"""for the parent's side: a line → Loaded. Raises JsonError."""


class Configurable(Protocol):
    """Who takes configurations. Both raise ValueError or OSError with a sentence that may be shown."""

    async def prepare(self, path: str) -> None:
        """Reads the document and builds what it says; nothing changes yet. Forgets what was prepared before."""
        ...

    async def activate(self, path: str) -> str:
        """Serves with what was prepared from `path`. Returns the content hash."""
        ...


async def load(configurable: Configurable, path: str) -> str:
    """Both steps."""
    await configurable.prepare(path)
    return await configurable.activate(path)


def say(answer: Loaded) -> None:
    """One line for the parent. A parent that is gone is noticed by the end of stdin."""
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(jsonlib.encode(answer) + b"\n")
        sys.stdout.buffer.flush()


async def _obey(configurable: Configurable, command: Command) -> Loaded:
    try:
        match command:
            case Command(load=path, prepare="", activate="") if path:
                return Loaded(loaded=await load(configurable, path))
            case Command(load="", prepare=path, activate="") if path:
                await configurable.prepare(path)
                return Loaded(prepared=path)
            case Command(load="", prepare="", activate=path) if path:
                return Loaded(loaded=await configurable.activate(path))
            case _:
                return Loaded(error="control: one of load, prepare, activate")
    except (ValueError, OSError) as exc:
        return Loaded(error=str(exc))


def is_steered() -> bool:
    """Whether stdin is something that a parent can steer by: a pipe or a socket. Others make the event loop abort."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


async def follow(configurable: Configurable) -> None:
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
        say(await _obey(configurable, command))


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:
        say(Loaded(error=f"control: a line of more than {LINE_LIMIT} bytes"))
        return b""
