"""An HTTP/2 client (ngh2) and a server connection joined in memory: every byte passes by hand, nothing waits."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ngh2

from filters.extproc import grpc
from filters.extproc.transport import Connection, Services

READ = 256 * 1024
"""Bytes per `data_received`, as uvloop reads."""
HEADERS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"filter"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
)


class FakeTransport(asyncio.Transport):
    """Keeps what the server writes; can be told to take no more."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written.append(bytes(data))

    def take(self) -> bytes:
        data = b"".join(self.written)
        self.written.clear()
        return data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class Timer:
    """What `call_later` of the tests gives back."""

    seconds: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Answer:
    """What the client has seen of one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    closed: bool = False
    reset: int | None = None

    @property
    def messages(self) -> list[bytes]:
        reader = grpc.MessageReader()
        reader.feed(bytes(self.data))
        found = []
        while (message := reader.next()) is not None:
            found.append(message)
        return found


class Pair:
    """A client, a server connection, and what passed between them."""

    def __init__(self, services: Services, *, window: int | None = None) -> None:
        self.timers: list[Timer] = []
        self.lost = False
        self.server = Connection(
            services,
            on_open=lambda _: None,
            on_lost=self._note_lost,
            call_later=self._call_later,  # type: ignore[arg-type]
        )
        self.transport = FakeTransport()
        self.server.connection_made(self.transport)
        self.client: Any = ngh2.Connection(ngh2.Role.CLIENT, ngh2.Configuration(auto_window_update=window is None))
        self.client.initiate_connection({} if window is None else {ngh2.Setting.INITIAL_WINDOW_SIZE: window})
        self.answers: dict[int, Answer] = defaultdict(Answer)
        self.goaways: list[int] = []
        self.pump()

    def _note_lost(self, _: Connection) -> None:
        self.lost = True

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(seconds, callback)
        self.timers.append(timer)
        return timer

    def request(self, path: str, *headers: tuple[bytes, bytes], end: bool = False) -> int:
        fields = (*HEADERS, (b":path", path.encode()), *headers)
        return int(
            self.client.send_request(sorted(fields, key=lambda pair: not pair[0].startswith(b":")), end_stream=end)
        )

    def send(self, stream: int, *messages: bytes, end: bool = False) -> None:
        self.client.send_data(stream, b"".join(grpc.frame(message) for message in messages), end_stream=end)

    def pump(self) -> None:
        """Passes bytes both ways until nothing moves."""
        while True:
            upward = self.client.data_to_send(READ)
            if upward and not self.transport.closed:
                self.server.data_received(upward)
            downward = self.transport.take()
            if downward:
                with contextlib.suppress(ngh2.ConnectionStateError):  # the client may have ended by itself
                    self.client.receive_data(downward)
            self._note()
            if not upward and not downward:
                return

    def _note(self) -> None:
        for event in self.client.events():
            match event:
                case ngh2.ResponseReceived() | ngh2.TrailersReceived():
                    pairs = {name.decode(): value.decode() for name, value in event.headers}
                    self.answers[event.stream_id].headers.update(pairs)
                case ngh2.DataReceived():
                    self.answers[event.stream_id].data += event.data
                case ngh2.StreamReset():
                    self.answers[event.stream_id].reset = event.error_code
                case ngh2.StreamClosed():
                    self.answers[event.stream_id].closed = True
                case ngh2.GoAwayReceived():
                    self.goaways.append(event.last_stream_id)
                case _:
                    pass
