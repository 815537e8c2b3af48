"""Thinking blocks as clients get them and echo them back next turn (LiteLLM's convention, translation chapter §3.1)."""

from typing import assert_never

from msgspec import UNSET, Struct, UnsetType

from filters.dialects.events import ReasoningBlock, RedactedReasoning


class ThinkingBlock(Struct, frozen=True, omit_defaults=True):
    """One element of `thinking_blocks`; empty members are left out."""

    type: str
    thinking: str = ""
    signature: str = ""
    data: str = ""
    index: int | UnsetType = UNSET
    """in streams: the place in the list, by which SDKs join the pieces (openai-python fails without)"""


def written(block: ReasoningBlock | RedactedReasoning, index: int | UnsetType = UNSET) -> ThinkingBlock:
    match block:
        case ReasoningBlock():
            return ThinkingBlock("thinking", block.text, block.signature, index=index)
        case RedactedReasoning():
            return ThinkingBlock("redacted_thinking", data=block.data, index=index)
        case _:  # pragma: no cover
            assert_never(block)
