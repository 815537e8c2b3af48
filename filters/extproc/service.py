"""The two gRPC services: Envoy's ExternalProcessor on top of exchanges, and health.

Who uses it: `filters.main` puts them into a `server.Server`. It decides what a failure of an exchange looks like to
Envoy, and passes on what belongs to another worker; it knows nothing about requests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from filters.contract import jsonlib
from filters.contract.config import LEVEL_HEADER
from filters.extproc import codec, messages, transport
from filters.extproc.exchange import CloseReason, Exchange, ExchangeFactory
from filters.extproc.grpc import GrpcError, Status
from filters.extproc.messages import Forward, HeadersReply, ImmediateReply, Message

PROCESS_PATH: Final = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
HEALTH_CHECK_PATH: Final = "/grpc.health.v1.Health/Check"
HEALTH_WATCH_PATH: Final = "/grpc.health.v1.Health/Watch"
_SERVICE_NAMES: Final = ("", "envoy.service.ext_proc.v3.ExternalProcessor")

Ask = Callable[[str, Mapping[str, str], bytes], Awaitable[Sequence[bytes]]]
"""(process, initial metadata, ProcessingRequest) → ProcessingResponses of the exchange that the process holds.
Raises OSError when there is no such process, or it did not answer."""


def _neutral(status: int, type_: str, code: str, message: str) -> bytes:
    body = jsonlib.encode({"type": "error", "error": {"type": type_, "code": code, "message": message}})
    return codec.encode(
        ImmediateReply(
            status=status, body=body, headers=(("content-type", "application/json"),), details=f"aigw_{code}"
        )
    )


_FAILED: Final = _neutral(
    500, "InternalServerError", "internal_error", "the gateway could not process this request; its log says why"
)
_OWNER_GONE: Final = _neutral(
    503, "ServiceUnavailable", "worker_gone", "the gateway process that held this request has ended; try again"
)


class ExternalProcessor:
    """Opens one exchange per stream."""

    def __init__(self, factory: ExchangeFactory, ask: Ask | None = None) -> None:
        """`ask` is None when there is no other process."""
        self.factory = factory
        self.ask = ask
        self.tasks: set[asyncio.Task[None]] = set()

    def __call__(self, stream: transport.Stream, metadata: Mapping[str, str]) -> "_Process":
        return _Process(self, stream, metadata, self.factory(metadata))

    def attempts_only(self, stream: transport.Stream, metadata: Mapping[str, str]) -> "_Process":
        """Serves attempts, which belong to requests that began before, and sends new requests away: Envoy tries them
        again, and finds our successor."""
        if metadata.get(LEVEL_HEADER) != "upstream":
            raise GrpcError(Status.UNAVAILABLE, "this process is ending")
        return self(stream, metadata)

    def answer(self, metadata: Mapping[str, str], data: bytes) -> list[bytes]:
        """The other end of `ask`: serves one message of a stream that landed in another process.

        Raises CodecError for bytes that are no message, and whatever the exchange raises.
        """
        exchange = self.factory(metadata)
        try:
            replies = exchange.on_message(codec.decode(data))
            return [codec.encode(reply) for reply in replies]
        finally:
            exchange.on_close("end")


class _Process:
    """One stream: an exchange, and what Envoy has been told so far."""

    __slots__ = ("_exchange", "_metadata", "_processor", "_stream", "_streaming", "_task")

    def __init__(
        self, processor: ExternalProcessor, stream: transport.Stream, metadata: Mapping[str, str], exchange: Exchange
    ) -> None:
        self._processor = processor
        self._stream = stream
        self._metadata = metadata
        self._exchange = exchange
        self._streaming = False
        """the response headers have gone to the client"""
        self._task: asyncio.Task[None] | None = None

    def on_message(self, data: bytes) -> None:
        try:
            message = codec.decode(data)
        except codec.CodecError as exc:
            raise GrpcError(Status.INVALID_ARGUMENT, str(exc)) from exc
        try:
            for reply in self._exchange.on_message(message):
                if type(reply) is Forward:
                    self._forward(reply.process, data)
                    return
                if type(reply) is HeadersReply and reply.response_body == "STREAMED":
                    self._streaming = True
                self._stream.send(codec.encode(reply))
        except Exception as exc:
            transport.log_fault("an exchange failed", exc)
            self._fail(message)

    def _fail(self, message: Message) -> None:
        if isinstance(message, messages.ResponseTrailers) or (
            self._streaming and isinstance(message, messages.ResponseBody)
        ):
            # The client has a status already: all that is left is to break its stream off.
            self._stream.finish(Status.INTERNAL, "internal error", reason="error")
        else:
            self._stream.send(_FAILED)
            self._stream.finish(reason="error")

    def _forward(self, process: str, data: bytes) -> None:
        ask = self._processor.ask
        if ask is None:
            self._stream.send(_OWNER_GONE)
            self._stream.finish(reason="error")
            return
        self._stream.pause()
        self._task = asyncio.get_running_loop().create_task(self._await_owner(ask(process, self._metadata, data)))
        self._processor.tasks.add(self._task)
        self._task.add_done_callback(self._processor.tasks.discard)

    async def _await_owner(self, answer: Awaitable[Sequence[bytes]]) -> None:
        try:
            replies = await answer
        except OSError:
            self._task = None
            self._stream.send(_OWNER_GONE)
            self._stream.finish(reason="error")
            return
        self._task = None  # what follows may close the stream, and must not cancel us
        for reply in replies:
            self._stream.send(reply)
        self._stream.resume()

    def on_half_close(self) -> None:
        self._stream.finish()

    def on_close(self, reason: CloseReason) -> None:
        if self._task is not None:
            self._task.cancel()
        self._exchange.on_close(reason)


class Health:
    """grpc.health.v1: SERVING once a configuration is loaded."""

    def __init__(self) -> None:
        self._serving = False
        self._watchers: set[transport.Stream] = set()

    @property
    def serving(self) -> bool:
        return self._serving

    @serving.setter
    def serving(self, value: bool) -> None:
        if value == self._serving:
            return
        self._serving = value
        for stream in list(self._watchers):
            stream.send(codec.encode_health(serving=value))

    def check(self, stream: transport.Stream, metadata: Mapping[str, str]) -> "_HealthCall":
        return _HealthCall(self, stream, watch=False)

    def watch(self, stream: transport.Stream, metadata: Mapping[str, str]) -> "_HealthCall":
        return _HealthCall(self, stream, watch=True)

    def add_watcher(self, stream: transport.Stream) -> None:
        self._watchers.add(stream)

    def remove_watcher(self, stream: transport.Stream) -> None:
        self._watchers.discard(stream)


class _HealthCall:
    __slots__ = ("_health", "_stream", "_watch")

    def __init__(self, health: Health, stream: transport.Stream, *, watch: bool) -> None:
        self._health = health
        self._stream = stream
        self._watch = watch

    def on_message(self, data: bytes) -> None:
        try:
            service = codec.decode_health_request(data)
        except codec.CodecError as exc:
            raise GrpcError(Status.INVALID_ARGUMENT, str(exc)) from exc
        if service not in _SERVICE_NAMES:
            raise GrpcError(Status.NOT_FOUND, "unknown service")
        self._stream.send(codec.encode_health(serving=self._health.serving))
        if self._watch:
            self._health.add_watcher(self._stream)
        else:
            self._stream.finish()

    def on_half_close(self) -> None:
        if not self._watch:
            raise GrpcError(Status.INVALID_ARGUMENT, "a check without a request")

    def on_close(self, reason: CloseReason) -> None:
        self._health.remove_watcher(self._stream)


def services(processor: ExternalProcessor, health: Health) -> transport.Services:
    """What the server serves, by path."""
    return {PROCESS_PATH: processor, HEALTH_CHECK_PATH: health.check, HEALTH_WATCH_PATH: health.watch}


def last_services(processor: ExternalProcessor, health: Health) -> transport.Services:
    """What a server that drains serves on new connections."""
    return {**services(processor, health), PROCESS_PATH: processor.attempts_only}
