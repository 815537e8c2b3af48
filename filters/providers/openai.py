"""OpenAI, and everything that speaks its API under some path prefix: bodies pass through, and are observed for usage.

What is changed, and nothing else (translation chapter §5): the path; the value of `model` when the backend overrides
it; `stream_options.include_usage` when tokens are to be counted and the client did not ask for them, in which case the
chunk that only tells usage is taken out of the client's stream again, and a stream that is cut ends with an error
event; error answers that are not JSON.
"""

from typing import Final

from filters.contract import jsonlib
from filters.contract.headers import Headers
from filters.contract.jsonlib import Raw
from filters.contract.translation import Call, Output, ResponseStart, UpstreamRequest
from filters.dialects.openai_chat.encode import TRUNCATED
from filters.dialects.openai_chat.error import error_body
from filters.dialects.openai_chat.observe import BodyObserver, StreamObserver, is_readable, is_usage_only
from filters.errors import TruncatedStream
from filters.providers import paths
from filters.providers.base import Provider
from filters.streams import sse

_CHAT: Final = "chat/completions"
_EVENT_STREAM: Final = "text/event-stream"
_ASK: Final = b'{"include_usage":true}'


class PassThroughChat:
    """One attempt at a backend that speaks OpenAI's chat API. See `filters.contract.translation.Translator`."""

    __slots__ = ("_answer", "_call", "_path", "_write_model")

    def __init__(self, call: Call, *, path: str, write_model: bool) -> None:
        """`path` is the upstream's. `write_model`: the effective model goes into the body."""
        self._call = call
        self._path = path
        self._write_model = write_model
        self._answer: _Observed | _WithoutUsageChunk | _ForeignError | None = None

    def request(self) -> UpstreamRequest:
        call = self._call
        body, members = call.body, call.members
        if self._write_model:
            model = jsonlib.encode(call.model)
            body = jsonlib.replace_member(body, members, "model", model)
            members = {**members, "model": Raw(model)}
        if self._forces_usage() and (options := _asking_for_usage(members.get("stream_options"))):
            body = jsonlib.replace_member(body, members, "stream_options", options)
        return UpstreamRequest(path=self._path, body=None if body is call.body else body)

    def start(self, status: int, headers: Headers) -> ResponseStart:
        kind = headers.get("content-type").lower()
        if not 200 <= status <= 299:
            if "application/json" in kind:
                return ResponseStart(body="pass")
            self._answer = _ForeignError(status)
            return ResponseStart(body="buffer")
        # A client that asked for a stream may be answered whole, and the other way round: the answer says what it is.
        # One that does not is read as what was asked for, and its bytes are not touched.
        if _EVENT_STREAM in kind and self._forces_usage():
            self._answer = _WithoutUsageChunk()
            return ResponseStart(body="stream")
        as_asked = self._call.stream and "json" not in kind and "html" not in kind
        self._answer = _Observed(StreamObserver() if _EVENT_STREAM in kind or as_asked else BodyObserver())
        return ResponseStart(body="observe")

    def feed(self, data: bytes, *, end: bool) -> Output:
        assert self._answer is not None  # `start` comes first, and mode `pass` feeds nothing
        return self._answer.feed(data, end=end)

    def _forces_usage(self) -> bool:
        return self._call.stream and self._call.usage_needed and not self._call.include_usage


def _asking_for_usage(options: Raw | None) -> bytes | None:
    """`stream_options` with `include_usage: true`, every other byte kept; None for what is no object."""
    if options is None or jsonlib.is_null(options):
        return _ASK
    try:
        members = jsonlib.members(bytes(options))
    except jsonlib.JsonError:
        return None
    return jsonlib.replace_member(bytes(options), members, "include_usage", b"true")


class _Observed:
    """An answer that goes on as it comes."""

    __slots__ = ("_observer",)

    def __init__(self, observer: StreamObserver | BodyObserver) -> None:
        self._observer = observer

    def feed(self, data: bytes, *, end: bool) -> Output:
        return self._observer.feed(data, end=end)


class _WithoutUsageChunk:
    """A stream that goes on as it comes, but for the chunk that the client did not ask for.

    Because its bytes are ours to write, one that is cut ends with an error event, as translated streams do.
    """

    __slots__ = ("_cutter", "_observer")

    def __init__(self) -> None:
        self._observer = StreamObserver()
        self._cutter = sse.Cutter()

    def feed(self, data: bytes, *, end: bool) -> Output:
        seen = self._observer.feed(data, end=end)
        pieces = [piece for piece in self._cutter.feed(data) if not is_usage_only(piece)]
        if end:
            last = [piece for piece in self._cutter.close() if not is_usage_only(piece)]
            pieces += _cut_short(last) if isinstance(seen.failure, TruncatedStream) else last
        return Output(
            body=b"".join(pieces), usage=seen.usage, model=seen.model, content=seen.content, failure=seen.failure
        )


def _cut_short(last: list[bytes]) -> list[bytes]:
    """The end of a stream that is not whole. Half an event is left out: clients would choke on it, not on the error."""
    whole = [piece.rstrip(b"\r\n") + b"\n\n" for piece in last if is_readable(piece)]
    error = error_body(type=TRUNCATED.type, code=str(TRUNCATED.status), message=TRUNCATED.message)
    return [*whole, sse.frame(error)]


class _ForeignError:
    """An error answer that is not JSON: a proxy's page, a plain text. The client gets it as an error object."""

    __slots__ = ("_pieces", "_status")

    def __init__(self, status: int) -> None:
        self._status = status
        self._pieces: list[bytes] = []

    def feed(self, data: bytes, *, end: bool) -> Output:
        self._pieces.append(data)
        if not end:
            return Output(body=b"")
        message = b"".join(self._pieces).decode(errors="replace")
        return Output(
            body=error_body(type="OpenAIBackendError", code=str(self._status), message=message),
            headers=(("content-type", "application/json"),),
        )


def _chat(call: Call) -> PassThroughChat:
    path = paths.join(call.backend.schema.prefix, _CHAT)
    return PassThroughChat(call, path=path, write_model=call.backend.model_override != "")


PROVIDER: Final = Provider("OpenAI", {"chat_completions": _chat})
