"""Models are recognised by what their names say, on every platform."""

import pytest

from filters.quirks import claude

EFFORT = (
    "opus-4-5",
    "opus-4-6",
    "opus-4-7",
    "opus-4-8",
    "sonnet-4-6",
    "sonnet-5",
    "fable-5",
    "mythos-5",
    "mythos-preview",
)
STRUCTURED = (*EFFORT, "sonnet-4-5", "haiku-4-5")
ALL = (
    *STRUCTURED,
    "opus-4-1",
    "opus-4-20250514",
    "sonnet-4-20250514",
    "claude-3-7-sonnet",
    "claude-3-opus",
    "gpt-4o",
    "",
)


@pytest.mark.parametrize("model", ALL)
def test_effort_and_structured_output_follow_the_documented_lists(model: str) -> None:
    facts = claude.facts(model)
    assert (facts.effort, facts.structured_output) == (model in EFFORT, model in STRUCTURED)


@pytest.mark.parametrize(
    "alias",
    [
        "claude-opus-4-5-20251101",
        "us.anthropic.claude-opus-4-5-20251101-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-5-20251101-v1:0",
        "claude-opus-4-5@20251101",
        "Team/CLAUDE-OPUS-4.5",
    ],
)
def test_the_same_model_is_recognised_under_every_platform_s_name(alias: str) -> None:
    assert claude.facts(alias) == claude.facts("opus-4-5") != claude.facts("opus-4-6")
    assert claude.is_claude(alias)


def test_a_date_is_not_taken_for_a_version() -> None:
    assert claude.facts("claude-sonnet-4-20250514") == claude.facts("claude-sonnet-4-0")
    assert claude.facts("claude-3-5-haiku-20241022").default_max_tokens == 8192
    assert claude.facts("claude-3-haiku-20240307").default_max_tokens == 4096


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-opus-9", "claude-sonnet-5-5", "claude-haiku-5-5"])
def test_a_newer_version_counts_as_the_newest_known(model: str) -> None:
    facts = claude.facts(model)
    assert facts.thinking == ("adaptive",)
    assert not facts.sampling


@pytest.mark.parametrize("model", ["gpt-4o", "kimi-k2", "opus", "claude", ""])
def test_a_name_without_a_version_says_nothing(model: str) -> None:
    assert claude.facts(model) is claude.UNKNOWN


def test_only_claude_gets_signatures() -> None:
    assert [claude.is_claude(name) for name in ("my-claude", "opus-4-6", "kimi-k2", "gpt-4o")] == [
        True,
        True,
        False,
        False,
    ]
