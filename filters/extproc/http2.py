"""The server's half of one HTTP/2 connection, by ngh2 (libnghttp2). The only importer of ngh2.

Sans-IO: bytes in by `receive`, bytes out by `output`, events by the methods of a `Handler`. It knows no gRPC. ngh2 is
young; everything that is peculiar about it stays in this file, so that another HTTP/2 engine can take its place:

* one read may hold HEADERS + DATA + RST_STREAM, so every send may find its stream gone: sends return False then;
* events come up in `data_to_send` too, so `output` delivers them;
* a broken connection raises in `receive_data` or closes itself in `data_to_send`: both end in `closed`;
* the peer ends streams by RST_STREAM as its normal way of working, so the guards against rapid reset are raised.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import ngh2

HeaderBlock = tuple[tuple[bytes, bytes], ...]

MAX_STREAMS: Final = 10_000
"""One per LLM request in flight (two in plan `attempt`), and they live as long as the answer takes."""
STREAM_WINDOW: Final = 16 * 1024 * 1024
CONNECTION_WINDOW: Final = 256 * 1024 * 1024
"""What one connection may have sent to us that we have not taken yet: the bound of what it can make us hold."""
MAX_FRAME: Final = 1024 * 1024
MAX_HEADER_LIST: Final = 64 * 1024
"""gRPC initial metadata only; the request's own headers travel in messages."""

NO_ERROR: Final = int(ngh2.ErrorCode.NO_ERROR)
INTERNAL_ERROR: Final = int(ngh2.ErrorCode.INTERNAL_ERROR)
CANCEL: Final = int(ngh2.ErrorCode.CANCEL)

_DATA: Final = ngh2.DataReceived
_UNLIMITED: Final = (1 << 40, 1 << 40)
_SETTINGS: Final = {
    ngh2.Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
    ngh2.Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    ngh2.Setting.MAX_FRAME_SIZE: MAX_FRAME,
    ngh2.Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST,
    ngh2.Setting.ENABLE_PUSH: 0,
}
_CONFIGURATION: Final = ngh2.Configuration(
    auto_window_update=False,  # windows are given back when bytes have been worked off: the back-pressure
    stream_reset_rate_limit=_UNLIMITED,
    glitch_rate_limit=_UNLIMITED,
    max_inbound_header_list_size=MAX_HEADER_LIST,
)
OUTPUT_PIECE: Final = 1024 * 1024
"""Bytes per `output`: the caller looks between two pieces whether the socket still takes them."""


class Handler(Protocol):
    """Whom a connection tells what arrived."""

    def on_request(self, stream_id: int, headers: HeaderBlock, end: bool) -> None: ...

    def on_data(self, stream_id: int, data: bytes, end: bool) -> None:
        """The bytes count against the windows until `acknowledge`."""
        ...

    def on_end(self, stream_id: int) -> None:
        """The peer's half is complete, by trailers."""
        ...

    def on_stream_closed(self, stream_id: int) -> None:
        """Nothing can be sent any more: both halves ended, or one side reset the stream."""
        ...

    def on_ping_acknowledged(self, data: bytes) -> None: ...


class Connection:
    """One HTTP/2 connection, server side."""

    __slots__ = ("_engine", "_events", "_handler", "_output", "closed")

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._engine: Any = ngh2.Connection(ngh2.Role.SERVER, _CONFIGURATION)
        self._engine.initiate_connection(_SETTINGS)
        self._engine.set_local_window_size(CONNECTION_WINDOW)
        self._events = self._engine.events
        self._output = self._engine.data_to_send
        self.closed = False
        """The conversation is over: send what `output` still gives, then close the socket."""

    # ── in ──

    def receive(self, data: bytes) -> None:
        """Takes bytes of the peer and calls the handler. A peer that breaks the protocol leaves `closed` set."""
        try:
            self._engine.receive_data(data)
        except ngh2.NGH2Error:
            self.closed = True
        self._dispatch()

    def _dispatch(self) -> None:
        for event in self._events():
            if type(event) is _DATA:  # most events are: not by the table
                self._handler.on_data(event.stream_id, event.data, event.end_stream)
                continue
            deliver = _DELIVERY.get(type(event))
            if deliver is not None:
                deliver(self, event)

    def _request(self, event: Any) -> None:
        self._handler.on_request(event.stream_id, event.headers, event.end_stream)

    def _trailers(self, event: Any) -> None:
        self._handler.on_end(event.stream_id)

    def _stream_closed(self, event: Any) -> None:
        self._handler.on_stream_closed(event.stream_id)

    def _ping_acknowledged(self, event: Any) -> None:
        self._handler.on_ping_acknowledged(event.opaque_data)

    def _connection_closed(self, _: Any) -> None:
        self.closed = True

    def acknowledge(self, stream_id: int, amount: int) -> None:
        """Gives `amount` bytes of window back to the peer, on the stream (if it lives) and the connection."""
        try:
            self._engine.acknowledge_received_data(amount, stream_id)
        except (ngh2.NGH2Error, ValueError):
            # Not ours to judge: the stream or the connection is gone, and its windows with it.
            return

    # ── out ──

    def output(self) -> bytes:
        """The next bytes for the peer, and all of them when it is less than OUTPUT_PIECE."""
        try:
            data: bytes = self._output(OUTPUT_PIECE)
        except ngh2.NGH2Error:
            self.closed = True
            data = b""
        self._dispatch()
        return data

    def queued(self, stream_id: int | None = None) -> int:
        """Body bytes that wait for the peer's windows or for `output`, of one stream or of all."""
        size: int = self._engine.queued_body_size(stream_id)
        return size

    def send_headers(self, stream_id: int, headers: HeaderBlock, *, end: bool = False) -> bool:
        """False when the stream is gone."""
        try:
            self._engine.send_response(stream_id, headers, end_stream=end)
        except ngh2.NGH2Error:
            return False
        return True

    def send_data(self, stream_id: int, data: bytes) -> bool:
        try:
            self._engine.send_data(stream_id, data)
        except ngh2.NGH2Error:
            return False
        return True

    def send_trailers(self, stream_id: int, headers: HeaderBlock) -> bool:
        try:
            self._engine.send_trailers(stream_id, headers)
        except ngh2.NGH2Error:
            return False
        return True

    def reset(self, stream_id: int, code: int) -> None:
        self._quietly(self._engine.reset_stream, stream_id, code)

    # ── the end ──

    def announce_shutdown(self, mark: bytes) -> None:
        """GOAWAY that refuses nothing yet, and a ping: its answer says that the peer has read it."""
        self._quietly(self._engine.send_shutdown_notice)
        self._quietly(self._engine.ping, mark)

    def shut_down(self) -> None:
        """GOAWAY that refuses streams we have not seen. `closed` is set when the last open one ends."""
        self._quietly(self._engine.send_goaway, NO_ERROR)
        if not self._wants():
            self.closed = True

    def _wants(self) -> bool:
        try:
            return bool(self._engine.want_read or self._engine.want_write)
        except ngh2.NGH2Error:
            return False

    def _quietly(self, action: Callable[..., None], *arguments: object) -> None:
        try:
            action(*arguments)
        except ngh2.NGH2Error:
            # The connection ended before: there is nobody left to tell.
            return


_DELIVERY: Final[Mapping[type, Callable[[Connection, Any], None]]] = {
    ngh2.RequestReceived: Connection._request,  # noqa: SLF001  the table belongs to the class
    ngh2.TrailersReceived: Connection._trailers,  # noqa: SLF001
    ngh2.StreamClosed: Connection._stream_closed,  # noqa: SLF001
    ngh2.PingAcknowledged: Connection._ping_acknowledged,  # noqa: SLF001
    ngh2.ConnectionClosed: Connection._connection_closed,  # noqa: SLF001
}
