"""A stream of the Messages API → events (translation chapter §8.6), and a whole message → the same events.

`EventDecoder` takes one event's JSON at a time, whoever framed it (SSE here, AWS event streams elsewhere);
`StreamDecoder` is the two with SSE in front. Nothing raises: what cannot be read becomes a Failure, after which nothing
more is said. A stream that merely stops yields no End; the encoder knows what that means.

What the model did on the provider's side (server tools and their results) is not shown: they are no calls for the
client to answer.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects import events
from filters.dialects.anthropic_messages import error
from filters.dialects.anthropic_messages.response import (
    FINISH_REASONS,
    SERVICE_TIERS,
    Block,
    Delta,
    Frame,
    StopDetails,
    Tally,
    read_citation,
    read_counts,
    read_frame,
    read_message,
    read_start,
)
from filters.dialects.events import Event
from filters.errors import BadUpstreamAnswer, UpstreamFailure
from filters.streams import sse

MAX_THINKING: Final = 32 * 1024 * 1024
"""Characters of one thinking block that are kept for its end: far above what any model can say."""
MAX_OPEN_BLOCKS: Final = 10_000
"""Content blocks that may be open at once (the API opens one at a time)."""

_UNREADABLE: Final[Mapping[str, str]] = {
    "message_start": "unmarshal message_start",
    "content_block_start": "failed to unmarshal content_block_start",
    "content_block_delta": "unmarshal content_block_delta",
    "content_block_stop": "unmarshal content_block_stop",
    "message_delta": "unmarshal message_delta",
    "message_stop": "unmarshal message_stop",
    "ping": "unmarshal ping",
    "error": "unparsable error event",
}
"""Kinds of events, and how the text begins when one cannot be read."""


class _UrlCitation(Struct, frozen=True, omit_defaults=True):
    start_index: int
    end_index: int
    url: str
    title: str
    cited_text: str = ""


class _Annotation(Struct, frozen=True):
    type: str
    url_citation: _UrlCitation


class _Open:
    """A content block that has begun and not ended."""

    __slots__ = ("citations", "fallback", "json", "signature", "size", "start", "text", "tool", "type")

    def __init__(self, type_: str, start: int) -> None:
        self.type = type_
        self.start = start  # characters of text before it
        self.text: list[str] = []  # of a thinking block
        self.size = 0
        self.signature = ""
        self.tool = -1  # index among the client's tools
        self.json = False  # the tool that stands for a JSON answer
        self.fallback = ""  # arguments, unless pieces come
        self.citations: list[Raw] = []


class EventDecoder:
    """One answer."""

    __slots__ = (
        "_backend_error",
        "_blocks",
        "_characters",
        "_details",
        "_failed",
        "_json_tool",
        "_stop",
        "_tally",
        "_tools",
    )

    def __init__(self, *, json_tool: str = "", backend_error: str) -> None:
        """`json_tool`: name of the forced tool whose input is the answer's text. `backend_error`: type of failures that
        the provider did not name (`AnthropicBackendError`)."""
        self._json_tool = json_tool
        self._backend_error = backend_error
        self._blocks: dict[int, _Open] = {}
        self._characters = 0
        self._tools = 0
        self._stop = ""
        self._details: StopDetails | None = None
        self._tally = Tally()
        self._failed = False

    def feed(self, kind: str, data: bytes) -> list[Event]:
        """The event named `kind` (empty: its JSON says) with the JSON text `data`."""
        if self._failed:
            return []
        try:
            frame = read_frame(data)
        except JsonError as exc:
            return self._unreadable(kind, data, exc)
        if kind not in _UNREADABLE:
            kind = frame.type
        out: list[Event] = []
        try:
            match kind:
                case "content_block_delta":
                    self._delta(frame, out)
                case "content_block_start":
                    self._start_block(frame.index, frame.content_block or Block(), out)
                case "content_block_stop":
                    self._stop_block(frame.index, out)
                case "message_start":
                    self._start(frame, out)
                case "message_delta":
                    self._message_delta(frame, out)
                case "message_stop":
                    self._finish(out)
                case "ping":
                    out.append(events.Ping())
                case "error":
                    self._error(data, out)
                case _ if not jsonlib.is_null(frame.error):
                    self._error(data, out)
                case _:
                    pass  # kinds to come
        except JsonError as exc:
            out += self._unreadable(kind, data, exc)
        return out

    def message(self, data: bytes) -> list[Event]:
        """The events of a whole answer.

        Raises BadUpstreamAnswer when `data` is none, UpstreamFailure when it is an error object (some proxies send
        those with a good status).
        """
        try:
            message = read_message(data)
        except JsonError as exc:
            raise BadUpstreamAnswer(f"the provider's answer is no message: {exc}", code="bad_upstream_answer") from exc
        if message.content is None:
            if (detail := error.read(data)) is not None and (detail.type or detail.message):
                raise UpstreamFailure(
                    detail.message,
                    code="upstream_error",
                    type=detail.type or self._backend_error,
                    status=detail.status,
                )
            raise BadUpstreamAnswer("the provider's answer has no content", code="bad_upstream_answer")
        out: list[Event] = [events.MessageStart(message.id or "", message.model or "")]
        try:
            for index, block in enumerate(message.content):
                self._start_block(index, block, out)
                self._stop_block(index, out)
            self._stop = message.stop_reason or ""
            self._details = message.stop_details
            self._report(message.usage, out, output=True)
        except JsonError as exc:
            raise BadUpstreamAnswer(f"the provider's answer is no message: {exc}", code="bad_upstream_answer") from exc
        self._finish(out)
        return out

    def _start(self, frame: Frame, out: list[Event]) -> None:
        if jsonlib.is_null(frame.message):
            raise JsonError("missing message")
        message = read_start(frame.message)
        out.append(events.MessageStart(message.id or "", message.model or ""))
        self._report(message.usage, out, output=False)

    def _start_block(self, index: int, block: Block, out: list[Event]) -> None:
        if len(self._blocks) >= MAX_OPEN_BLOCKS:
            raise JsonError("too many open content blocks")
        opened = _Open(block.type, self._characters)
        self._blocks[index] = opened
        match block.type:
            case "text":
                self._text(block.text, out)
                opened.citations += block.citations or ()
            case "thinking":
                self._think(opened, block.thinking, out)
                opened.signature = block.signature or ""
            case "redacted_thinking":
                if block.data:
                    out.append(events.RedactedReasoning(block.data))
            case "tool_use":
                self._start_tool(opened, block, out)
            case _:
                pass  # server tools and their results

    def _start_tool(self, opened: _Open, block: Block, out: list[Event]) -> None:
        opened.fallback = _input(block.input)
        if self._json_tool and block.name == self._json_tool:
            opened.json = True
            return
        opened.tool = self._tools
        self._tools += 1
        out.append(events.ToolCallStart(opened.tool, block.id or f"call_{opened.tool}", block.name or ""))

    def _delta(self, frame: Frame, out: list[Event]) -> None:
        delta = frame.delta
        if delta is None:
            raise JsonError("missing delta")
        match delta.type:
            case "text_delta":
                self._text(delta.text, out)
            case "input_json_delta":
                self._arguments(frame.index, delta, out)
            case "thinking_delta":
                self._think(self._block(frame.index, "thinking"), delta.thinking, out)
            case "signature_delta":
                self._block(frame.index, "thinking").signature += delta.signature or ""
            case "citations_delta" if not jsonlib.is_null(delta.citation):
                self._block(frame.index, "text").citations.append(delta.citation)
            case _:
                pass

    def _block(self, index: int, type_: str) -> _Open:
        """The open block; one that was never announced is opened now."""
        found = self._blocks.get(index)
        if found is None:
            if len(self._blocks) >= MAX_OPEN_BLOCKS:
                raise JsonError("too many open content blocks")
            found = self._blocks[index] = _Open(type_, self._characters)
        return found

    def _text(self, text: str | None, out: list[Event]) -> None:
        if text:
            self._characters += len(text)
            out.append(events.TextDelta(text))

    def _think(self, opened: _Open, text: str | None, out: list[Event]) -> None:
        if text:
            opened.size += len(text)
            if opened.size > MAX_THINKING:
                raise JsonError("thinking block too long")
            opened.text.append(text)
            out.append(events.ReasoningDelta(text))

    def _arguments(self, index: int, delta: Delta, out: list[Event]) -> None:
        opened = self._blocks.get(index)
        if opened is None:
            raise JsonError(f"received input_json_delta for unknown tool at index {index}")
        if not delta.partial_json:
            return
        opened.fallback = ""
        if opened.json:
            self._text(delta.partial_json, out)
        elif opened.tool >= 0:
            out.append(events.ToolCallDelta(opened.tool, delta.partial_json))

    def _stop_block(self, index: int, out: list[Event]) -> None:
        opened = self._blocks.pop(index, None)
        if opened is None:
            return
        if opened.type == "thinking":
            if opened.text or opened.signature:
                out.append(events.ReasoningBlock("".join(opened.text), opened.signature))
        elif opened.json:
            self._text(opened.fallback, out)
        elif opened.tool >= 0 and opened.fallback:
            # A call without arguments has no pieces; `{}` is what a client can parse.
            out.append(events.ToolCallDelta(opened.tool, opened.fallback))
        out += [events.Annotation(self._annotation(citation, opened.start)) for citation in opened.citations]

    def _annotation(self, raw: Raw, start: int) -> Raw:
        """OpenAI's `url_citation` over the text of the block that the citation belongs to (in characters)."""
        citation = read_citation(raw)
        cited = _UrlCitation(
            start_index=start,
            end_index=self._characters,
            url=citation.url or citation.source or "",
            title=citation.title or citation.document_title or "",
            cited_text=citation.cited_text or "",
        )
        return Raw(jsonlib.encode(_Annotation("url_citation", cited)))

    def _message_delta(self, frame: Frame, out: list[Event]) -> None:
        if frame.delta is not None:
            self._stop = frame.delta.stop_reason or self._stop
            self._details = frame.delta.stop_details or self._details
        self._report(frame.usage, out, output=True)

    def _report(self, raw: Raw, out: list[Event], *, output: bool) -> None:
        if jsonlib.is_null(raw):
            return
        try:
            counts = read_counts(raw)
        except JsonError as exc:
            raise JsonError(f"usage fields: {exc}") from exc
        usage = self._tally.take(counts, output=output)
        if usage is not None:
            out.append(events.UsageReport(usage, SERVICE_TIERS.get(counts.service_tier or "", "")))

    def _finish(self, out: list[Event]) -> None:
        for index in list(self._blocks):
            self._stop_block(index, out)
        reason = FINISH_REASONS.get(self._stop, "stop")
        # Clients act on the word: it says `tool_calls` when there are some, and only then. (The only call may have been
        # the answer itself; and models have been seen to end a turn with a call, or to announce one and make none.)
        if reason == "tool_calls" and not self._tools:
            reason = "stop"
        elif self._tools and self._stop in ("", "end_turn"):
            reason = "tool_calls"
        if reason == "content_filter" and self._details is not None and self._details.explanation:
            out.append(events.RefusalDelta(self._details.explanation))
        out += (events.Finish(reason), events.End())

    def _error(self, data: bytes, out: list[Event]) -> None:
        self._failed = True
        detail = error.read(data)
        if detail is None:
            out.append(events.Failure(self._backend_error, 502, "unparsable error event"))
        else:
            out.append(events.Failure(detail.type or self._backend_error, detail.status, detail.message))

    def _unreadable(self, kind: str, data: bytes, exc: JsonError) -> list[Event]:
        if kind not in _UNREADABLE and (not data.startswith(b"{") or kind):
            return []  # `[DONE]` of a provider that mixes formats, or a kind to come
        lead = _UNREADABLE.get(kind, "unmarshal event")
        if kind == "error":
            text = lead
        elif str(exc).startswith(("usage fields: ", "received ")):
            text = f"{lead} {exc}" if str(exc).startswith("usage") else str(exc)
        else:
            text = f"{lead}: {exc}"
        self._failed = True
        return [events.Failure(self._backend_error, 502, text)]


def _input(raw: Raw) -> str:
    """`input` of a call, as JSON text. Some compatible providers send the text of an object in place of the object."""
    if jsonlib.is_null(raw):
        return "{}"
    text = bytes(raw).decode(errors="replace")  # not checked yet: the parser steps over what it carries along
    if text.startswith('"'):
        text = _read_text(raw).strip() or "{}"
    if not text.startswith("{"):
        raise JsonError("input of a tool_use block must be an object")
    return text


_read_text: Final = jsonlib.decoder(str)


class StreamDecoder:
    """One answer as server-sent events, cut anywhere."""

    __slots__ = ("_backend_error", "_decoder", "_failed", "_parser")

    def __init__(self, *, json_tool: str = "", backend_error: str) -> None:
        self._backend_error = backend_error
        self._decoder = EventDecoder(json_tool=json_tool, backend_error=backend_error)
        self._parser = sse.Parser()
        self._failed = False

    def feed(self, data: bytes, *, end: bool) -> list[Event]:
        """Events of one piece. `end`: no more will come."""
        out: list[Event] = []
        self._read(lambda: self._parser.feed(data), out)
        if end:
            self._read(self._parser.close, out)
        return out

    def _read(self, read: Callable[[], list[sse.Event]], out: list[Event]) -> None:
        if self._failed:
            return
        try:
            frames = read()
        except BadUpstreamAnswer as exc:
            self._failed = True
            out.append(events.Failure(self._backend_error, exc.status, exc.message))
            return
        for frame in frames:
            name = frame.event.strip()
            if b"\n" not in frame.data:
                out += self._decoder.feed(name, frame.data)
                continue
            lines = [line.strip() for line in frame.lines()]
            if all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
                for line in lines:  # several events whose blank lines are missing
                    out += self._decoder.feed("", line)
            else:
                # One JSON text, in which a line end has no meaning (§8.6 C21).
                out += self._decoder.feed(name, b"".join(lines))
