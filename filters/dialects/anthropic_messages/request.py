"""The request body of `POST /v1/messages`, as far as a mapping builds it.

Platforms differ in the frame only (`model`, `stream`, `anthropic_version`), which they add themselves. Members with a
default are left out when they hold it. `Raw` members go out as the client wrote them: order of members, big integers
and number formats survive. `gc=False`: values without cycles, of which a long conversation makes very many. Source: https://platform.claude.com/docs/en/api/messages
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from filters.contract.jsonlib import Raw


class CacheControl(Struct, frozen=True, gc=False, omit_defaults=True, tag="ephemeral"):
    ttl: str | None = None


class Base64Source(Struct, frozen=True, gc=False, tag="base64"):
    media_type: str
    data: str


class UrlSource(Struct, frozen=True, gc=False, tag="url"):
    url: str


class TextSource(Struct, frozen=True, gc=False, tag="text"):
    media_type: str
    data: str


class FileSource(Struct, frozen=True, gc=False, tag="file"):
    file_id: str


class TextBlock(Struct, frozen=True, gc=False, omit_defaults=True, tag="text"):
    text: str
    cache_control: CacheControl | None = None


class ImageBlock(Struct, frozen=True, gc=False, omit_defaults=True, tag="image"):
    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class DocumentBlock(Struct, frozen=True, gc=False, omit_defaults=True, tag="document"):
    source: Base64Source | UrlSource | TextSource | FileSource
    title: str | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, frozen=True, gc=False, tag="thinking"):
    thinking: str
    signature: str


class RedactedThinkingBlock(Struct, frozen=True, gc=False, tag="redacted_thinking"):
    data: str


class ToolUseBlock(Struct, frozen=True, gc=False, omit_defaults=True, tag="tool_use"):
    id: str
    name: str
    input: Raw
    cache_control: CacheControl | None = None


class ToolResultBlock(Struct, frozen=True, gc=False, omit_defaults=True, tag="tool_result"):
    tool_use_id: str
    is_error: bool
    content: list[TextBlock | ImageBlock | DocumentBlock] | UnsetType = UNSET
    cache_control: CacheControl | None = None


Block = TextBlock | ImageBlock | DocumentBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock


class Message(Struct, frozen=True, gc=False):
    role: Literal["user", "assistant"]
    content: list[Block]


class Tool(Struct, frozen=True, gc=False, omit_defaults=True):
    """A function of the client's. The members from `defer_loading` on are Anthropic's own, passed on as they came."""

    name: str
    description: str
    """always sent, though it may be empty"""
    input_schema: Raw
    strict: Literal[True] | None = None
    cache_control: CacheControl | None = None
    defer_loading: Raw | None = None
    eager_input_streaming: Raw | None = None
    allowed_callers: Raw | None = None
    input_examples: Raw | None = None


class ToolChoice(Struct, frozen=True, gc=False, omit_defaults=True):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Struct, frozen=True, gc=False, omit_defaults=True):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None
    display: str | None = None


class OutputFormat(Struct, frozen=True, gc=False):
    type: Literal["json_schema"]
    schema: Raw


class OutputConfig(Struct, frozen=True, gc=False, omit_defaults=True):
    effort: str | None = None
    format: OutputFormat | None = None


class Metadata(Struct, frozen=True, gc=False):
    user_id: str


class Body(Struct, frozen=True, gc=False, omit_defaults=True):
    """Everything but the platform's frame."""

    max_tokens: int
    messages: list[Message]
    system: list[TextBlock] | None = None
    tools: list[Tool | Raw] | None = None
    tool_choice: ToolChoice | None = None
    temperature: Raw | None = None
    top_p: Raw | None = None
    top_k: Raw | None = None
    stop_sequences: list[str] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
