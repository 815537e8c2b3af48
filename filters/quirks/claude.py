"""What each Claude model accepts, as data. Read by every mapping that talks to Claude, on whichever platform.

A model is recognised by the family and version inside its name, so first-party names, Bedrock ids and ARNs, Vertex
names and people's own aliases all work: `claude-opus-4-6`, `us.anthropic.claude-opus-4-6-v1:0`,
`claude-opus-4-5@20251101`, `my-Sonnet-4.5`. A version newer than every row of its family is taken for the newest row.

Sources (they age; check them when a row is added):
  thinking   https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting
  adaptive   https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
  effort     https://platform.claude.com/docs/en/build-with-claude/effort
  structured https://platform.claude.com/docs/en/build-with-claude/structured-outputs
  sampling   https://platform.claude.com/docs/en/about-claude/models/migration-guide
  limits     https://platform.claude.com/docs/en/about-claude/models/overview
and the lists of the translation chapter §8.1, §17.3.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

ThinkingForm = Literal["enabled", "adaptive"]

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
"""Values of `output_config.effort`. Which of them a model takes is left to the provider: its answer names them."""

EFFORT_BUDGETS: Final[Mapping[str, int]] = {"low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
"""`thinking.budget_tokens` for models that know budgets but no effort (low to high: LiteLLM's table; then doubled)."""

MIN_THINKING_BUDGET: Final = 1024
"""Least `budget_tokens` that the API takes."""

DEFAULT_EFFORT: Final = "high"
"""What the API does when no effort is given; used when `adaptive` thinking must become a budget."""


@dataclass(frozen=True, slots=True)
class ClaudeModel:
    """Facts of one model."""

    default_max_tokens: int
    """Sent as `max_tokens` when the client gives no limit (OpenAI's API needs none, Anthropic's does): generous enough
    for ordinary answers, never above what the model takes."""
    max_output: int
    """The most that `max_tokens` may be, thinking included; 0: not known."""
    thinking: tuple[ThinkingForm, ...] = ()
    """Forms of `thinking` that it takes, preferred first; empty: it cannot think."""
    thinks_always: bool = False
    """`{"type": "disabled"}` is refused."""
    effort: bool = False
    """Takes `output_config.effort`."""
    structured_output: bool = False
    """Takes `output_config.format`."""
    sampling: bool = True
    """Takes `temperature`, `top_p`, `top_k`."""
    one_sampling_knob: bool = False
    """Refuses `temperature` together with `top_p`."""


_CLAUDE_3: Final = ClaudeModel(4096, 4096)
_CLAUDE_3_5: Final = ClaudeModel(8192, 8192)
_SONNET_4: Final = ClaudeModel(16384, 64000, thinking=("enabled",))
_OPUS_4: Final = ClaudeModel(16384, 32000, thinking=("enabled",))
_OPUS_4_1: Final = ClaudeModel(16384, 32000, thinking=("enabled",), one_sampling_knob=True)
_4_5: Final = ClaudeModel(16384, 64000, thinking=("enabled",), structured_output=True, one_sampling_knob=True)
_OPUS_4_5: Final = ClaudeModel(
    16384, 64000, thinking=("enabled",), effort=True, structured_output=True, one_sampling_knob=True
)
_4_6: Final = ClaudeModel(
    32000, 128000, thinking=("adaptive", "enabled"), effort=True, structured_output=True, one_sampling_knob=True
)
_ADAPTIVE: Final = ClaudeModel(
    32000, 128000, thinking=("adaptive",), effort=True, structured_output=True, sampling=False
)
_ALWAYS: Final = ClaudeModel(
    32000, 128000, thinking=("adaptive",), thinks_always=True, effort=True, structured_output=True, sampling=False
)
_PREVIEW: Final = ClaudeModel(
    32000,
    128000,
    thinking=("adaptive", "enabled"),
    thinks_always=True,
    effort=True,
    structured_output=True,
    sampling=False,
)

Version = tuple[int, int]

FAMILIES: Final[Mapping[str, tuple[tuple[Version, ClaudeModel], ...]]] = {
    # family: rows (first version, facts), newest first
    "opus": (
        ((4, 7), _ADAPTIVE),
        ((4, 6), _4_6),
        ((4, 5), _OPUS_4_5),
        ((4, 1), _OPUS_4_1),
        ((4, 0), _OPUS_4),
        ((0, 0), _CLAUDE_3),
    ),
    "sonnet": (
        ((4, 7), _ADAPTIVE),
        ((4, 6), _4_6),
        ((4, 5), _4_5),
        ((3, 7), _SONNET_4),
        ((3, 5), _CLAUDE_3_5),
        ((0, 0), _CLAUDE_3),
    ),
    "haiku": (((4, 6), _ADAPTIVE), ((4, 5), _4_5), ((3, 5), _CLAUDE_3_5), ((0, 0), _CLAUDE_3)),
    "fable": (((0, 0), _ALWAYS),),
    "mythos": (((5, 0), _ALWAYS), ((0, 0), _PREVIEW)),  # `mythos-preview` has no number
}

UNKNOWN: Final = ClaudeModel(8192, 0, thinking=("enabled", "adaptive"))
"""A name with no Claude family in it (an alias, or another vendor behind an Anthropic-compatible API): `thinking` goes
as the client wrote it, what the oldest API lacks is emulated."""

_FAMILY: Final = "|".join(FAMILIES)
# `opus-4-5…`, `sonnet-5`, `mythos-preview`; a date is no version: at most two digits, not followed by a third.
_NEW_NAME: Final = re.compile(rf"({_FAMILY})(?:-(\d{{1,2}})(?!\d)(?:-(\d{{1,2}})(?!\d))?)?")
# `claude-3-7-sonnet-…`
_OLD_NAME: Final = re.compile(rf"claude-(\d)(?:-(\d))?-({_FAMILY})")


def is_claude(model: str) -> bool:
    """True for names that Claude goes by; signatures of thinking blocks mean something to these only."""
    name = model.lower()
    return "claude" in name or _NEW_NAME.search(name) is not None


@lru_cache(maxsize=1024)
def facts(model: str) -> ClaudeModel:
    """What `model` accepts; `UNKNOWN` for a name that says nothing."""
    name = model.lower().replace(".", "-").replace("_", "-")
    if old := _OLD_NAME.search(name):
        major, minor, family = old.groups()
    elif new := _NEW_NAME.search(name):
        family, major, minor = new.groups()
        if major is None and f"{family}-preview" not in name:
            return UNKNOWN
    else:
        return UNKNOWN
    version = (int(major or 0), int(minor or 0))
    return next(row for first, row in FAMILIES[family] if version >= first)


SERVER_TOOLS: Final = (
    "web_search_",
    "web_fetch_",
    "code_execution_",
    "text_editor_",
    "bash_",
    "computer_",
    "memory_",
    "tool_search_tool_",
    "browser_toolset_",
    "advisor_",
)
"""Beginnings of `tools[].type` that Anthropic defines itself; such a tool is passed on as the client wrote it.
Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview"""

SERVER_TOOL_BETAS: Final[Mapping[str, str]] = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "code_execution_20250522": "code-execution-2025-05-22",
    "advisor_20260301": "advisor-tool-2026-03-01",
}
"""`anthropic-beta` flags that tools still need with `anthropic-version: 2023-06-01`."""

FILES_BETA: Final = "files-api-2025-04-14"
"""`anthropic-beta` flag for `source: {"type": "file"}`."""

WEB_SEARCH_TOOL: Final = "web_search_20250305"
"""The web search tool that every model with web search takes."""
