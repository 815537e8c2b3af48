"""The OpenAI chat completion request, as far as a translating provider reads it.

Passed-through requests never come here: they are validated by their provider. Every struct has all members optional
and ignores the ones it does not know; `unread_members` says which those were, so that a mapping can report them. Unions
stay `Raw` until a mapping asks for the reading that fits (`text_or_parts`, …). Source: OpenAI API reference, "Create
chat completion"; gateway extensions (`thinking`, `cache_control`, `thinking_blocks`) as in the translation chapter §2.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.errors import MalformedRequest

NULL: Final = Raw(b"null")
"""An absent member of any type; ask `jsonlib.is_null`. (msgspec reads `Raw | None` as null only.)"""


class CacheControl(Struct, frozen=True):
    type: str = ""
    ttl: str | None = None


class ImageUrl(Struct, frozen=True):
    url: str = ""
    detail: str | None = None


class InputAudio(Struct, frozen=True):
    data: str = ""
    format: str = ""


class MediaUrl(Struct, frozen=True):
    url: str = ""


class File(Struct, frozen=True):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Part(Struct, frozen=True, rename={"redacted_content": "redactedContent"}):
    """One content part of any role; `type` says which payload member counts."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    audio_url: MediaUrl | None = None
    video_url: MediaUrl | None = None
    file: File | None = None
    signature: str | None = None
    redacted_content: str | None = None
    cache_control: CacheControl | None = None


class FunctionCall(Struct, frozen=True):
    name: str = ""
    arguments: str = ""


class ToolCall(Struct, frozen=True):
    id: str | None = None
    type: str = "function"
    function: FunctionCall | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(Struct, frozen=True):
    """Reasoning of an earlier answer, echoed by the client (LiteLLM's convention)."""

    type: str = ""
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class Message(Struct, frozen=True):
    role: str = ""
    content: Raw | UnsetType = UNSET
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    thinking_blocks: list[ThinkingBlock] | None = None
    cache_control: CacheControl | None = None


class Function(Struct, frozen=True):
    name: str = ""
    description: str | None = None
    strict: bool | None = None
    parameters: Raw = NULL
    cache_control: CacheControl | None = None


class Tool(Struct, frozen=True):
    type: str = ""
    function: Function | None = None


class JsonSchema(Struct, frozen=True, rename={"schema_": "schema"}):
    name: str = ""
    description: str | None = None
    strict: bool | None = None
    schema_: Raw = NULL


class ResponseFormat(Struct, frozen=True):
    type: str = ""
    json_schema: JsonSchema | None = None


class Thinking(Struct, frozen=True, rename={"include_thoughts": "includeThoughts"}):
    type: str = ""
    budget_tokens: int | None = None
    include_thoughts: bool | None = None
    display: str | None = None


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class ChatRequest(Struct, frozen=True):
    """Members that some provider can map. Numbers stay `Raw` where only their text is passed on (no float rounding)."""

    messages: list[Message] = []
    model: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: Raw = NULL
    top_p: Raw = NULL
    top_k: Raw = NULL
    n: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: Raw = NULL
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    thinking: Thinking | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: Raw = NULL
    presence_penalty: Raw = NULL
    frequency_penalty: Raw = NULL
    seed: Raw = NULL
    web_search_options: Raw = NULL


_read = jsonlib.decoder(ChatRequest)
_read_messages = jsonlib.decoder(list[dict[str, Raw]])
_read_parts = jsonlib.decoder(list[Part])
_read_part = jsonlib.decoder(Part)
_read_text = jsonlib.decoder(str)

MESSAGE_MEMBERS = frozenset(Message.__struct_encode_fields__)
REQUEST_MEMBERS = frozenset(ChatRequest.__struct_encode_fields__)


def read(body: bytes) -> ChatRequest:
    """The request. Raises MalformedRequest (code `invalid_type`) when a member has the wrong JSON type."""
    try:
        return _read(body)
    except JsonError as exc:
        raise MalformedRequest(
            f"malformed request: failed to parse JSON for /v1/chat/completions: {exc}", code="invalid_type"
        ) from exc


def unread_members(members: Mapping[str, Raw]) -> Iterable[str]:
    """Names of members that hold something and that no struct here reads: `frequency`, `messages[1].annotations`, …

    Null, `[]`, `{}` and `""` hold nothing (SDKs echo them). `members` is `jsonlib.members(body)`.
    """
    for name, raw in members.items():
        if name not in REQUEST_MEMBERS and not _empty(raw):
            yield name
    if "messages" in members:
        for index, message in enumerate(_read_messages(members["messages"])):
            if not message.keys() <= MESSAGE_MEMBERS:
                for name, raw in message.items():
                    if name not in MESSAGE_MEMBERS and not _empty(raw):
                        yield f"messages[{index}].{name}"


def _empty(raw: Raw) -> bool:
    return bytes(raw).replace(b" ", b"") in (b"null", b"[]", b"{}", b'""')


def text_or_parts(content: Raw, param: str) -> str | list[Part]:
    """`content` as the string or the list of parts that it is; one bare part object counts as a list of one.

    Null reads as the empty string. `param` names the member in errors. Raises MalformedRequest.
    """
    first = bytes(content)[:1]
    try:
        match first:
            case b'"':
                return _read_text(content)
            case b"[":
                return _read_parts(content)
            case b"{":
                return [_read_part(content)]
            case b"n":
                return ""
    except JsonError as exc:
        raise MalformedRequest(
            f"malformed request: failed to parse JSON for /v1/chat/completions: {param}: {exc}",
            code="invalid_type",
            param=param,
        ) from exc
    raise MalformedRequest(
        "malformed request: failed to parse JSON for /v1/chat/completions: "
        f"{param} must be a string or an array of content parts",
        code="invalid_type",
        param=param,
    )
