"""What the model families on Amazon Bedrock accept beyond the members of Converse itself, as data.

A family is recognised by a pattern on the effective model: ids (`amazon.nova-2-lite-v1:0`), cross-region profiles
(`us.anthropic.claude-…`) and ARNs that end in one. ARNs that say nothing (application profiles, provisioned throughput)
are `opaque`, other names that say nothing are UNKNOWN. Facts of single Claude models are in `filters.quirks.claude`.

Sources (they age; check them when a row is added):
  inference parameters  https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html
  structured output     https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
  Nova                  https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
  mixed turns           https://github.com/strands-agents/harness-sdk/issues/1223 (Llama),
                        https://github.com/browser-use/browser-use/issues/710 (Llama, Mistral)
  toolResult.status     https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolResultBlock.html
and the table of the translation chapter §17.2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

EffortForm = Literal["claude", "nova", "flat", "nested", "config", "none"]
"""Where `reasoning_effort` goes in `additionalModelRequestFields`:
claude: `thinking` (+ `output_config.effort`), by the model's facts
nova:   `reasoningConfig: {type: enabled, maxReasoningEffort}`
flat:   `reasoning_effort`
nested: `reasoning: {effort}` (the flat member is refused as unknown)
config: `reasoning_config`, a plain string
none:   nowhere; the model does not reason"""

StructuredOutput = Literal["native", "tool", "none"]
"""native: `outputConfig.textFormat`; tool: a tool that must be called can stand in; none: the family can neither"""

OPENAI_SAMPLING: Final[Mapping[str, tuple[str, ...]]] = {
    "top_k": ("top_k",),
    "seed": ("seed",),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    name: str
    pattern: str
    """regular expression, searched in the lower-case effective model"""
    effort: EffortForm = "config"
    efforts: Mapping[str, str] = field(default_factory=dict)
    """`reasoning_effort` → the family's word, where it is another; a missing value goes as it is"""
    sampling: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """OpenAI's sampling member → path in `additionalModelRequestFields`; a missing one cannot be told to the model"""
    structured_output: StructuredOutput = "native"
    tool_result_status: bool = False
    """takes `toolResult.status`"""
    named_choice: bool = False
    """a `tool_choice` that is a bare string may be a tool's name"""
    blank_stop: bool = True
    """takes stop sequences of white space only"""
    trailing_space: bool = True
    """takes white space at the end of an answer that it is to continue"""
    mixed_turns: bool = True
    """takes calls, or results of calls, in one turn with anything else"""
    signatures: bool = False
    """takes its own reasoning back, with signature"""
    serial_tools: bool = False
    """takes Anthropic's `tool_choice.disable_parallel_tool_use` in `additionalModelRequestFields`"""


UNKNOWN: Final = Family(name="unknown", pattern="", sampling={"top_k": ("top_k",)})

_NOVA_EFFORTS: Final = {"minimal": "low", "xhigh": "high", "max": "high"}
_TOP_K: Final = {"top_k": ("top_k",)}

FAMILIES: Final = (
    Family(
        name="claude",
        pattern=r"claude|(?:^|[./])anthropic\.",
        effort="claude",
        sampling=_TOP_K,
        structured_output="tool",  # native for newer models: filters.quirks.claude
        named_choice=True,
        blank_stop=False,
        trailing_space=False,
        tool_result_status=True,
        signatures=True,
        serial_tools=True,
    ),
    Family(
        name="nova-2",
        pattern=r"nova-2|nova-(?:premier|pro|lite|micro|omni)-2",
        effort="nova",
        efforts=_NOVA_EFFORTS,
        sampling={"top_k": ("inferenceConfig", "topK")},
        structured_output="tool",
        tool_result_status=True,
    ),
    Family(
        name="nova",
        pattern=r"amazon\.nova|nova-(?:premier|pro|lite|micro)",
        effort="none",
        sampling={"top_k": ("inferenceConfig", "topK")},
        structured_output="tool",
        tool_result_status=True,
    ),
    Family(name="titan", pattern=r"titan", effort="none", structured_output="none"),
    Family(name="gpt-oss", pattern=r"gpt-oss", effort="flat"),
    Family(name="gpt", pattern=r"openai\.gpt-(?:5[.-](?:[6-9]|\d\d)|[6-9]|\d\d)", effort="nested"),
    Family(name="kimi", pattern=r"kimi", effort="flat", sampling=_TOP_K),
    Family(
        name="llama",
        pattern=r"llama",
        effort="none",
        sampling=OPENAI_SAMPLING,
        structured_output="none",
        mixed_turns=False,
    ),
    Family(
        name="mistral",
        pattern=r"mistral|mixtral|ministral|magistral|pixtral|voxtral",
        sampling=OPENAI_SAMPLING,
        mixed_turns=False,
    ),
    Family(
        name="cohere",
        pattern=r"cohere|command-",
        effort="none",
        sampling={**OPENAI_SAMPLING, "top_k": ("k",)},
        structured_output="none",
    ),
    Family(
        name="jamba",
        pattern=r"jamba|ai21",
        effort="none",
        sampling={name: OPENAI_SAMPLING[name] for name in ("presence_penalty", "frequency_penalty")},
        structured_output="none",
    ),
    Family(
        name="opaque",
        pattern=r"^arn:",
        sampling=_TOP_K,
        # What is signed was signed by the model behind the same ARN, as a rule; nobody misses blanks.
        signatures=True,
        blank_stop=False,
        trailing_space=False,
    ),
)
"""First match wins."""

_PATTERNS: Final = tuple((re.compile(family.pattern), family) for family in FAMILIES)


@lru_cache(maxsize=1024)
def family_of(model: str) -> Family:
    """The family that the effective model belongs to; UNKNOWN when its name does not say."""
    name = model.lower()
    return next((family for pattern, family in _PATTERNS if pattern.search(name)), UNKNOWN)


IMAGE_FORMATS: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
DOCUMENT_FORMATS: Final[Mapping[str, str]] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/x-markdown": "md",
}
AUDIO_FORMATS: Final[Mapping[str, str]] = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/opus": "opus",
    "audio/wav": "wav",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/aac": "aac",
    "audio/x-aac": "x-aac",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/mp4": "mp4",
    "audio/ogg": "ogg",
    "audio/x-matroska": "mka",
    "audio/m4a": "m4a",
    "audio/x-m4a": "m4a",
    "audio/pcm": "pcm",
    "audio/webm": "webm",
}
VIDEO_FORMATS: Final[Mapping[str, str]] = {
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
"""Media type → Converse's name of the format"""

IMAGE_EXTENSIONS: Final[Mapping[str, str]] = {
    "png": "png",
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "gif": "gif",
    "webp": "webp",
}
DOCUMENT_EXTENSIONS: Final[Mapping[str, str]] = {
    **{name: name for name in ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")},
    "htm": "html",
    "markdown": "md",
    "text": "txt",
}
AUDIO_EXTENSIONS: Final[Mapping[str, str]] = {
    name: name
    for name in (
        *("mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv"),
        *("mka", "x-aac", "m4a", "mpeg", "mpga", "pcm", "webm"),
    )
}
VIDEO_EXTENSIONS: Final[Mapping[str, str]] = {
    **{name: name for name in ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp")},
    "3gp": "three_gp",
}
"""File name extension → Converse's name of the format"""
