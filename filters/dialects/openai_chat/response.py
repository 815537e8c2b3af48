"""A whole chat completion, for providers whose answers are translated.

Mappings fill a `ChatAnswer`; `encode` writes it. Members and their order as in translation chapter §3.1, with
`content: null` when there is no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET, Struct, UnsetType

from filters.contract import jsonlib
from filters.contract.jsonlib import Raw
from filters.contract.usage import Usage
from filters.dialects.events import ReasoningBlock, RedactedReasoning
from filters.dialects.openai_chat import thinking
from filters.dialects.openai_chat import usage as usages


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model wants made. `arguments` is JSON text, best the provider's own."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """What the provider answered, in OpenAI's words."""

    id: str
    model: str
    created: int
    """Unix seconds"""
    finish_reason: str
    """stop, length, tool_calls, content_filter"""
    content: str | None = None
    """all text of the answer; None when it has none"""
    refusal: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str = ""
    """all thinking text"""
    thinking_blocks: Sequence[ReasoningBlock | RedactedReasoning] = ()
    annotations: Sequence[Raw] = ()
    """elements of `annotations`, in OpenAI's shape already"""
    usage: Usage | None = None
    service_tier: str = ""

    def encode(self) -> bytes:
        """The response body."""
        message = _Message(
            role="assistant",
            content=self.content,
            refusal=UNSET if self.refusal is None else self.refusal,
            tool_calls=[_ToolCall(call.id, _Function(call.arguments, call.name)) for call in self.tool_calls] or UNSET,
            annotations=list(self.annotations) or UNSET,
            reasoning_content=self.reasoning or UNSET,
            thinking_blocks=[thinking.written(block) for block in self.thinking_blocks] or UNSET,
        )
        return jsonlib.encode(
            _Completion(
                id=self.id,
                choices=(_Choice(message=message, finish_reason=self.finish_reason),),
                created=self.created,
                model=self.model,
                service_tier=self.service_tier or UNSET,
                usage=UNSET if self.usage is None else usages.written(self.usage),
            )
        )


class _Function(Struct, frozen=True):
    arguments: str
    name: str


class _ToolCall(Struct, frozen=True):
    id: str
    function: _Function
    type: str = "function"


class _Message(Struct, frozen=True, kw_only=True):
    role: str
    content: str | None
    refusal: str | UnsetType
    tool_calls: list[_ToolCall] | UnsetType
    annotations: list[Raw] | UnsetType
    reasoning_content: str | UnsetType
    thinking_blocks: list[thinking.ThinkingBlock] | UnsetType


class _Choice(Struct, frozen=True, kw_only=True):
    index: int = 0
    message: _Message
    finish_reason: str


class _Completion(Struct, frozen=True, kw_only=True):
    id: str
    choices: tuple[_Choice]
    created: int
    model: str
    service_tier: str | UnsetType
    object: str = "chat.completion"
    usage: usages.UsageObject | UnsetType
