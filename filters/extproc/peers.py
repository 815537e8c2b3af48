"""How filter processes ask each other: one unix socket per process, length-prefixed msgpack, answers in any order.

Needed when the two ext_proc streams of a request land in different processes (plan `attempt`), because there are
several workers, or because one takes over from another: the upstream-level message goes to the process that holds the
request, and its reply comes back. Each process has a `PeerServer`; `Peers` is the asking half.

    length (4 bytes, big endian) · Ask or Answer
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from filters.extproc.grpc import MAX_MESSAGE
from filters.extproc.server import bind_unix, remove_own
from filters.extproc.transport import log_fault

_LENGTH: Final = 4
_MAX_FRAME: Final = MAX_MESSAGE + 64 * 1024
"""one message, its metadata and the envelope"""
CONNECT_LIMIT: Final = 2.0
"""Seconds; on a unix socket only a stopped process takes longer."""
ANSWER_LIMIT: Final = 30.0
"""Seconds; Envoy gives up on a message before that (`message_timeout`, 10 s)."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    id: int
    metadata: dict[str, str]
    message: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True):
    id: int
    replies: list[bytes]
    failed: bool = False


Serve = Callable[[Mapping[str, str], bytes], list[bytes]]
_encoder = msgspec.msgpack.Encoder()
_asks = msgspec.msgpack.Decoder(Ask)
_answers = msgspec.msgpack.Decoder(Answer)


class _Frames(asyncio.Protocol):
    """Cuts what arrives into frames; a frame that is too long or cannot be read ends the connection."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        try:
            while len(buffer) >= _LENGTH:
                end = _LENGTH + int.from_bytes(buffer[:_LENGTH], "big")
                if end > _MAX_FRAME:
                    raise ValueError("frame too long")
                if len(buffer) < end:
                    return
                frame = bytes(memoryview(buffer)[_LENGTH:end])
                del buffer[:end]
                self.on_frame(frame)
        except (ValueError, msgspec.MsgspecError) as exc:
            log_fault("a peer sent what it must not", exc)
            self.transport.abort()

    def on_frame(self, frame: bytes) -> None:
        raise NotImplementedError

    def send(self, value: Ask | Answer) -> None:
        data = _encoder.encode(value)
        self.transport.write(len(data).to_bytes(_LENGTH, "big") + data)


class _Serving(_Frames):
    def __init__(self, serve: Serve, open_: "set[_Serving]") -> None:
        super().__init__()
        self._serve = serve
        self._open = open_

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)

    def on_frame(self, frame: bytes) -> None:
        ask = _asks.decode(frame)
        try:
            answer = Answer(ask.id, self._serve(ask.metadata, ask.message))
        except Exception as exc:
            log_fault("a peer's question failed", exc)
            answer = Answer(ask.id, [], failed=True)
        self.send(answer)


class PeerServer:
    """Answers the other processes."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._open: set[_Serving] = set()
        self._listener: asyncio.AbstractServer | None = None
        self._path = ""
        self._inode = 0

    async def listen(self, path: str) -> None:
        listening = bind_unix(path)
        self._path, self._inode = path, os.stat(path).st_ino
        self._listener = await asyncio.get_running_loop().create_unix_server(
            lambda: _Serving(self._serve, self._open), sock=listening
        )

    def close(self) -> None:
        if self._listener is not None:
            remove_own(self._path, self._inode)
            self._listener.close()
            self._listener = None
        for connection in self._open:
            connection.transport.abort()


class _Asking(_Frames):
    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[int, asyncio.Future[list[bytes]]] = {}
        self._next = 0
        self.open = True

    def ask(self, metadata: Mapping[str, str], message: bytes) -> asyncio.Future[list[bytes]]:
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        number = self._next
        self._next += 1
        self._waiting[number] = future
        future.add_done_callback(lambda _: self._waiting.pop(number, None))
        self.send(Ask(number, dict(metadata), message))
        return future

    def on_frame(self, frame: bytes) -> None:
        answer = _answers.decode(frame)
        future = self._waiting.get(answer.id)
        if future is None or future.done():
            return
        if answer.failed:
            future.set_exception(ConnectionError("the worker failed to answer"))
        else:
            future.set_result(answer.replies)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(ConnectionResetError("the worker is gone"))


class Peers:
    """Asks other processes. `path` gives the socket of a process by its name."""

    def __init__(self, path: Callable[[str], str]) -> None:
        self._path = path
        self._connections: dict[str, _Asking] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def ask(self, process: str, metadata: Mapping[str, str], message: bytes) -> Sequence[bytes]:
        """The replies of the exchange that `process` holds. Raises OSError when it is gone, fails, does not answer."""
        connection = await self._connection(process)
        async with asyncio.timeout(ANSWER_LIMIT):  # TimeoutError is an OSError
            return await connection.ask(metadata, message)

    async def _connection(self, process: str) -> _Asking:
        async with self._locks.setdefault(process, asyncio.Lock()):
            connection = self._connections.get(process)
            if connection is None or not connection.open:
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(CONNECT_LIMIT):
                    _, connection = await loop.create_unix_connection(_Asking, self._path(process))
                self._connections[process] = connection
            return connection

    def close(self) -> None:
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.transport.abort()
        self._connections.clear()
