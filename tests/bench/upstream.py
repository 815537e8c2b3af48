"""The bench's upstream: a process of its own that reads requests cheaply and answers canned bytes.

    python -m tests.bench.upstream openai anthropic-50 …

Prints one line of JSON, answer key → port, then serves until stdin ends. It trusts its caller: HTTP/1.1 with
keep-alive, bodies with a length or chunked, nothing else.
"""

import asyncio
import sys
from typing import cast

import msgspec
import uvloop

from tests.bench.answers import CannedAnswer, answer


class _Connection(asyncio.Protocol):
    def __init__(self, canned: CannedAnswer) -> None:
        self._head, self._writes = _on_the_wire(canned)
        self._pace = canned.pace
        self._buffer = b""
        self._left = 0
        self._chunked = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it

    def data_received(self, data: bytes) -> None:
        if self._chunked:
            self._buffer = self._buffer[-8:] + data
            if self._buffer.endswith(b"0\r\n\r\n"):
                self._complete()
        elif self._left:
            self._left -= len(data)
            if self._left <= 0:
                self._complete()
        else:
            self._buffer += data
            self._read_head()

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._buffer[:end].lower(), self._buffer[end + 4 :]
        length = head.find(b"\r\ncontent-length:")
        if length < 0 and b"\r\ntransfer-encoding: chunked" in head:
            self._chunked, self._buffer = True, rest
            if rest.endswith(b"0\r\n\r\n"):
                self._complete()
            return
        self._left = (int(head[length + 17 :].split(b"\r\n", 1)[0]) if length >= 0 else 0) - len(rest)
        if self._left <= 0:
            self._complete()

    def _complete(self) -> None:
        self._buffer, self._left, self._chunked = b"", 0, False
        self._transport.write(self._head)
        if self._writes:
            asyncio.get_running_loop().call_later(self._pace, self._next, 0)

    def _next(self, index: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._writes[index])
        if index + 1 < len(self._writes):
            asyncio.get_running_loop().call_later(self._pace, self._next, index + 1)


def _on_the_wire(canned: CannedAnswer) -> tuple[bytes, tuple[bytes, ...]]:
    """The first write, and those that follow it at the pace."""
    lines = [f"HTTP/1.1 {canned.status} Whatever", *(f"{name}: {value}" for name, value in canned.headers)]
    if not canned.streamed:
        body = canned.pieces[0]
        return "\r\n".join((*lines, f"content-length: {len(body)}", "", "")).encode() + body, ()
    writes = [f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in canned.pieces]
    writes[-1] += b"0\r\n\r\n"
    return "\r\n".join((*lines, "transfer-encoding: chunked", "", "")).encode(), tuple(writes)


async def _serve(keys: list[str]) -> None:
    loop = asyncio.get_running_loop()
    ports: dict[str, int] = {}
    servers = []
    for key in keys:
        canned = answer(key)
        server = await loop.create_server(lambda canned=canned: _Connection(canned), "127.0.0.1", 0)  # type: ignore[misc]
        servers.append(server)
        ports[key] = server.sockets[0].getsockname()[1]
    print(msgspec.json.encode(ports).decode(), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    for server in servers:
        server.close()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
