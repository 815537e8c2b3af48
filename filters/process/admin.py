"""The admin HTTP of a filter process: `/health` and `/metrics`. GET only, one answer per connection."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from filters.extproc.server import bind_unix

READ_LIMIT: Final = 5.0
"""Seconds until a client that has not sent its request is dropped."""
HEAD_LIMIT: Final = 16 * 1024
_TEXT: Final = "text/plain; charset=utf-8"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
_REASONS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}


class Admin:
    """Answers probes and scrapers."""

    def __init__(self, *, healthy: Callable[[], bool], metrics: Callable[[], Awaitable[bytes]]) -> None:
        self._healthy = healthy
        self._metrics = metrics
        self._listener: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Returns the port (port 0: a free one). Raises OSError."""
        self._listener = await asyncio.start_server(self._serve, host, port, limit=HEAD_LIMIT)
        return int(self._listener.sockets[0].getsockname()[1])

    async def listen_unix(self, path: str) -> None:
        """Raises OSError."""
        self._listener = await asyncio.start_unix_server(self._serve, sock=bind_unix(path), limit=HEAD_LIMIT)

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away or sends no request is no event worth a line in the log.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(READ_LIMIT):
                head = await reader.readuntil(b"\r\n\r\n")
            status, kind, body = await self._answer(head.split(b"\r\n", 1)[0])
            writer.write(
                f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                "connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    async def _answer(self, line: bytes) -> tuple[int, str, bytes]:  # status, content type, body
        method, _, rest = line.partition(b" ")
        if method != b"GET":
            return 405, _TEXT, b"GET only\n"
        match rest.partition(b" ")[0].partition(b"?")[0]:
            case b"/health":
                return (200, _TEXT, b"OK\n") if self._healthy() else (500, _TEXT, b"no configuration loaded\n")
            case b"/metrics":
                return 200, _METRICS, await self._metrics()
            case _:
                return 404, _TEXT, b"/health or /metrics\n"


async def get_unix(path: str, target: str) -> bytes:
    """The body of a 200 answer of the `Admin` at `path`. Raises OSError."""
    async with asyncio.timeout(READ_LIMIT):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(f"GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(f"{target}: not a good answer")
    return body
