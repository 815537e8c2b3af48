"""The body of `POST /model/{id}/converse[-stream]`, as far as a mapping builds it.

Members with a default are left out when they hold it. `Raw` members go out as the client wrote them: order of members,
big integers and number formats survive. A content block has exactly one member set (a union, in AWS's words).
Source: AWS API reference, Converse; botocore's service model validates every body in the tests.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from filters.contract.jsonlib import Raw


class CachePoint(Struct, frozen=True, omit_defaults=True):
    type: Literal["default"]
    ttl: str | None = None


class S3Location(Struct, frozen=True):
    uri: str


class Source(Struct, frozen=True, omit_defaults=True, rename={"s3_location": "s3Location"}):
    """Where the bytes of a picture, a document, a sound or a film are: base64 text, or an object in S3."""

    bytes: str | UnsetType = UNSET
    s3_location: S3Location | UnsetType = UNSET


class Media(Struct, frozen=True):
    """A picture, a sound or a film."""

    format: str
    source: Source


class Document(Struct, frozen=True):
    format: str
    name: str
    source: Source


class ReasoningText(Struct, frozen=True, omit_defaults=True):
    text: str
    signature: str | None = None


class Reasoning(Struct, frozen=True, omit_defaults=True, rename="camel"):
    reasoning_text: ReasoningText | UnsetType = UNSET
    redacted_content: str | UnsetType = UNSET


class ToolUse(Struct, frozen=True, rename="camel"):
    name: str
    tool_use_id: str
    input: Raw


class ToolResultContent(Struct, frozen=True, omit_defaults=True):
    text: str | Raw | UnsetType = UNSET
    json: Raw | UnsetType = UNSET
    image: Media | UnsetType = UNSET
    document: Document | UnsetType = UNSET
    video: Media | UnsetType = UNSET


class ToolResult(Struct, frozen=True, omit_defaults=True, rename="camel"):
    content: list[ToolResultContent]
    tool_use_id: str
    status: str | None = None


class Block(Struct, frozen=True, omit_defaults=True, rename="camel"):
    text: str | Raw | UnsetType = UNSET
    image: Media | UnsetType = UNSET
    document: Document | UnsetType = UNSET
    video: Media | UnsetType = UNSET
    audio: Media | UnsetType = UNSET
    tool_use: ToolUse | UnsetType = UNSET
    tool_result: ToolResult | UnsetType = UNSET
    reasoning_content: Reasoning | UnsetType = UNSET
    cache_point: CachePoint | UnsetType = UNSET


Role = Literal["user", "assistant"]


class Message(Struct, frozen=True):
    role: Role
    content: list[Block]


class InferenceConfig(Struct, frozen=True, omit_defaults=True, rename="camel"):
    max_tokens: int | None = None
    temperature: Raw | None = None
    top_p: Raw | None = None
    stop_sequences: list[str] | None = None


class InputSchema(Struct, frozen=True):
    json: Raw


class ToolSpec(Struct, frozen=True, omit_defaults=True, rename="camel"):
    name: str
    input_schema: InputSchema
    description: str | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A tool, or the mark that everything up to here is to be cached."""

    tool_spec: ToolSpec | UnsetType = UNSET
    cache_point: CachePoint | UnsetType = UNSET


class ToolName(Struct, frozen=True):
    name: str


class ToolChoice(Struct, frozen=True, omit_defaults=True):
    auto: dict[str, str] | None = None
    any: dict[str, str] | None = None
    tool: ToolName | None = None


class ToolConfig(Struct, frozen=True, omit_defaults=True, rename="camel"):
    tools: list[Tool]
    tool_choice: ToolChoice | None = None


class JsonSchemaDefinition(Struct, frozen=True, omit_defaults=True):
    schema: str
    name: str | None = None
    description: str | None = None


class Structure(Struct, frozen=True, rename="camel"):
    json_schema: JsonSchemaDefinition


class TextFormat(Struct, frozen=True):
    type: Literal["json_schema"]
    structure: Structure


class OutputConfig(Struct, frozen=True, rename="camel"):
    text_format: TextFormat


class Typed(Struct, frozen=True):
    """`{"type": …}`: service tier."""

    type: str


class Body(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Everything: model and streaming are in the path."""

    inference_config: InferenceConfig
    messages: list[Message]
    system: list[Block] | None = None
    tool_config: ToolConfig | None = None
    output_config: OutputConfig | None = None
    service_tier: Typed | None = None
    guardrail_config: Raw | None = None
    request_metadata: dict[str, str] | None = None
    performance_config: Raw | None = None
    prompt_variables: Raw | None = None
    additional_model_response_field_paths: Raw | None = None
    additional_model_request_fields: dict[str, object] | None = None
