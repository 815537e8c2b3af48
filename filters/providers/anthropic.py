"""Anthropic's own API (`api.anthropic.com`, and whoever speaks it under some path prefix) behind OpenAI chat clients.

`AnthropicChat` is the translator for every platform that hosts the Messages format; a `Platform` says what differs:
path, headers and members around the body, framing of the stream, name of nameless errors. Translation chapter §8, §12.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from filters.contract.headers import Headers
from filters.contract.translation import Call, Output, ResponseStart, UpstreamRequest
from filters.dialects import events
from filters.dialects.anthropic_messages import error
from filters.dialects.anthropic_messages.decode import EventDecoder, StreamDecoder
from filters.dialects.events import Event
from filters.dialects.openai_chat.encode import TRUNCATED, ChatStreamEncoder
from filters.dialects.openai_chat.error import error_body
from filters.errors import TruncatedStream, UpstreamFailure
from filters.mappings.openai_chat_to_anthropic import request, response
from filters.mappings.openai_chat_to_anthropic.request import Translated
from filters.providers import paths
from filters.providers.base import Provider

BACKEND_ERROR: Final = "AnthropicBackendError"
VERSION_HEADER: Final = "anthropic-version"
VERSION: Final = "2023-06-01"
BETA_HEADER: Final = "anthropic-beta"
FOREIGN_HEADERS: Final = ("openai-organization", "openai-project", "openai-beta")
"""The client's own headers for OpenAI; no business of another provider."""

_EVENT_STREAM: Final = "text/event-stream"
_STREAM_HEADER: Final = (("content-type", _EVENT_STREAM),)
_JSON_HEADER: Final = (("content-type", "application/json"),)


class Decoder(Protocol):
    """A stream in the platform's framing → events; see `StreamDecoder`."""

    def feed(self, data: bytes, *, end: bool) -> list[Event]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Who hosts the Messages format."""

    frame: Callable[[Call, Translated], UpstreamRequest]
    """puts path, headers and the platform's own members around a translated request"""
    stream_type: str
    """content type of its streams"""
    decoder: Callable[[str], Decoder]
    """of one stream; takes the name of the tool whose input is the answer's text"""
    backend_error: str
    """type of errors that the provider did not name"""


class AnthropicChat:
    """One attempt at a backend that speaks the Messages API. See `filters.contract.translation.Translator`."""

    __slots__ = ("_answer", "_call", "_json_tool", "_platform")

    def __init__(self, call: Call, platform: Platform) -> None:
        self._call = call
        self._platform = platform
        self._json_tool = ""
        self._answer: _Stream | _Buffered | None = None

    def request(self) -> UpstreamRequest:
        translated = request.translate(self._call)
        self._json_tool = translated.json_tool
        return self._platform.frame(self._call, translated)

    def start(self, status: int, headers: Headers) -> ResponseStart:
        if not 200 <= status <= 299:
            self._answer = _Buffered(partial(self._error, status))
            return ResponseStart(body="buffer")
        # A client that asked for a stream may be answered whole, and the other way round: the answer says what it is.
        kind = headers.get("content-type").lower()
        if not self._call.stream:
            streamed = self._platform.stream_type in kind
            self._answer = _Buffered(self._stream_as_whole if streamed else self._whole)
            return ResponseStart(body="buffer")
        if "json" in kind or "html" in kind:  # or a proxy's page, with a good status
            self._answer = _Buffered(self._whole_as_stream)
            return ResponseStart(body="buffer", headers=_STREAM_HEADER)
        self._answer = _Stream(self._platform.decoder(self._json_tool), self._encoder())
        return ResponseStart(body="stream", headers=_STREAM_HEADER)

    def feed(self, data: bytes, *, end: bool) -> Output:
        assert self._answer is not None  # `start` comes first
        return self._answer.feed(data, end=end)

    def _error(self, status: int, body: bytes) -> Output:
        """An error answer. Its status and its other headers (`retry-after`, …) go on as they are."""
        detail = error.read(body)
        name = (detail.type if detail is not None else "") or self._platform.backend_error
        if detail is not None:
            message = detail.message
        else:
            message = body.decode(errors="replace") or f"status {status} without a body"
        return Output(body=error_body(type=name, code=str(status), message=message), headers=_JSON_HEADER)

    def _whole(self, body: bytes) -> Output:
        return self._completion(self._read(body))

    def _stream_as_whole(self, body: bytes) -> Output:
        happened = self._platform.decoder(self._json_tool).feed(body, end=True)
        for event in happened:
            if isinstance(event, events.Failure):
                raise UpstreamFailure(event.message, code="stream_failed", type=event.type, status=event.status)
        if not any(isinstance(event, events.End) for event in happened):
            raise TruncatedStream(TRUNCATED.message, code="stream_truncated")
        return self._completion(happened)

    def _whole_as_stream(self, body: bytes) -> Output:
        """What cannot be read, or is an error, raises: the client has had no status yet, so it gets the right one."""
        return self._encoder().feed(self._read(body), end=True)

    def _read(self, body: bytes) -> list[Event]:
        return EventDecoder(json_tool=self._json_tool, backend_error=self._platform.backend_error).message(body)

    def _completion(self, happened: Sequence[Event]) -> Output:
        call = self._call
        answer = response.answer(happened, id=f"chatcmpl-{call.request_id}", model=call.model, created=call.created)
        return Output(body=answer.encode(), headers=_JSON_HEADER, usage=answer.usage, model=answer.model, content=True)

    def _encoder(self) -> ChatStreamEncoder:
        call = self._call
        return ChatStreamEncoder(
            id=f"chatcmpl-{call.request_id}", model=call.model, created=call.created, include_usage=call.include_usage
        )


class _Stream:
    __slots__ = ("_decoder", "_encoder")

    def __init__(self, decoder: Decoder, encoder: ChatStreamEncoder) -> None:
        self._decoder = decoder
        self._encoder = encoder

    def feed(self, data: bytes, *, end: bool) -> Output:
        return self._encoder.feed(self._decoder.feed(data, end=end), end=end)


class _Buffered:
    """An answer that is read when it is complete."""

    __slots__ = ("_finish", "_pieces")

    def __init__(self, finish: Callable[[bytes], Output]) -> None:
        self._finish = finish
        self._pieces: list[bytes] = []

    def feed(self, data: bytes, *, end: bool) -> Output:
        self._pieces.append(data)
        return self._finish(b"".join(self._pieces)) if end else Output(body=b"")


def _framed(call: Call, translated: Translated) -> UpstreamRequest:
    members: Mapping[str, object] = {"model": call.model, "stream": True} if call.stream else {"model": call.model}
    headers = [("content-type", "application/json")]
    if not call.headers.get(VERSION_HEADER):
        headers.append((VERSION_HEADER, VERSION))
    if translated.betas:
        given = [flag for flag in call.headers.get(BETA_HEADER).replace(" ", "").split(",") if flag]
        headers.append((BETA_HEADER, ",".join(dict.fromkeys((*given, *translated.betas)))))
    return UpstreamRequest(
        path=paths.join(call.backend.schema.prefix or "v1", "messages"),
        body=translated.encode(members),
        headers=tuple(headers),
        remove=tuple(name for name in FOREIGN_HEADERS if name in call.headers),
        dropped=translated.dropped,
    )


def _decoder(json_tool: str) -> Decoder:
    return StreamDecoder(json_tool=json_tool, backend_error=BACKEND_ERROR)


PLATFORM: Final = Platform(frame=_framed, stream_type=_EVENT_STREAM, decoder=_decoder, backend_error=BACKEND_ERROR)


def _chat(call: Call) -> AnthropicChat:
    return AnthropicChat(call, PLATFORM)


PROVIDER: Final = Provider("Anthropic", {"chat_completions": _chat})
