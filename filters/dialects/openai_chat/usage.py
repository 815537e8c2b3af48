"""Token counts as this API writes them, and as those who claim to speak it write them.

Reading never fails: counts are for accounting, and an answer is not refused because its bookkeeping is odd. Writing
gives all three totals always (SDKs declare them as required) and details for what the provider told.
Sources: OpenAI API reference, "completion object"; translation chapter §3.1, §5.6, §17.1, §17.5.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.contract.usage import Usage

_MOST: Final = 2**53
"""Counts travel on as floating point numbers (dynamic metadata); no answer has more tokens than those can count."""

_read_object = jsonlib.decoder(dict[str, object])


class PromptDetails(Struct, frozen=True, omit_defaults=True):
    cached_tokens: int | UnsetType = UNSET
    cache_creation_input_tokens: int | UnsetType = UNSET
    """the gateway's own name, from before OpenAI had one"""
    cache_write_tokens: int | UnsetType = UNSET


class CompletionDetails(Struct, frozen=True, omit_defaults=True):
    reasoning_tokens: int | UnsetType = UNSET


class UsageObject(Struct, frozen=True, omit_defaults=True):
    """`usage` of a completion or of a chunk."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    completion_tokens_details: CompletionDetails | UnsetType = UNSET
    prompt_tokens_details: PromptDetails | UnsetType = UNSET


def written(usage: Usage) -> UsageObject:
    """`usage` as it stands in an answer."""
    prompt = usage.input or 0
    completion = usage.output or 0
    completion_details: CompletionDetails | UnsetType = UNSET
    prompt_details: PromptDetails | UnsetType = UNSET
    if usage.reasoning is not None:
        completion_details = CompletionDetails(usage.reasoning)
    if usage.cached is not None or usage.cache_creation is not None:
        creation = UNSET if usage.cache_creation is None else usage.cache_creation
        prompt_details = PromptDetails(UNSET if usage.cached is None else usage.cached, creation, creation)
    total = prompt + completion if usage.total is None else usage.total
    return UsageObject(prompt, completion, total, completion_details, prompt_details)


def read(raw: Raw) -> Usage | None:
    """The counts of a `usage` member; None when it is no object, or says nothing."""
    try:
        members = _read_object(raw)
    except JsonError:
        return None
    prompt = _count(members.get("prompt_tokens"))
    completion = _count(members.get("completion_tokens"))
    total = _count(members.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    cached = creation = reasoning = None
    match members.get("prompt_tokens_details"):
        case dict() as details:
            cached = _count(details.get("cached_tokens")) or 0
            creation = _first_count(details, "cache_creation_input_tokens", "cache_write_tokens") or 0
    if cached is None:
        # DeepSeek's and Moonshot's own members, from before they had the details.
        cached = _first_count(members, "prompt_cache_hit_tokens", "cached_tokens")
    match members.get("completion_tokens_details"):
        case dict() as details:
            reasoning = _count(details.get("reasoning_tokens")) or 0
    if total is None:
        total = (prompt or 0) + (completion or 0)
    return Usage(
        input=prompt or 0,
        output=completion or 0,
        total=total,
        cached=cached,
        cache_creation=creation,
        reasoning=reasoning,
    )


def _first_count(members: Mapping[str, object], *names: str) -> int | None:
    for name in names:
        if (count := _count(members.get(name))) is not None:
            return count
    return None


def _count(value: object) -> int | None:
    match value:
        case bool():
            return None
        case int() if 0 <= value < _MOST:
            return value
        case float() if 0 <= value < _MOST and value.is_integer():
            return int(value)
    return None
