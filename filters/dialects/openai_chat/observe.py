"""Reads usage, model and failure off answers that are passed through, without touching or refusing them.

`StreamObserver` for chunks, `BodyObserver` for whole completions. An answer that cannot be read is the client's to
judge: it counts no tokens, and that is all (translation chapter §5.3, §5.4, §17.5). Everything odd that providers are
known to do is met here: usage repeated in every chunk, usage in vendor members, a last line without its end, error
objects in mid-stream or with status 200, events without a blank line between them.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.contract.translation import Output
from filters.contract.usage import Usage
from filters.dialects.openai_chat import usage as usages
from filters.errors import BadUpstreamAnswer, GatewayError, TruncatedStream, UpstreamFailure
from filters.streams import sse

MAX_OBSERVED_BODY: Final = 32 * 1024 * 1024
"""Bytes of a whole answer that are kept to be read at its end. A longer one passes, uncounted."""

_NO_USAGE: Final = Usage(input=0, output=0, total=0)
_USAGE: Final = b'"usage"'
_ERROR: Final = b'"error"'
_USAGE_NULL: Final = b'"usage":null'
_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_FINISH_REASON: Final = b'"finish_reason":"'
_FINISH_REASON_SPACED: Final = b'"finish_reason": "'
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*(?:\[\s*\]|null)')


class _Groq(Struct, frozen=True):
    usage: Raw | UnsetType = UNSET


class _Answer(Struct, frozen=True):
    """A chunk or a completion. Nothing is typed, so that one odd member does not hide the others."""

    model: Raw | UnsetType = UNSET
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    object: Raw | UnsetType = UNSET
    choices: Raw | UnsetType = UNSET
    x_groq: Raw | UnsetType = UNSET


class _Choice(Struct, frozen=True):
    delta: dict[str, Raw] = {}
    usage: Raw | UnsetType = UNSET


_read_answer: Final = jsonlib.decoder(_Answer)
_read_choices: Final = jsonlib.decoder(list[_Choice])
_read_groq: Final = jsonlib.decoder(_Groq)
_read_text: Final = jsonlib.decoder(str)
_read_error: Final = jsonlib.decoder(dict[str, object])

_GENERATED: Final = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call", "audio")
_NOTHING_NEW: Final = Output()
_MORE_CONTENT: Final = Output(content=True)
_EMPTY: Final = (b"null", b'""', b"[]", b"{}")


class StreamObserver:
    """One streamed answer."""

    __slots__ = ("_blind", "_content", "_done", "_failed", "_finished", "_model", "_model_text", "_parser")

    def __init__(self) -> None:
        self._parser = sse.Parser()
        self._model = ""
        self._model_text = b""
        self._content = False
        self._finished = False
        self._done = False
        self._failed = False
        self._blind = False

    def feed(self, data: bytes, *, end: bool) -> Output:
        """What this piece adds, without a body. Never raises.

        `content` is exact for the first piece that has some, and set for every event after it.
        """
        try:
            batch = [] if self._blind else self._parser.feed(data)
            if end and not self._blind:
                batch += self._parser.close()
        except BadUpstreamAnswer:
            self._blind = True  # an event too large to hold: what passes from here on is not looked at
            return Output()
        usage: Usage | None = None
        model = ""
        failure: GatewayError | None = None
        for event in batch:
            for text in self._texts(event):
                answer = _answer(text)
                if answer is None:
                    continue
                usage = _usage(answer) or usage
                model = self._new_model(answer) or model
                self._content = self._content or _has_content(answer)
                failure = failure or self._failure(answer)
            if event.event == "error":  # maybe without an error object around it
                failure = failure or self._failure(_Answer(error=Raw(event.data)))
        if end and failure is None:
            failure = self._truncation()
        content = self._content and bool(batch)
        if usage is None and failure is None and not model:
            return _MORE_CONTENT if content else _NOTHING_NEW
        return Output(usage=usage, model=model, content=content, failure=failure)

    def _texts(self, event: sse.Event) -> Sequence[bytes]:
        """The JSON texts of one event that must be read. Most need not: the model is known, and nothing is counted."""
        data = event.data
        if b"\n" in data and not _is_json(data):
            return [text for line in event.lines() for text in self._texts(sse.Event(line))]
        if data.startswith(b"[DONE]"):
            self._done = True
            return ()
        if not self._finished and (_FINISH_REASON in data or _FINISH_REASON_SPACED in data):
            # Some write an empty one until the last.
            self._finished = _FINISHED.search(data) is not None
        known = self._content and self._model and self._model_text in data
        if known and _ERROR not in data and data.count(_USAGE) == data.count(_USAGE_NULL):
            return ()
        return (data,)

    def _new_model(self, answer: _Answer) -> str:
        model = _model(answer)
        if not model or model == self._model:
            return ""
        self._model = model
        self._model_text = jsonlib.encode(model)
        return model

    def _failure(self, answer: _Answer) -> GatewayError | None:
        if self._failed or (failure := _failure(answer, "stream_failed")) is None:
            return None
        self._failed = True
        return failure

    def _truncation(self) -> GatewayError | None:
        """Neither a finish reason nor `[DONE]`: providers leave out one of them, not both."""
        if self._finished or self._done or self._failed or self._blind:
            return None
        return TruncatedStream("the provider's stream ended before the answer was complete", code="stream_truncated")


class BodyObserver:
    """One whole answer, which comes in pieces."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes, *, end: bool) -> Output:
        """Nothing before the end. Never raises."""
        self._size += len(data)
        if self._size > MAX_OBSERVED_BODY:
            self._pieces.clear()
            return Output()
        self._pieces.append(data)
        if not end:
            return Output()
        answer = _answer(b"".join(self._pieces))
        if answer is None:
            return Output(usage=_NO_USAGE)
        return Output(
            usage=_usage(answer) or _NO_USAGE, model=_model(answer), failure=_failure(answer, "upstream_error")
        )


def is_usage_only(piece: bytes) -> bool:
    """`piece`, one event of a stream, tells token counts and nothing else: `choices` is empty or null."""
    if _USAGE not in piece or not _NO_CHOICES.search(piece):
        return False
    event = sse.parse_one(piece)
    answer = None if event is None else _answer(event.data)
    return (
        answer is not None
        and not isinstance(answer.usage, UnsetType)
        and not jsonlib.is_null(answer.usage)
        and not isinstance(answer.choices, UnsetType)
        and _NO_CHOICES.fullmatch(b'"choices":' + bytes(answer.choices)) is not None
    )


def is_readable(piece: bytes) -> bool:
    """`piece`, one event of a stream, holds a chunk that is whole."""
    event = sse.parse_one(piece)
    return event is not None and _is_json(event.data)


def _answer(text: bytes) -> _Answer | None:
    try:
        return _read_answer(text)
    except JsonError:
        return None


def _is_json(text: bytes) -> bool:
    try:
        jsonlib.decode(text, Raw)
    except JsonError:
        return False
    return True


def _given(raw: Raw | UnsetType) -> Raw | None:
    return None if isinstance(raw, UnsetType) or jsonlib.is_null(raw) else raw


def _model(answer: _Answer) -> str:
    raw = _given(answer.model)
    try:
        return "" if raw is None else _read_text(raw)
    except JsonError:
        return ""


def _usage(answer: _Answer) -> Usage | None:
    if (raw := _given(answer.usage)) is not None:
        return usages.read(raw)
    if (raw := _given(answer.x_groq)) is not None:
        try:
            inner = _given(_read_groq(raw).usage)
        except JsonError:
            return None
        return None if inner is None else usages.read(inner)
    for choice in _choices(answer):  # Moonshot
        if (raw := _given(choice.usage)) is not None:
            return usages.read(raw)
    return None


def _choices(answer: _Answer) -> list[_Choice]:
    raw = _given(answer.choices)
    try:
        return [] if raw is None else _read_choices(raw)
    except JsonError:
        return []


def _has_content(answer: _Answer) -> bool:
    return any(
        name in choice.delta and bytes(choice.delta[name]) not in _EMPTY
        for choice in _choices(answer)
        for name in _GENERATED
    )


def _failure(answer: _Answer, failure_code: str) -> GatewayError | None:
    """An error object where an answer should be: OpenAI's `error`, or vLLM's older `"object": "error"`."""
    if (raw := _given(answer.error)) is not None:
        try:
            error = _read_error(raw)
        except JsonError:
            error = {}
    elif not isinstance(answer.object, UnsetType) and bytes(answer.object) == _ERROR:
        error = {}
    else:
        return None
    message, kind, code = error.get("message"), error.get("type"), error.get("code")
    return UpstreamFailure(
        message if isinstance(message, str) else "the provider reports an error",
        code=failure_code,
        type=kind if isinstance(kind, str) and kind else "error",
        status=_status(code),
    )


def _status(code: object) -> int:
    """The HTTP status that an error's `code` is, as a number or as text; else 500."""
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) == 3:
        code = int(code)
    return int(code) if isinstance(code, int | float) and 400 <= code <= 599 else 500
