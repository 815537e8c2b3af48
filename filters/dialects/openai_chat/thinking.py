"""Thinking blocks as clients get them and echo them back next turn (LiteLLM's convention, translation chapter §3.1)."""

from typing import assert_never

from msgspec import Struct

from filters.dialects.events import ReasoningBlock, RedactedReasoning


class ThinkingBlock(Struct, frozen=True, omit_defaults=True):
    """One element of `thinking_blocks`; empty members are left out."""

    type: str
    thinking: str = ""
    signature: str = ""
    data: str = ""


def written(block: ReasoningBlock | RedactedReasoning) -> ThinkingBlock:
    match block:
        case ReasoningBlock():
            return ThinkingBlock("thinking", block.text, block.signature)
        case RedactedReasoning():
            return ThinkingBlock("redacted_thinking", data=block.data)
        case _:  # pragma: no cover
            assert_never(block)
