"""How much the model thinks, and what may then be said about sampling (translation chapter §8.1, §17.3).

Clients say it in two ways (`reasoning_effort`, `thinking`), models take it in two forms (a token budget, or adaptive
with an effort). What the model would refuse is translated; what has no translation is left out and reported.
"""

from collections.abc import Sequence

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects.anthropic_messages import request as anthropic
from filters.dialects.openai_chat.request import ChatRequest, Thinking
from filters.mappings.openai_chat_to_anthropic.notes import Notes
from filters.mappings.openai_chat_to_anthropic.refusals import malformed, unprocessable
from filters.quirks import claude
from filters.quirks.claude import ClaudeModel

OFF = "none"
"""`reasoning_effort` for: do not think"""
_FORMS = ("enabled", "disabled", "adaptive")
_read_number = jsonlib.decoder(float)


class Plan(Struct, frozen=True):
    """Members of the body that depend on each other."""

    max_tokens: int
    thinking: anthropic.Thinking | None = None
    effort: str | None = None
    temperature: Raw | None = None
    top_p: Raw | None = None
    top_k: Raw | None = None


def plan(
    request: ChatRequest,
    model: ClaudeModel,
    messages: Sequence[anthropic.Message],
    *,
    forced_tool: bool,
    notes: Notes,
) -> Plan:
    """`forced_tool`: the model must call a tool, which excludes thinking. Raises Unprocessable, MalformedRequest."""
    _check(request)
    limit = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    thinking, effort = _wanted(request, model, notes)
    if thinking is not None and thinking.type != "disabled":
        source = "thinking" if request.thinking is not None else "reasoning_effort"
        if forced_tool or (
            thinking.type == "enabled" and model is not claude.UNKNOWN and _unsigned_tool_turn(messages)
        ):
            notes.drop(source)
            thinking = None
        elif thinking.type == "enabled":
            own = request.thinking is not None and thinking.budget_tokens == request.thinking.budget_tokens
            thinking = _within(thinking, limit, source, own=own, notes=notes)
    budget = thinking.budget_tokens if thinking is not None else None
    if limit is None:
        # The budget counts towards the limit: it must not eat what the answer needs.
        limit = model.default_max_tokens + (budget or 0)
        if model.max_output and (budget or 0) < model.max_output:
            limit = min(limit, model.max_output)
    on = model.thinks_always or (thinking is not None and thinking.type != "disabled")
    temperature, top_p, top_k = _sampling(request, model, thinking=on, notes=notes)
    return Plan(limit, thinking, effort, temperature, top_p, top_k)


def _check(request: ChatRequest) -> None:
    if request.thinking is not None and request.thinking.type not in _FORMS:
        reason = (
            f"invalid thinking union type: {request.thinking.type}"
            if request.thinking.type
            else "thinking config does not have a type"
        )
        raise malformed(reason, "thinking.type")
    effort = request.reasoning_effort
    if effort is not None and effort not in (OFF, "", *claude.EFFORTS):
        raise unprocessable(
            f'unsupported reasoning effort level: "{effort}" (supported: {", ".join(claude.EFFORTS)})',
            "reasoning_effort",
        )


def _wanted(request: ChatRequest, model: ClaudeModel, notes: Notes) -> tuple[anthropic.Thinking | None, str | None]:
    """What the client asked for, in the forms that the model takes."""
    level = request.reasoning_effort or None
    effort = level if model.effort and level != OFF else None
    asked = request.thinking
    if asked is None:
        if level is None or effort is not None:
            return None, effort
        if level == OFF:
            return _disabled(model, "reasoning_effort", notes), None
        if not model.thinking:
            notes.drop("reasoning_effort")
            return None, None
        return anthropic.Thinking("enabled", claude.EFFORT_BUDGETS[level]), None
    if asked.include_thoughts is not None:
        notes.drop("thinking.includeThoughts")
    if asked.type == "disabled" or not model.thinking:
        thinking = None
        if asked.type == "disabled":
            thinking = _disabled(model, "thinking", notes)
        else:
            notes.drop("thinking")
        if level is not None and effort is None and level != OFF:
            notes.drop("reasoning_effort")
        return thinking, effort
    return _asked(asked, level, model, notes), effort


def _asked(asked: Thinking, level: str | None, model: ClaudeModel, notes: Notes) -> anthropic.Thinking:
    """`enabled` or `adaptive`, in the form that the model takes."""
    if asked.type == "enabled" and "enabled" in model.thinking and asked.budget_tokens is not None:
        if level is not None and not model.effort:
            notes.drop("reasoning_effort")
        return anthropic.Thinking("enabled", asked.budget_tokens, asked.display)
    if "adaptive" in model.thinking and model is not claude.UNKNOWN:
        if asked.type == "adaptive":
            return anthropic.Thinking("adaptive", None, asked.display)
        if asked.budget_tokens is not None:
            notes.drop("thinking.budget_tokens")
        # Budgets came with visible thinking; adaptive models hide it unless told otherwise.
        return anthropic.Thinking("adaptive", None, asked.display or "summarized")
    if asked.type == "adaptive" and model is claude.UNKNOWN:
        return anthropic.Thinking("adaptive", None, asked.display)
    budget = claude.EFFORT_BUDGETS.get(level or "", claude.EFFORT_BUDGETS[claude.DEFAULT_EFFORT])
    return anthropic.Thinking("enabled", budget, asked.display)


def _disabled(model: ClaudeModel, source: str, notes: Notes) -> anthropic.Thinking | None:
    if model.thinks_always:
        notes.drop(source)
        return None
    return anthropic.Thinking("disabled") if model.thinking else None


def _within(
    thinking: anthropic.Thinking, limit: int | None, source: str, *, own: bool, notes: Notes
) -> anthropic.Thinking | None:
    """The budget must be below `max_tokens`. The client's own is not touched, one that we chose is."""
    budget = thinking.budget_tokens or 0
    if limit is None or budget < limit:
        return thinking
    if own:
        raise unprocessable(
            "thinking.budget_tokens must be less than max_tokens", "thinking.budget_tokens", code="invalid_value"
        )
    if limit <= claude.MIN_THINKING_BUDGET:
        notes.drop(source)
        return None
    return anthropic.Thinking("enabled", max(claude.MIN_THINKING_BUDGET, limit // 2), thinking.display)


def _unsigned_tool_turn(messages: Sequence[anthropic.Message]) -> bool:
    """The last turn answers tool calls that came without their thinking: with a budget, the API refuses that."""
    if len(messages) < 2 or not isinstance(messages[-1].content[0], anthropic.ToolResultBlock):
        return False
    first = messages[-2].content[0]
    return not isinstance(first, anthropic.ThinkingBlock | anthropic.RedactedThinkingBlock)


def _sampling(request: ChatRequest, model: ClaudeModel, *, thinking: bool, notes: Notes) -> Sequence[Raw | None]:
    """temperature, top_p and top_k: what may be said of them."""
    temperature = _number(request.temperature, "temperature")
    top_p = _number(request.top_p, "top_p")
    top_k = _number(request.top_k, "top_k")
    if temperature is not None and not 0 <= temperature <= 1:
        raise unprocessable(
            f"temperature {temperature:.2f} is not supported by Anthropic (must be between 0.0 and 1.0)", "temperature"
        )
    keep_temperature = temperature is not None and model.sampling and (not thinking or temperature == 1)
    # With thinking the API takes top_p from 0.95 to 1 (extended thinking, "Feature compatibility").
    keep_top_p = top_p is not None and model.sampling and (not thinking or 0.95 <= top_p <= 1)
    if keep_temperature and keep_top_p and model.one_sampling_knob:
        keep_top_p = False
    keep_top_k = top_k is not None and model.sampling and not thinking
    kept: list[Raw | None] = []
    for name, raw, value, keep in (
        ("temperature", request.temperature, temperature, keep_temperature),
        ("top_p", request.top_p, top_p, keep_top_p),
        ("top_k", request.top_k, top_k, keep_top_k),
    ):
        if value is not None and not keep:
            notes.drop(name)
        kept.append(raw if keep else None)
    return kept


def _number(raw: Raw, param: str) -> float | None:
    if jsonlib.is_null(raw):
        return None
    try:
        return _read_number(raw)
    except JsonError as exc:
        raise malformed(f"{param}: {exc}", param, code="invalid_type") from exc
