"""A ConverseStream answer: bytes in any cut → events of `filters.dialects.events`.

One decoder lives for one answer. Bedrock numbers content blocks; tool calls are numbered anew from 0, reasoning is
collected per block, so that a whole thinking block (text and signature) can be given at its end. Source: translation
chapter §7.7, §7.8.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects.converse import answer, failure
from filters.dialects.events import (
    Annotation,
    End,
    Event,
    Failure,
    Finish,
    MessageStart,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoning,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from filters.errors import BadUpstreamAnswer, GatewayError, TruncatedStream
from filters.streams.eventstream import Decoder, Message

MAX_REASONING: Final = 16 * 1024 * 1024
"""Characters of thinking kept for the blocks at its end; several times what any model can think in one answer."""


class _ToolUseStart(Struct, frozen=True, rename="camel"):
    tool_use_id: str | None = None
    name: str | None = None
    type: str | None = None


class _Start(Struct, frozen=True, rename="camel"):
    tool_use: _ToolUseStart | None = None


class _ToolUseDelta(Struct, frozen=True):
    input: Raw = answer.NULL
    """a piece of JSON text; some models send the whole object as one piece"""

    def arguments(self) -> str:
        if jsonlib.is_null(self.input):
            return ""
        text = bytes(self.input)
        return _read_text(text) if text.startswith(b'"') else text.decode()


class _ReasoningDelta(Struct, frozen=True, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Delta(Struct, frozen=True, rename="camel"):
    text: str | None = None
    tool_use: _ToolUseDelta | None = None
    reasoning_content: _ReasoningDelta | None = None
    citation: answer.Citation | None = None


class _Payload(Struct, frozen=True, rename="camel"):
    """The members of every event, in one; which of them counts is for the event's kind to say."""

    event_type: str = ""
    content_block_index: int | None = None
    start: _Start | None = None
    delta: _Delta | None = None
    stop_reason: str | None = None
    usage: Raw = answer.NULL
    service_tier: answer.ServiceTier | None = None


_read_payload = jsonlib.decoder(_Payload)
_read_text = jsonlib.decoder(str)


class _Thinking:
    """One reasoning block in the making."""

    __slots__ = ("redacted", "signature", "text")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.signature: list[str] = []
        self.redacted: list[str] = []

    def complete(self) -> Iterator[ReasoningBlock | RedactedReasoning]:
        """The block or blocks, as the client is to echo them."""
        text, signature = "".join(self.text), "".join(self.signature)
        if text or signature:
            yield ReasoningBlock(text, signature)
        if self.redacted:
            yield from (RedactedReasoning(data) for data in _joined(self.redacted))


class StreamDecoder:
    """`feed` every piece, then `close` once. Neither raises: what is broken comes as a Failure, and nothing after."""

    __slots__ = (
        "_block",
        "_frames",
        "_kept",
        "_metadata_seen",
        "_over",
        "_request_id",
        "_silent",
        "_started",
        "_stopped",
        "_text_length",
        "_thinking",
        "_tool_count",
        "_tools",
        "_uncited",
    )

    def __init__(self, request_id: str) -> None:
        """`request_id` is the header `x-amzn-requestid`: the answer's id."""
        self._request_id = request_id
        self._frames = Decoder()
        self._started = self._stopped = self._metadata_seen = self._over = False
        self._block = 0
        self._tools: dict[int, int] = {}
        self._silent: set[int] = set()
        """blocks of calls that have had no piece of arguments yet"""
        self._tool_count = 0
        self._thinking: dict[int, _Thinking] = {}
        self._kept = 0
        self._text_length = self._uncited = 0

    def feed(self, data: bytes) -> list[Event]:
        found: list[Event] = []
        if self._over:
            return found
        for message in self._frames.feed(data):
            if not self._read(message, found):
                return found
        if self._frames.error is not None:
            found.append(self._fail(self._frames.error))
        return found

    def close(self) -> list[Event]:
        """The provider's stream is over: End if the answer was complete, a Failure if it was not."""
        if self._over:
            return []
        if not self._stopped:
            return [self._fail(TruncatedStream("Bedrock's stream ended before messageStop", code="stream_truncated"))]
        try:
            self._frames.close()
        except GatewayError as exc:
            if not self._metadata_seen:  # the last event has everything that was still to come
                return [self._fail(exc)]
        self._over = True
        return [End()]

    def _fail(self, error: GatewayError) -> Failure:
        self._over = True
        return Failure(type(error).__name__, error.status, error.message)

    def _read(self, message: Message, found: list[Event]) -> bool:
        """Adds what `message` says to `found`. False: nothing counts any more."""
        failed = failure.of_message(message)
        if failed is not None:
            self._over = True
            found.append(failed)
            return False
        try:
            payload = _read_payload(message.payload)
        except JsonError as exc:
            kind = message.text(":event-type")
            if kind not in _CONTENT or not exc.place:  # no JSON at all: no event (B23)
                return True
            # To go on would be to give out an answer with a hole in it, or a call with other arguments.
            found.append(self._fail(BadUpstreamAnswer(f"Bedrock's {kind}: {exc}", code="bad_upstream_answer")))
            return False
        kind = payload.event_type or message.text(":event-type")
        if not self._started and kind in _KINDS:
            self._started = True
            found += (MessageStart(id=self._request_id), TextDelta(""))
        match kind:
            case "contentBlockDelta":
                self._block_delta(payload, found)
            case "contentBlockStart":
                self._block_start(payload, found)
            case "contentBlockStop":
                self._block_stop(payload, found)
            case "messageStop":
                self._message_stop(payload, found)
            case "metadata":
                self._metadata(payload, found)
            case _:  # messageStart has said all; what is unknown says nothing here
                pass
        return not self._over

    def _index(self, payload: _Payload) -> int:
        """The block that an event belongs to: the last one named, when it names none."""
        if payload.content_block_index is not None:
            self._block = payload.content_block_index
        return self._block

    def _block_start(self, payload: _Payload, found: list[Event]) -> None:
        index = self._index(payload)
        tool = payload.start.tool_use if payload.start else None
        if tool is not None and tool.type != answer.SERVER_TOOL_USE:
            self._tools[index] = self._tool_count
            self._silent.add(index)
            found.append(ToolCallStart(self._tool_count, tool.tool_use_id or "", tool.name or ""))
            self._tool_count += 1

    def _block_delta(self, payload: _Payload, found: list[Event]) -> None:
        index = self._index(payload)
        delta = payload.delta
        if delta is None:
            return
        if delta.text:
            self._text_length += len(delta.text)
            found.append(TextDelta(delta.text))
        if delta.tool_use is not None and index in self._tools and (arguments := delta.tool_use.arguments()):
            self._silent.discard(index)
            found.append(ToolCallDelta(self._tools[index], arguments))
        if delta.reasoning_content is not None:
            self._reason(index, delta.reasoning_content, found)
        if delta.citation is not None:
            found.append(Annotation(answer.annotation(delta.citation, self._uncited, self._text_length)))

    def _reason(self, index: int, delta: _ReasoningDelta, found: list[Event]) -> None:
        self._kept += len(delta.text or "") + len(delta.signature or "") + len(delta.redacted_content or "")
        if self._kept > MAX_REASONING:
            self._over = True
            found.append(Failure("ReasoningTooLarge", 502, f"Bedrock's reasoning is over {MAX_REASONING} characters"))
            return
        block = self._thinking.setdefault(index, _Thinking())
        if delta.text:
            block.text.append(delta.text)
            found.append(ReasoningDelta(delta.text))
        if delta.signature:
            block.signature.append(delta.signature)
        if delta.redacted_content:
            block.redacted.append(delta.redacted_content)

    def _block_stop(self, payload: _Payload, found: list[Event]) -> None:
        index = self._index(payload)
        self._close_tool(index, found)
        self._uncited = self._text_length
        block = self._thinking.pop(index, None)
        if block is not None:
            found += block.complete()

    def _close_tool(self, index: int, found: list[Event]) -> None:
        """A call without arguments has no pieces; `{}` is what a client can parse."""
        tool = self._tools.pop(index, None)
        if tool is not None and index in self._silent:
            self._silent.discard(index)
            found.append(ToolCallDelta(tool, "{}"))

    def _message_stop(self, payload: _Payload, found: list[Event]) -> None:
        reason = answer.finish_reason(payload.stop_reason, calls=self._tool_count > 0)
        if reason == "tool_calls":  # not when the answer was cut: its arguments were to come
            for index in sorted(self._tools):
                self._close_tool(index, found)
        for index in sorted(self._thinking):
            found += self._thinking.pop(index).complete()
        if not self._stopped:
            self._stopped = True
            found.append(Finish(reason))

    def _metadata(self, payload: _Payload, found: list[Event]) -> None:
        self._metadata_seen = True
        usage = answer.counts(payload.usage)
        if usage is not None:
            tier = payload.service_tier.type if payload.service_tier else None
            found.append(UsageReport(usage, tier or ""))


_CONTENT: Final = frozenset({"contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop"})
"""kinds of events that carry the answer itself"""
_KINDS: Final = frozenset({"messageStart", *_CONTENT, "metadata"})


def _joined(pieces: list[str]) -> list[str]:
    """Base64 of one blob, sent in pieces: one text, unless padding inside it says that the pieces stand alone."""
    if any(piece.endswith("=") or len(piece) % 4 for piece in pieces[:-1]):
        return pieces
    return ["".join(pieces)]
