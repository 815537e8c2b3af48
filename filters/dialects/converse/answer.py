"""A whole answer of Converse, and the vocabulary that it shares with ConverseStream: usage, stop reasons, citations.

Reading is lenient: members that nobody here needs are ignored, whatever their type; null is absent; a block of a kind
unknown here has no member set. Source: AWS API reference, Converse (response); translation chapter §7.6.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.contract.usage import Usage

NULL: Final = Raw(b"null")
"""An absent member of any type; ask `jsonlib.is_null`."""


class _TokenUsage(Struct, frozen=True, rename="camel"):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None


_read_usage = jsonlib.decoder(_TokenUsage)


def counts(raw: Raw) -> Usage | None:
    """`usage` in the OpenAI convention: cached tokens, which Bedrock counts apart, are part of the input.

    None when there is none, or none that can be read: an answer is not refused because its bookkeeping is odd.
    """
    if jsonlib.is_null(raw):
        return None
    try:
        usage = _read_usage(raw)
    except JsonError:
        return None
    cached, creation = usage.cache_read_input_tokens, usage.cache_write_input_tokens
    input_ = (usage.input_tokens or 0) + (cached or 0) + (creation or 0)
    output = usage.output_tokens or 0
    return Usage(input=input_, output=output, total=input_ + output, cached=cached, cache_creation=creation)


class ServiceTier(Struct, frozen=True):
    type: str | None = None


class WebLocation(Struct, frozen=True):
    url: str | None = None


class CitationLocation(Struct, frozen=True):
    web: WebLocation | None = None


class Citation(Struct, frozen=True):
    title: str | None = None
    source: str | None = None
    location: CitationLocation | None = None


class CitedText(Struct, frozen=True):
    text: str | None = None


class CitationsContent(Struct, frozen=True):
    """Generated text together with where it comes from."""

    content: list[CitedText] | None = None
    citations: list[Citation] | None = None


class ReasoningText(Struct, frozen=True):
    text: str | None = None
    signature: str | None = None


class Reasoning(Struct, frozen=True, rename="camel"):
    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class ToolUse(Struct, frozen=True, rename="camel"):
    tool_use_id: str | None = None
    name: str | None = None
    input: Raw = Raw(b"{}")
    type: str | None = None


class Block(Struct, frozen=True, rename="camel"):
    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citations_content: CitationsContent | None = None


class Message(Struct, frozen=True):
    content: list[Block] | None = None


class Output(Struct, frozen=True):
    message: Message | None = None


class Answer(Struct, frozen=True, rename="camel"):
    output: Output | None = None
    stop_reason: str | None = None
    usage: Raw = NULL
    service_tier: ServiceTier | None = None


class _Coral(Struct, frozen=True, rename={"kind": "__type"}):
    kind: str = ""


class _CoralAnswer(Struct, frozen=True, rename={"kind": "__type", "output": "Output"}):
    """What AWS's front end says when it does not know the operation, with status 200."""

    kind: str = ""
    output: _Coral | None = None


read = jsonlib.decoder(Answer)
"""Raises JsonError."""

_read_coral = jsonlib.decoder(_CoralAnswer)


def coral_type(body: bytes) -> str:
    """The `__type` of an answer that is none, without its namespace; empty when there is none."""
    try:
        answer = _read_coral(body)
    except JsonError:
        return ""
    kind = answer.kind or (answer.output.kind if answer.output else "")
    return kind.rpartition("#")[2]


class _Said(Struct, frozen=True):
    message: str | None = None


_read_said = jsonlib.decoder(_Said)


def found_instead(body: bytes, read: Answer) -> str:
    """What an answer without output holds, in words: a type, a stop reason, a message."""
    if kind := coral_type(body):
        return kind
    if read.stop_reason:
        return f"stop reason {read.stop_reason}"
    try:
        return f"message: {said}" if (said := _read_said(body).message) else "nothing"
    except JsonError:
        return "nothing"


SERVER_TOOL_USE: Final = "server_tool_use"
"""`toolUse.type` of a tool that the provider runs itself: no call for the client"""

STOP_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "model_context_window_exceeded": "length",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
}
"""Bedrock's word → OpenAI's"""


def finish_reason(stop_reason: str | None, *, calls: bool) -> str:
    """OpenAI's word. A reason that is missing or newer than this table is an ordinary end.

    Clients act on the word: it says `tool_calls` when there are some, and only then, though models have been seen to
    end a turn with a call, or to announce one and make none.
    """
    reason = STOP_REASONS.get(stop_reason or "end_turn", "stop")
    if reason == "tool_calls" and not calls:
        return "stop"
    return "tool_calls" if calls and stop_reason in (None, "", "end_turn") else reason


class _UrlCitation(Struct, frozen=True):
    start_index: int
    end_index: int
    title: str
    url: str


class _Annotation(Struct, frozen=True):
    type: str
    url_citation: _UrlCitation


def annotation(citation: Citation, start: int, end: int) -> Raw:
    """`citation` of the answer's text from `start` to `end` as an element of OpenAI's `annotations`.

    OpenAI knows citations of the web only. One of a document has the document's source (or title) as its `url`.
    """
    web = citation.location.web if citation.location else None
    url = (web.url if web else None) or citation.source or ""
    return Raw(jsonlib.encode(_Annotation("url_citation", _UrlCitation(start, end, citation.title or "", url))))
