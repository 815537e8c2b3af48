"""Anthropic's own API (`api.anthropic.com`, and whoever speaks it under some path prefix) behind OpenAI chat clients.

This module knows the platform: path, headers, framing, where errors are. `AnthropicChat` is the translator that every
platform with the Messages format uses; the frame is what differs.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from filters.contract.headers import Headers
from filters.contract.translation import Call, Output, ResponseStart, UpstreamRequest
from filters.dialects import events
from filters.dialects.anthropic_messages import error
from filters.dialects.anthropic_messages.decode import EventDecoder, StreamDecoder
from filters.dialects.events import Event
from filters.dialects.openai_chat.encode import TRUNCATED, ChatStreamEncoder
from filters.dialects.openai_chat.error import error_body
from filters.errors import BadUpstreamAnswer, TruncatedStream, UpstreamFailure
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


class AnthropicChat:
    """One attempt at a backend that speaks the Messages API. See `filters.contract.translation.Translator`."""

    __slots__ = ("_answer", "_call", "_frame", "_json_tool")

    def __init__(self, call: Call, frame: Callable[[Call, Translated], UpstreamRequest]) -> None:
        """`frame` puts the platform's path, headers and members around a translated request."""
        self._call = call
        self._frame = frame
        self._json_tool = ""
        self._answer: _Stream | _Buffered | None = None

    def request(self) -> UpstreamRequest:
        translated = request.translate(self._call)
        self._json_tool = translated.json_tool
        return self._frame(self._call, translated)

    def start(self, status: int, headers: Headers) -> ResponseStart:
        if not 200 <= status <= 299:
            self._answer = _Buffered(partial(_error, status))
            return ResponseStart(body="buffer")
        # A client that asked for a stream may be answered whole, and the other way round: the answer says what it is.
        kind = headers.get("content-type").lower()
        if not self._call.stream:
            read = _stream_as_whole if _EVENT_STREAM in kind else _whole
            self._answer = _Buffered(partial(read, self._call, self._json_tool))
            return ResponseStart(body="buffer")
        if "json" in kind:
            self._answer = _Buffered(partial(_whole_as_stream, self._call, self._json_tool))
            return ResponseStart(body="buffer", headers=_STREAM_HEADER)
        self._answer = _Stream(self._call, self._json_tool)
        return ResponseStart(body="stream", headers=_STREAM_HEADER)

    def feed(self, data: bytes, *, end: bool) -> Output:
        assert self._answer is not None  # `start` comes first
        return self._answer.feed(data, end=end)


class _Stream:
    __slots__ = ("_decoder", "_encoder")

    def __init__(self, call: Call, json_tool: str) -> None:
        self._decoder = StreamDecoder(json_tool=json_tool, backend_error=BACKEND_ERROR)
        self._encoder = _encoder(call)

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


def _whole(call: Call, json_tool: str, body: bytes) -> Output:
    return _completion(call, EventDecoder(json_tool=json_tool, backend_error=BACKEND_ERROR).message(body))


def _stream_as_whole(call: Call, json_tool: str, body: bytes) -> Output:
    happened = StreamDecoder(json_tool=json_tool, backend_error=BACKEND_ERROR).feed(body, end=True)
    for event in happened:
        if isinstance(event, events.Failure):
            raise UpstreamFailure(event.message, code="stream_failed", type=event.type, status=event.status)
    if not any(isinstance(event, events.End) for event in happened):
        raise TruncatedStream(TRUNCATED.message, code="stream_truncated")
    return _completion(call, happened)


def _whole_as_stream(call: Call, json_tool: str, body: bytes) -> Output:
    try:
        happened = EventDecoder(json_tool=json_tool, backend_error=BACKEND_ERROR).message(body)
    except BadUpstreamAnswer as exc:
        happened = [events.Failure(BACKEND_ERROR, exc.status, exc.message)]
    return _encoder(call).feed(happened, end=True)


def _error(status: int, body: bytes) -> Output:
    """An error answer. Its status and its other headers (`retry-after`, …) go on as they are."""
    detail = error.read(body)
    if detail is None:
        name, message = BACKEND_ERROR, body.decode(errors="replace") or f"status {status} without a body"
    else:
        name, message = detail.type or BACKEND_ERROR, detail.message
    return Output(body=error_body(type=name, code=str(status), message=message), headers=_JSON_HEADER)


def _completion(call: Call, happened: Sequence[Event]) -> Output:
    answer = response.answer(happened, id=f"chatcmpl-{call.request_id}", model=call.model, created=call.created)
    return Output(body=answer.encode(), headers=_JSON_HEADER, usage=answer.usage, model=answer.model, content=True)


def _encoder(call: Call) -> ChatStreamEncoder:
    return ChatStreamEncoder(
        id=f"chatcmpl-{call.request_id}", model=call.model, created=call.created, include_usage=call.include_usage
    )


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


def _chat(call: Call) -> AnthropicChat:
    return AnthropicChat(call, _framed)


PROVIDER: Final = Provider("Anthropic", {"chat_completions": _chat})
