"""What `POST /v1/messages` answers: a whole message, or a stream of events, as far as they are read.

Structs are lenient: members that are not read are not looked at, so a provider may add what it likes. Source:
https://platform.claude.com/docs/en/api/messages and /docs/en/build-with-claude/streaming
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import Raw
from filters.contract.usage import Usage

NULL: Final = Raw(b"null")
"""An absent member of any type; ask `jsonlib.is_null`."""

FINISH_REASONS: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""`stop_reason` → OpenAI's `finish_reason`; every other one, and none, is `stop`: an answer that is complete is not
thrown away over a word (translation chapter §8.5 C17)."""

ERROR_STATUS: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""HTTP status that `error.type` stands for (https://platform.claude.com/docs/en/api/errors)."""

SERVICE_TIERS: Final[Mapping[str, str]] = {"standard": "default", "priority": "priority"}
"""`usage.service_tier` → OpenAI's word; a tier that OpenAI has no word for is not shown."""


class Block(Struct, frozen=True, gc=False):
    """One content block, whole or as it begins in a stream."""

    type: str = ""
    text: str | None = None
    citations: list[Raw] | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = NULL


class StopDetails(Struct, frozen=True, gc=False):
    explanation: str | None = None


class Message(Struct, frozen=True, gc=False):
    """A whole answer. `content` is None when the object has no such member: then it is no message."""

    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: Raw = NULL


class Delta(Struct, frozen=True, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Raw = NULL
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class Start(Struct, frozen=True, gc=False):
    """`message` of `message_start`."""

    id: str | None = None
    model: str | None = None
    usage: Raw = NULL


class Frame(Struct, frozen=True, gc=False):
    """One event of the stream, whatever its type."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Raw = NULL
    usage: Raw = NULL
    error: Raw = NULL


Number = int | float
"""Some compatible providers write whole numbers with a fraction."""


class OutputDetails(Struct, frozen=True, gc=False):
    thinking_tokens: Number | None = None


class Counts(Struct, frozen=True, gc=False):
    """`usage`, whole or of one event."""

    input_tokens: Number | None = None
    output_tokens: Number | None = None
    cache_read_input_tokens: Number | None = None
    cache_creation_input_tokens: Number | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None


class Citation(Struct, frozen=True, gc=False):
    url: str | None = None
    source: str | None = None
    title: str | None = None
    document_title: str | None = None
    cited_text: str | None = None


read_message = jsonlib.decoder(Message)
read_frame = jsonlib.decoder(Frame)
read_start = jsonlib.decoder(Start)
read_counts = jsonlib.decoder(Counts)
read_citation = jsonlib.decoder(Citation)


_MOST: Final = 2**53
"""Counts travel on as floating point numbers (dynamic metadata); no answer has more tokens than those can count."""


class Tally:
    """Token counts of one answer. Reports are cumulative: what a newer one says replaces, what it leaves out stays.

    Anthropic counts cached tokens apart from `input_tokens`; `Usage.input` holds all three (§3.1, §8.6 C22).
    """

    __slots__ = ("_base", "_cached", "_creation", "_output", "_reasoning")

    def __init__(self) -> None:
        self._base: int | None = None
        self._cached: int | None = None
        self._creation: int | None = None
        self._output: int | None = None
        self._reasoning: int | None = None

    def take(self, counts: Counts, *, output: bool) -> Usage | None:
        """The counts so far, with `counts`; None when those say nothing. `output`: its output side is final enough to
        be believed (`message_start` carries a placeholder)."""
        base = _count(counts.input_tokens)
        cached = _count(counts.cache_read_input_tokens)
        creation = _count(counts.cache_creation_input_tokens)
        out = _count(counts.output_tokens) if output else None
        details = counts.output_tokens_details
        reasoning = _count(details.thinking_tokens) if output and details is not None else None
        if base is cached is creation is out is reasoning is None:
            return None
        self._base = self._base if base is None else base
        self._cached = self._cached if cached is None else cached
        self._creation = self._creation if creation is None else creation
        self._output = self._output if out is None else out
        self._reasoning = self._reasoning if reasoning is None else reasoning
        known = not (self._base is self._cached is self._creation is None)
        prompt = (self._base or 0) + (self._cached or 0) + (self._creation or 0)
        return Usage(
            input=prompt if known else None,
            output=self._output,
            total=prompt + (self._output or 0),
            cached=self._cached,
            cache_creation=self._creation,
            reasoning=self._reasoning,
        )


def _count(value: Number | None) -> int | None:
    return int(value) if value is not None and 0 <= value < _MOST else None
