"""How much the model thinks: `reasoning_effort` and `thinking` → `additionalModelRequestFields`, by family (§17.2).

For Claude also what may then be said about sampling: what the model would refuse is left out and reported.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects.openai_chat.request import ChatRequest, Thinking
from filters.mappings.openai_chat_to_converse.refusals import malformed, unprocessable
from filters.quirks import claude
from filters.quirks.bedrock import Family

OFF: Final = "none"
"""`reasoning_effort` for: do not think"""

_FORMS: Final = ("enabled", "disabled", "adaptive")
_EFFORT_WORDS: Final = {"minimal": "low"}
"""OpenAI's words that Claude does not have"""
_NOVA_DEFAULT: Final = "medium"

Fields = dict[str, object]
_read_number = jsonlib.decoder(float)


class Situation(Struct, frozen=True):
    """What else in the request decides whether the model can think."""

    model: str
    family: Family
    forced_tool: bool
    """the model must call a tool, which excludes Claude's thinking"""
    unsigned_tool_turn: bool
    """the last turn answers tool calls that came without their thinking: Claude refuses a budget then"""


def fields(request: ChatRequest, situation: Situation, dropped: dict[str, None]) -> Fields:
    """Members of `additionalModelRequestFields`. Raises MalformedRequest, Unprocessable."""
    asked = request.thinking
    if asked is not None:
        if asked.type not in _FORMS:
            reason = (
                f"invalid thinking union type: {asked.type}" if asked.type else "thinking config does not have a type"
            )
            raise malformed(reason, "thinking.type")
        if asked.include_thoughts is not None:
            dropped["thinking.includeThoughts"] = None
    if asked is None and not request.reasoning_effort:
        return {}
    return _BY_FORM[situation.family.effort](request.reasoning_effort or "", asked, situation, dropped)


def _member(thinking: Thinking) -> Fields:
    """`thinking` as it goes out."""
    member: Fields = {"type": thinking.type}
    if thinking.type == "enabled":
        member["budget_tokens"] = thinking.budget_tokens or 0
    if thinking.type != "disabled" and thinking.display is not None:
        member["display"] = thinking.display
    return member


def _with_thinking(made: Fields, asked: Thinking | None) -> Fields:
    return {"thinking": _member(asked), **made} if asked is not None else made


def _flat(effort: str, asked: Thinking | None, _situation: Situation, _dropped: dict[str, None]) -> Fields:
    return _with_thinking({"reasoning_effort": effort} if effort else {}, asked)


def _nested(effort: str, asked: Thinking | None, _situation: Situation, _dropped: dict[str, None]) -> Fields:
    return _with_thinking({"reasoning": {"effort": effort}} if effort else {}, asked)


def _config(effort: str, asked: Thinking | None, _situation: Situation, _dropped: dict[str, None]) -> Fields:
    return _with_thinking({"reasoning_config": effort} if effort else {}, asked)


def _nova(effort: str, asked: Thinking | None, situation: Situation, dropped: dict[str, None]) -> Fields:
    if asked is not None and asked.budget_tokens is not None:
        dropped["thinking.budget_tokens"] = None
    if effort == OFF or (asked is not None and asked.type == "disabled"):
        return {"reasoningConfig": {"type": "disabled"}}
    word = situation.family.efforts.get(effort, effort) or _NOVA_DEFAULT
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": word}}


def _never(effort: str, asked: Thinking | None, _situation: Situation, dropped: dict[str, None]) -> Fields:
    if effort and effort != OFF:
        dropped["reasoning_effort"] = None
    if asked is not None and asked.type != "disabled":
        dropped["thinking"] = None
    return {}


def _claude(effort: str, asked: Thinking | None, situation: Situation, dropped: dict[str, None]) -> Fields:
    model = claude.facts(situation.model)
    effort = _EFFORT_WORDS.get(effort, effort)
    if effort not in ("", OFF, *claude.EFFORTS):
        raise unprocessable(
            f'unsupported reasoning effort level: "{effort}" (supported: {", ".join(claude.EFFORTS)})',
            "reasoning_effort",
        )
    made: Fields = {}
    thinking = _claude_thinking(effort, asked, model, dropped)
    if thinking is not None:
        excluded = situation.forced_tool or (thinking["type"] == "enabled" and situation.unsigned_tool_turn)
        if thinking["type"] != "disabled" and excluded:
            dropped["thinking" if asked is not None else "reasoning_effort"] = None
        else:
            made["thinking"] = thinking
    if effort not in ("", OFF) and "adaptive" in model.thinking and model is not claude.UNKNOWN:
        made["output_config"] = {"effort": effort}
    elif effort not in ("", OFF) and asked is not None:
        dropped["reasoning_effort"] = None
    return made


def _claude_thinking(
    effort: str, asked: Thinking | None, model: claude.ClaudeModel, dropped: dict[str, None]
) -> Fields | None:
    """The member `thinking`, in a form that the model takes; None to say nothing."""
    adaptive = "adaptive" in model.thinking and model is not claude.UNKNOWN
    if asked is not None and (asked.type in model.thinking or model is claude.UNKNOWN):
        return _member(asked)
    off = effort == OFF if asked is None else asked.type == "disabled"
    source = "reasoning_effort" if asked is None else "thinking"
    if off:
        if model.thinks_always:
            dropped[source] = None
        return {"type": "disabled"} if model.thinking and not model.thinks_always else None
    if not model.thinking:
        dropped[source] = None
        return None
    display = asked.display if asked is not None else None
    if adaptive:
        if asked is not None and asked.budget_tokens is not None:
            dropped["thinking.budget_tokens"] = None
        # Without it newer models answer with empty thinking text and only a signature (§17.2).
        return {"type": "adaptive", "display": display or "summarized"}
    budget = claude.EFFORT_BUDGETS[effort or claude.DEFAULT_EFFORT]
    return {"type": "enabled", "budget_tokens": budget, **({"display": display} if display else {})}


_BY_FORM: Final[Mapping[str, Callable[[str, Thinking | None, Situation, dict[str, None]], Fields]]] = {
    "claude": _claude,
    "nova": _nova,
    "flat": _flat,
    "nested": _nested,
    "config": _config,
    "none": _never,
}


def within(made: Fields, limit: int | None, asked: Thinking | None, dropped: dict[str, None]) -> None:
    """Keeps a budget of ours below `limit` (max tokens), as Claude wants it; the client's own is not touched."""
    thinking = made.get("thinking")
    if asked is not None or limit is None or not isinstance(thinking, dict) or "budget_tokens" not in thinking:
        return
    if limit <= claude.MIN_THINKING_BUDGET:
        del made["thinking"]
        dropped["reasoning_effort"] = None
    elif thinking["budget_tokens"] >= limit:
        thinking["budget_tokens"] = max(claude.MIN_THINKING_BUDGET, limit // 2)


class Sampling(Struct, frozen=True):
    temperature: Raw | None = None
    top_p: Raw | None = None
    top_k: Raw | None = None


def sampling(request: ChatRequest, situation: Situation, made: Fields, dropped: dict[str, None]) -> Sampling:
    """Temperature and its like, as far as the model takes them beside `made`. Raises MalformedRequest."""
    temperature = number(request.temperature, "temperature")
    top_p = number(request.top_p, "top_p")
    top_k = number(request.top_k, "top_k")
    if situation.family.effort != "claude" or (temperature is None and top_p is None and top_k is None):
        return Sampling(
            request.temperature if temperature is not None else None,
            request.top_p if top_p is not None else None,
            request.top_k if top_k is not None else None,
        )
    model = claude.facts(situation.model)
    thinking = made.get("thinking")
    thinks = model.thinks_always or (isinstance(thinking, dict) and thinking["type"] != "disabled")
    keep_temperature = temperature is not None and model.sampling and (not thinks or temperature == 1)
    # With thinking Claude takes top_p from 0.95 to 1 (extended thinking, "Feature compatibility").
    keep_top_p = top_p is not None and model.sampling and (not thinks or 0.95 <= top_p <= 1)
    if keep_temperature and model.one_sampling_knob:
        keep_top_p = False
    keep_top_k = top_k is not None and model.sampling and not thinks
    for name, value, kept in (
        ("temperature", temperature, keep_temperature),
        ("top_p", top_p, keep_top_p),
        ("top_k", top_k, keep_top_k),
    ):
        if value is not None and not kept:
            dropped[name] = None
    return Sampling(
        request.temperature if keep_temperature else None,
        request.top_p if keep_top_p else None,
        request.top_k if keep_top_k else None,
    )


def number(raw: Raw | None, param: str) -> float | None:
    """The value, to decide by; what goes out is the client's own text. Raises MalformedRequest."""
    if raw is None or jsonlib.is_null(raw):
        return None
    try:
        return _read_number(raw)
    except JsonError as exc:
        raise malformed(f"{param}: {exc}", param, code="invalid_type") from exc
