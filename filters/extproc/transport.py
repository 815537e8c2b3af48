"""One client connection of the gRPC server: an asyncio protocol on top of `http2` and `grpc`.

It owns flow control, limits, deadlines, errors and the drain of one connection, and knows services only by the seam
`Service`/`Call`. Who calls it: the event loop. What it calls: the services that `server` hands in.

Back-pressure, all by HTTP/2 windows, because to stop reading the socket would also stop WINDOW_UPDATE frames:

* a stream with more than STREAM_QUEUE bytes that its peer does not take, or one whose call asked for a pause, is not
  served: its data is held and its window not given back;
* the same for all streams while the connection has more than CONNECTION_QUEUE bytes queued;
* so a peer can make us hold CONNECTION_WINDOW of its own bytes, or the replies to them, beside that queue, never more;
* only when the socket itself takes no bytes (the peer does not read at all), reading stops too.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec

from filters.extproc import grpc, http2
from filters.extproc.exchange import CloseReason
from filters.extproc.grpc import GrpcError, Status

logger = logging.getLogger(__name__)

STREAM_QUEUE: Final = 1024 * 1024
CONNECTION_QUEUE: Final = 64 * 1024 * 1024
BUFFERED_LIMIT: Final = 1024 * 1024 * 1024
"""Bytes of incomplete messages per connection; beyond it the stream that wants more is refused."""
SOCKET_BUFFER: Final = 1024 * 1024

_LARGE: Final = 64 * 1024
"""Bytes of a message that are not copied to stand behind its prefix."""

_DRAIN_MARK: Final = b"aigw-end"
_GRPC: Final = (b"content-type", b"application/grpc")
_RESPONSE_HEADERS: Final = ((b":status", b"200"), _GRPC, (b"grpc-accept-encoding", b"identity,gzip"))
_STATUS_200: Final = ((b":status", b"200"), _GRPC)
_NOT_GRPC: Final = ((b":status", b"415"),)
_OK: Final = grpc.status_trailers(Status.OK)


class Call(Protocol):
    """One RPC, as its service serves it."""

    def on_message(self, message: bytes) -> None:
        """An exception ends the stream (a GrpcError with its status, others INTERNAL), and no other."""
        ...

    def on_half_close(self) -> None:
        """No more messages."""
        ...

    def on_close(self, reason: CloseReason) -> None:
        """Called exactly once; nothing can be sent."""
        ...


class Service(Protocol):
    """Serves one method."""

    def __call__(self, stream: "Stream", metadata: Mapping[str, str]) -> Call: ...


Services = Mapping[str, Service]
"""by `:path`"""


class Stream:
    """One RPC on one connection: what a Call may do."""

    __slots__ = (
        "_answered",
        "_call",
        "_connection",
        "_deadline",
        "_held",
        "_held_end",
        "_http",
        "_reader",
        "blocked",
        "half_closed",
        "id",
        "open",
        "paused",
    )

    def __init__(self, connection: "Connection", stream_id: int, *, gzip: bool) -> None:
        self.id = stream_id
        self.open = True
        self.half_closed = False
        self.paused = False
        """the call asked for no more messages"""
        self.blocked = False
        """the peer does not take what is queued"""
        self._connection = connection
        self._http = connection.http
        self._reader = grpc.MessageReader(gzip=gzip)
        self._call: Call | None = None
        self._answered = False
        self._held: deque[bytes] = deque()
        self._held_end = False
        self._deadline: asyncio.TimerHandle | None = None

    # ── what a call may do ──

    def send(self, message: bytes) -> None:
        """Queues one message. Without effect when the stream is gone."""
        if not self.open:
            return
        http = self._http
        if not self._answered:
            self._answered = True
            http.send_headers(self.id, _RESPONSE_HEADERS)
        if len(message) < _LARGE:
            http.send_data(self.id, grpc.frame(message))
        else:
            http.send_data(self.id, grpc.prefix(message))
            http.send_data(self.id, message)
        connection = self._connection
        connection.sent.append(self)
        connection.touch()

    def finish(self, status: Status = Status.OK, message: str = "", *, reason: CloseReason = "end") -> None:
        """Ends the RPC with `status`, after what is queued."""
        if not self.open:
            return
        http = self._connection.http
        trailers = grpc.status_trailers(status, message) if status or message else _OK
        if self._answered:
            http.send_trailers(self.id, trailers)
        else:
            http.send_headers(self.id, (*_STATUS_200, *trailers), end=True)
        self._connection.stream_finished(self)
        self.close(reason)
        self._connection.touch()

    def pause(self) -> None:
        """No further message until `resume`."""
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self.serve_held()

    # ── what the connection does ──

    def start(self, call: Call, deadline: asyncio.TimerHandle | None) -> None:
        self._call = call
        self._deadline = deadline

    def receive(self, data: bytes, *, end: bool) -> None:
        """Bytes of the peer, in order."""
        if self.paused or self.blocked or self._held or self._connection.full:
            self._held.append(data)
            self._held_end = self._held_end or end
            return
        self._http.acknowledge(self.id, len(data))
        message = self._reader.whole(data)
        if message is None:
            self._take(data, end=end)
            return
        self._deliver(message)
        if end:
            self._end()

    def serve_held(self) -> None:
        """Goes on with what was held back, if nothing is in the way any more."""
        while self._held and not (self.paused or self.blocked or self._connection.full) and self.open:
            data = self._held.popleft()
            self._http.acknowledge(self.id, len(data))
            self._take(data, end=self._held_end and not self._held)
        if not self._held and not self.paused and self.open:
            self._messages(end=self._held_end)

    def _take(self, data: bytes, *, end: bool) -> None:
        if data:
            buffered = self._connection.buffered + len(data)
            if buffered > BUFFERED_LIMIT:
                self.finish(Status.RESOURCE_EXHAUSTED, "too many bytes of incomplete messages", reason="error")
                return
            self._connection.buffered = buffered
            self._reader.feed(data)
        self._messages(end=end)

    def _messages(self, *, end: bool) -> None:
        """Delivers the complete messages that the reader holds."""
        while self.open and not self.paused:
            message = self._next()
            if message is None:
                break
            self._deliver(message)
        if end:
            self._end()

    def _next(self) -> bytes | None:
        before = self._reader.size
        error = None
        try:
            message = self._reader.next()
        except GrpcError as caught:
            message, error = None, caught
        self._connection.buffered += self._reader.size - before
        if error is not None:
            self.finish(error.status, error.message, reason="error")
        return message

    def _deliver(self, message: bytes) -> None:
        assert self._call is not None
        try:
            self._call.on_message(message)
        except GrpcError as error:
            self.finish(error.status, error.message, reason="error")
        except Exception as exc:
            log_fault("a call failed", exc)
            self.finish(Status.INTERNAL, "internal error", reason="error")

    def _end(self) -> None:
        if not self.open:
            return
        if self.paused:
            # The end comes after the messages before it.
            self._held_end = True
            return
        if self.half_closed:
            return
        self.half_closed = True
        if self._reader.size:
            self.finish(Status.INTERNAL, "the stream ended within a message", reason="error")
            return
        assert self._call is not None
        try:
            self._call.on_half_close()
        except GrpcError as error:
            self.finish(error.status, error.message, reason="error")
        except Exception as exc:
            log_fault("a call failed at its end", exc)
            self.finish(Status.INTERNAL, "internal error", reason="error")

    def close(self, reason: CloseReason) -> None:
        """Forgets the stream and tells the call."""
        if not self.open:
            return
        self.open = False
        if self._deadline is not None:
            self._deadline.cancel()
        self._connection.forget(self)
        self._connection.buffered -= self._reader.size
        for data in self._held:
            self._connection.http.acknowledge(self.id, len(data))
        self._held.clear()
        call, self._call = self._call, None
        if call is None:
            return
        try:
            call.on_close(reason)
        except Exception as exc:
            log_fault("a call failed while it was closed", exc)


class _Opening(msgspec.Struct, frozen=True):
    """What the headers of one RPC say."""

    path: str
    metadata: Mapping[str, str]
    """names lower case, no pseudo headers; shared by streams, so never to be changed"""
    seconds: float | None
    """until its deadline"""
    gzip: bool
    """its messages may be compressed"""


@lru_cache(maxsize=256)
def _read_opening(headers: http2.HeaderBlock) -> _Opening | None:
    """None: not gRPC. Raises GrpcError. Remembered, because Envoy opens thousands of streams with the same headers."""
    texts = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    metadata = {name: value for name, value in texts.items() if not name.startswith(":")}
    if texts.get(":method") != "POST" or not metadata.get("content-type", "").startswith("application/grpc"):
        return None
    timeout = metadata.get("grpc-timeout")
    return _Opening(
        texts.get(":path", ""),
        MappingProxyType(metadata),
        None if timeout is None else grpc.timeout_seconds(timeout),
        grpc.uses_gzip(metadata.get("grpc-encoding", "")),
    )


class Connection(asyncio.Protocol):
    """One client of the server."""

    def __init__(
        self,
        services: Services,
        *,
        on_open: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
    ) -> None:
        self.http = http2.Connection(self)
        self.full = False
        """more is queued than CONNECTION_QUEUE"""
        self.buffered = 0
        self._services = services
        self._on_open = on_open
        self._on_lost = on_lost
        self._call_later = call_later
        self._streams: dict[int, Stream] = {}
        self._blocked: dict[int, Stream] = {}
        self._finished: set[int] = set()
        self.sent: list[Stream] = []
        """streams that have queued a message since the last flush"""
        self._transport: Any = None
        self._writing_paused = False
        self._busy = False
        self._draining = False

    # ── events of the socket ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=SOCKET_BUFFER)
        self._on_open(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._busy = True
        try:
            self.http.receive(data)
        finally:
            self._busy = False
        self._flush()

    def pause_writing(self) -> None:
        self._writing_paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end_streams("connection")
        self._on_lost(self)

    # ── events of HTTP/2 ──

    def on_request(self, stream_id: int, headers: http2.HeaderBlock, end: bool) -> None:
        try:
            opening = _read_opening(headers)
            if opening is None:
                self._refuse(stream_id, _NOT_GRPC, end)
                return
            stream = self._open(stream_id, opening)
        except GrpcError as error:
            self._refuse(stream_id, (*_STATUS_200, *grpc.status_trailers(error.status, error.message)), end)
            return
        if end and stream.open:
            stream.receive(b"", end=True)

    def _refuse(self, stream_id: int, headers: http2.HeaderBlock, end: bool) -> None:
        self.http.send_headers(stream_id, headers, end=True)
        if not end:
            self._finished.add(stream_id)

    def _open(self, stream_id: int, opening: "_Opening") -> Stream:
        service = self._services.get(opening.path)
        if service is None:
            raise GrpcError(Status.UNIMPLEMENTED, "no such method")
        seconds = opening.seconds
        stream = Stream(self, stream_id, gzip=opening.gzip)
        try:
            call = service(stream, opening.metadata)
        except GrpcError:
            raise
        except Exception as exc:
            log_fault("a call could not be opened", exc)
            raise GrpcError(Status.INTERNAL, "internal error") from exc
        deadline = None if seconds is None else self._call_later(seconds, lambda: self._expire(stream))
        stream.start(call, deadline)
        self._streams[stream_id] = stream
        return stream

    def on_data(self, stream_id: int, data: bytes, end: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self.http.acknowledge(stream_id, len(data))
        else:
            stream.receive(data, end=end)

    def on_end(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.receive(b"", end=True)

    def on_stream_closed(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            # Ours is still open, so it was not both halves ending.
            stream.close("reset")

    def on_ping_acknowledged(self, data: bytes) -> None:
        if self._draining and data == _DRAIN_MARK:
            self.http.shut_down()

    # ── out ──

    def touch(self) -> None:
        """There is something to send: now, or at the end of the read that is being worked off."""
        if not self._busy:
            self._flush()

    def _flush(self) -> None:
        """Sends what can be sent, then serves what had to wait for that."""
        if self._busy:
            return
        self._busy = True
        try:
            self._send()
            while self._settle():
                self._send()
        finally:
            self._busy = False
        if self.http.closed and self._transport is not None and not self._writing_paused:
            self._transport.close()

    def _send(self) -> None:
        while not self._writing_paused and self._transport is not None:
            data = self.http.output()
            if data:
                self._transport.write(data)
            if len(data) < http2.OUTPUT_PIECE:
                return

    def _settle(self) -> bool:
        """Looks at the queues after a flush: who is blocked, who goes on. True when that gave more to send."""
        if not (self.sent or self._blocked or self._finished or self.full):
            return False  # nothing was sent and nobody waits: a stream was opened, or reset
        queued = self.http.queued()
        if queued:
            for stream in self.sent:
                if stream.open and not stream.blocked and self.http.queued(stream.id) > STREAM_QUEUE:
                    stream.blocked = True
                    self._blocked[stream.id] = stream
        self.sent.clear()
        was_full, self.full = self.full, queued > CONNECTION_QUEUE
        progress = False
        if self._finished:
            progress = self._reset_finished()
        if self._blocked:
            progress = self._unblock() or progress
        if was_full and not self.full:
            for stream in list(self._streams.values()):
                stream.serve_held()
            progress = True
        return progress

    def _unblock(self) -> bool:
        ready = [stream for stream in self._blocked.values() if self.http.queued(stream.id) <= STREAM_QUEUE // 2]
        for stream in ready:
            self._blocked.pop(stream.id, None)
            stream.blocked = False
            stream.serve_held()
        return bool(ready)

    def _reset_finished(self) -> bool:
        """Ends the other half of streams that we have ended, when the peer has not: it has nothing to say there."""
        ready = [stream_id for stream_id in self._finished if not self.http.queued(stream_id)]
        self._finished.difference_update(ready)
        for stream_id in ready:
            self.http.reset(stream_id, http2.NO_ERROR)
        return bool(ready)

    def stream_finished(self, stream: Stream) -> None:
        """We have ended our half."""
        if not stream.half_closed:
            self._finished.add(stream.id)

    # ── the end ──

    def forget(self, stream: Stream) -> None:
        self._streams.pop(stream.id, None)
        self._blocked.pop(stream.id, None)

    def _expire(self, stream: Stream) -> None:
        stream.finish(Status.DEADLINE_EXCEEDED, "deadline exceeded", reason="deadline")

    def drain(self) -> None:
        """Asks the client to go elsewhere; streams in flight end in their own time, then the connection closes."""
        self._draining = True
        self.http.announce_shutdown(_DRAIN_MARK)
        self._flush()

    def abort(self) -> None:
        """Ends the connection and its streams now."""
        self._end_streams("shutdown")
        if self._transport is not None:
            self._transport.abort()

    def _end_streams(self, reason: CloseReason) -> None:
        for stream in list(self._streams.values()):
            stream.close(reason)

    @property
    def streams(self) -> int:
        """Open streams."""
        return len(self._streams)


def log_fault(what: str, exc: BaseException) -> None:
    """Logs an unexpected exception by type and place. Its text and its frames' values may hold content: not logged."""
    place = "?"
    trace = exc.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    logger.error("%s: %s at %s", what, type(exc).__name__, place)
