"""A small HTTP/1.1 server on asyncio and h11, for upstreams of ours: replay, demo, tests.

    async def handler(request: Request) -> Response: ...
    async with serve(handler) as server:          # 127.0.0.1, a free port
        server.port, server.requests

A `Response` with bytes has a content-length; with an async iterable it is chunked, and each item is one write. `end`
says how it ends: clean, `close` (framed by the end of the connection), `eof` (connection closed before the body's last
chunk) or `reset` (TCP RST instead of it).
Not for production traffic: no limits on bodies, no timeouts.
"""

import asyncio
import contextlib
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final, Literal

import h11

from filters.contract.headers import Headers

READ_SIZE: Final = 256 * 1024
RESET_DELAY: Final = 0.05
"""Seconds between the last byte and a RST. The RST makes the peer's kernel drop what its process has not read yet, and
nothing tells this side when it has."""
End = Literal["clean", "close", "eof", "reset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, body read to its end. Header names are lower case; pseudo headers do not occur."""

    method: str
    target: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a handler answers."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | AsyncIterable[bytes] = b""
    end: End = "clean"


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Server:
    """A running server."""

    host: str
    port: int
    requests: list[Request] = field(default_factory=list)
    """every request that came, when `record` was asked for"""
    connections: int = 0
    """connections accepted so far"""


@contextlib.asynccontextmanager
async def serve(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    record: bool = False,
) -> AsyncIterator[Server]:
    """Listens until the block ends, then closes every connection. Raises OSError when the port is taken."""
    server = Server(host=host, port=port)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        connection = _Connection(reader, writer, handler, server.requests if record else None)
        task = asyncio.get_running_loop().create_task(connection.run())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, host, port, ssl=tls, limit=READ_SIZE)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Connection:
    """One client connection: requests one after the other, until either side closes."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handler: Handler,
        record: list[Request] | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._record = record
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1024 * 1024)

    async def run(self) -> None:
        try:
            while await self._one_exchange():
                self._http.start_next_cycle()
        except (ConnectionError, ssl.SSLError, h11.RemoteProtocolError):
            pass  # the client went away, or speaks no HTTP: nobody is left to tell
        finally:
            self._writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await self._writer.wait_closed()

    async def _one_exchange(self) -> bool:
        """Serves one request. False: the connection is to be closed."""
        request = await self._read()
        if request is None:
            return False
        if self._record is not None:
            self._record.append(request)
        return await self._send(await self._handler(request))

    async def _read(self) -> Request | None:
        head: h11.Request | None = None
        body: list[bytes] = []
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._reader.read(READ_SIZE))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return _request(head, b"".join(body))
            else:  # ConnectionClosed or PAUSED: no further request
                return None

    async def _send(self, response: Response) -> bool:
        self._write(_head(response))
        if isinstance(response.body, bytes):
            self._write(h11.Data(data=response.body))
        else:
            async for piece in response.body:
                self._write(h11.Data(data=piece))
                await self._writer.drain()
        if response.end == "reset":
            await self._reset()
            return False
        if response.end == "eof":
            await self._writer.drain()
            return False
        self._write(h11.EndOfMessage())
        await self._writer.drain()
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _reset(self) -> None:
        """Ends the connection with a RST once the client has everything that was written."""
        await self._writer.drain()
        transport = self._writer.transport
        connection: socket.socket = transport.get_extra_info("socket")
        await _until_acknowledged(connection)
        await asyncio.sleep(RESET_DELAY)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def _write(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            self._writer.write(data)


async def _until_acknowledged(connection: socket.socket) -> None:
    """Waits until the peer's kernel has all that was sent: a RST would overtake what it has not."""
    for _ in range(1000):
        if _unacknowledged(connection) == 0:
            return
        await asyncio.sleep(0.001)


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes in the send queue (tcp(7), SIOCOUTQ)."""
    buffer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", buffer)[0])


def _request(head: h11.Request, body: bytes) -> Request:
    return Request(
        method=head.method.decode("ascii"),
        target=head.target.decode("latin-1"),
        headers=Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers),
        body=body,
    )


def _head(response: Response) -> h11.Response:
    headers = list(response.headers)
    if not any(name.lower() == "date" for name, _ in headers):
        headers.append(("date", formatdate(usegmt=True)))  # RFC 9110 §6.6.1: every server with a clock sends it
    if response.end == "close":
        headers.append(("connection", "close"))
    elif isinstance(response.body, bytes) and response.end == "clean":
        headers.append(("content-length", str(len(response.body))))
    else:
        headers.append(("transfer-encoding", "chunked"))
    return h11.Response(status_code=response.status, headers=headers)
