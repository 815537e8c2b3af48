"""reasoning_effort, thinking and sampling, by family."""

from typing import Any

import pytest

from filters.contract import jsonlib
from filters.errors import MalformedRequest, Unprocessable
from filters.mappings.openai_chat_to_converse import request
from tests.support.converse import chat, translated

OPUS_46 = "us.anthropic.claude-opus-4-6-v1"
OPUS_47 = "anthropic.claude-opus-4-7-v1:0"
SONNET_45 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
FABLE = "anthropic.claude-fable-5-v1:0"
UNNAMED = "anthropic.claude-custom"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
ADAPTIVE = {"type": "adaptive", "display": "summarized"}


def fields(model: str, **members: Any) -> tuple[Any, tuple[str, ...]]:
    body, dropped = translated(chat(model, **members))
    return body.get("additionalModelRequestFields"), dropped


@pytest.mark.parametrize(
    ("model", "effort", "expected", "dropped"),
    [
        (OPUS_46, "low", {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}, ()),
        (OPUS_46, "minimal", {"thinking": ADAPTIVE, "output_config": {"effort": "low"}}, ()),
        (OPUS_46, "none", {"thinking": {"type": "disabled"}}, ()),
        (FABLE, "none", None, ("reasoning_effort",)),
        (SONNET_45, "max", {"thinking": {"type": "enabled", "budget_tokens": 16384}}, ()),
        (SONNET_45, "none", {"thinking": {"type": "disabled"}}, ()),
        (HAIKU_3, "high", None, ("reasoning_effort",)),
        (HAIKU_3, "none", None, ()),
        (UNNAMED, "low", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, ()),
        (NOVA_2, "xhigh", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, ()),
        (NOVA_2, "none", {"reasoningConfig": {"type": "disabled"}}, ()),
        ("amazon.nova-pro-v1:0", "low", None, ("reasoning_effort",)),
        ("openai.gpt-oss-20b-1:0", "low", {"reasoning_effort": "low"}, ()),
        ("moonshot.kimi-k2-thinking", "high", {"reasoning_effort": "high"}, ()),
        ("openai.gpt-5.6-v1:0", "low", {"reasoning": {"effort": "low"}}, ()),
        ("zai.glm-5", "low", {"reasoning_config": "low"}, ()),
        ("qwen.qwen3-32b-v1:0", "", None, ()),
    ],
)
def test_effort_takes_the_shape_of_the_family(
    model: str, effort: str, expected: object, dropped: tuple[str, ...]
) -> None:
    assert fields(model, reasoning_effort=effort) == (expected, dropped)


@pytest.mark.parametrize(
    ("model", "thinking", "expected", "dropped"),
    [
        (
            SONNET_45,
            {"type": "enabled", "budget_tokens": 2000},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            (),
        ),
        (
            SONNET_45,
            {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
            {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}},
            (),
        ),
        (
            SONNET_45,
            {"type": "adaptive", "display": "summarized"},
            {"thinking": {"type": "enabled", "budget_tokens": 4096, "display": "summarized"}},
            (),
        ),
        (SONNET_45, {"type": "disabled"}, {"thinking": {"type": "disabled"}}, ()),
        (OPUS_47, {"type": "enabled", "budget_tokens": 2000}, {"thinking": ADAPTIVE}, ("thinking.budget_tokens",)),
        (OPUS_46, {"type": "adaptive"}, {"thinking": {"type": "adaptive"}}, ()),
        (FABLE, {"type": "disabled"}, None, ("thinking",)),
        (HAIKU_3, {"type": "enabled", "budget_tokens": 2000}, None, ("thinking",)),
        (UNNAMED, {"type": "adaptive"}, {"thinking": {"type": "adaptive"}}, ()),
        (
            NOVA_2,
            {"type": "enabled", "budget_tokens": 2000},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
            ("thinking.budget_tokens",),
        ),
        (NOVA_2, {"type": "disabled"}, {"reasoningConfig": {"type": "disabled"}}, ()),
        ("cohere.command-r-v1:0", {"type": "enabled", "budget_tokens": 2000}, None, ("thinking",)),
        (
            "deepseek.v3-v1:0",
            {"type": "enabled", "budget_tokens": 2000},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            (),
        ),
        (
            SONNET_45,
            {"type": "enabled", "budget_tokens": 2000, "includeThoughts": True},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            ("thinking.includeThoughts",),
        ),
    ],
)
def test_thinking_takes_a_form_that_the_model_knows(
    model: str, thinking: object, expected: object, dropped: tuple[str, ...]
) -> None:
    assert fields(model, thinking=thinking, max_tokens=8000) == (expected, dropped)


def test_thinking_and_effort_together() -> None:
    asked = {"type": "enabled", "budget_tokens": 2000}
    assert fields(SONNET_45, thinking=asked, reasoning_effort="low", max_tokens=8000) == (
        {"thinking": asked},
        ("reasoning_effort",),
    )
    assert fields(OPUS_46, thinking={"type": "adaptive"}, reasoning_effort="max")[0] == {
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "max"},
    }
    assert fields("zai.glm-5", thinking=asked, reasoning_effort="low")[0] == {
        "thinking": asked,
        "reasoning_config": "low",
    }


def test_a_budget_of_ours_stays_below_max_tokens_or_is_given_up() -> None:
    assert fields(SONNET_45, reasoning_effort="high", max_tokens=4000)[0] == {
        "thinking": {"type": "enabled", "budget_tokens": 2000}
    }
    assert fields(SONNET_45, reasoning_effort="high", max_tokens=1024) == (None, ("reasoning_effort",))


def test_a_forced_tool_excludes_claudes_thinking() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert fields(SONNET_45, reasoning_effort="low", tools=tools, tool_choice="required") == (
        None,
        ("reasoning_effort",),
    )
    assert fields(SONNET_45, reasoning_effort="low", tools=tools, tool_choice="auto")[0] is not None


@pytest.mark.parametrize(
    ("model", "members", "config", "top_k", "dropped"),
    [
        (SONNET_45, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, None, ("top_p",)),
        (SONNET_45, {"top_p": 0.9, "top_k": 5}, {"topP": 0.9}, 5, ()),
        (OPUS_47, {"temperature": 1, "top_p": 0.9, "top_k": 5}, {}, None, ("temperature", "top_p", "top_k")),
        (HAIKU_3, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "topP": 0.9}, None, ()),
        ("zai.glm-5", {"temperature": 2, "top_p": 0.9, "top_k": 7}, {"temperature": 2, "topP": 0.9}, 7, ()),
    ],
)
def test_sampling_that_the_model_refuses_is_reported(
    model: str, members: dict[str, Any], config: object, top_k: int | None, dropped: tuple[str, ...]
) -> None:
    body, left_out = translated(chat(model, **members))
    assert body["inferenceConfig"] == config
    assert body.get("additionalModelRequestFields", {}).get("top_k") == top_k
    assert left_out == dropped


def test_sampling_beside_thinking() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    body, dropped = translated(chat(SONNET_45, thinking=thinking, max_tokens=8000, temperature=1, top_k=3))
    assert (body["inferenceConfig"], dropped) == ({"maxTokens": 8000, "temperature": 1}, ("top_k",))
    body, dropped = translated(chat(SONNET_45, thinking=thinking, max_tokens=8000, temperature=0.3, top_p=0.95))
    assert (body["inferenceConfig"], dropped) == ({"maxTokens": 8000, "topP": 0.95}, ("temperature",))


@pytest.mark.parametrize(
    ("members", "error", "param"),
    [
        ({"thinking": {}}, MalformedRequest, "thinking.type"),
        ({"thinking": {"type": "sometimes"}}, MalformedRequest, "thinking.type"),
        ({"reasoning_effort": "extreme"}, Unprocessable, "reasoning_effort"),
        ({"temperature": "1"}, MalformedRequest, "temperature"),
        ({"top_k": [1]}, MalformedRequest, "top_k"),
        ({"seed": "x"}, MalformedRequest, "seed"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    members: dict[str, Any], error: type[MalformedRequest | Unprocessable], param: str
) -> None:
    with pytest.raises(error) as caught:
        translated(chat(SONNET_45, **members))
    assert caught.value.param == param


def test_numbers_keep_their_text() -> None:
    call = chat(HAIKU_3, temperature=jsonlib.Raw(b"0.10"), top_p=jsonlib.Raw(b"1e-1"))
    assert b'"temperature":0.10,"topP":1e-1' in request.translate(call).body
