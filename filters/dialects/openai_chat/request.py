"""The OpenAI chat completion request, as far as a translating provider reads it.

Passed-through requests never come here: they are validated by their provider. Every struct has all members optional
and ignores the ones it does not know; `unread_members` says which those were, so that a mapping can report them. Unions
stay `Raw` until a mapping asks for the reading that fits (`text_or_parts`, …). Source: OpenAI API reference, "Create
chat completion"; gateway extensions (`thinking`, `cache_control`, `thinking_blocks`) as in the translation chapter §2.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import GenericAlias
from typing import Final, cast, get_args

from msgspec import UNSET, Struct, UnsetType, defstruct, structs

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
_read_parts = jsonlib.decoder(list[Part])
_read_part = jsonlib.decoder(Part)
_read_text = jsonlib.decoder(str)


def read(body: bytes) -> ChatRequest:
    """The request. Raises MalformedRequest (code `invalid_type`) when a member has the wrong JSON type."""
    try:
        return _read(body)
    except JsonError as exc:
        raise MalformedRequest(
            f"malformed request: failed to parse JSON for /v1/chat/completions: {exc}",
            code="invalid_type",
            param=exc.place.removeprefix(".") or None,
        ) from exc


def unread_members(members: Mapping[str, Raw]) -> Iterable[str]:
    """Names of members, at any depth, that hold something and that no struct here reads.

    `frequency`, `messages[1].annotations`, `messages[1].content[].video`, `response_format.grammar`, … Null, `[]`, `{}`
    and `""` hold nothing (SDKs echo them). `members` is `jsonlib.members(body)` or some of it. What cannot be read as
    its struct is none of this function's business: `read` refuses it.
    """
    for name, raw in members.items():
        if name not in _SHAPES[ChatRequest]:
            if not _empty(raw):
                yield name
        elif name == "messages":
            yield from _unread_of_messages(raw)
        elif (kind := _SHAPES[ChatRequest][name]) is not None:
            yield from _unread(raw, kind, name, "[]")


def _unread_of_messages(raw: Raw) -> Iterable[str]:
    """One strict reading is as cheap as it gets, and says nearly always that there is nothing to look for."""
    try:
        _read_known_messages(raw)
    except JsonError:
        yield from _unread(raw, Message, "messages", None)


def _unread(raw: Raw, kind: type[Struct], where: str, index: str | None) -> Iterable[str]:
    """`index` stands for the position in lists; None: the position itself."""
    try:
        match bytes(memoryview(raw)[:1]):
            case b"[":
                for position, element in enumerate(_read_list(raw)):
                    yield from _unread(element, kind, f"{where}[{position}]" if index is None else where + index, "[]")
            case b"{":
                yield from _unread_of_object(_read_object(raw), kind, where)
    except JsonError:
        return


def _unread_of_object(found: Mapping[str, Raw], kind: type[Struct], where: str) -> Iterable[str]:
    if kind is Tool and "type" in found and bytes(found["type"]) != b'"function"':
        return  # tools of other types have members of their own, and are read or refused as a whole
    for name, raw in found.items():
        if name in _SHAPES[kind]:
            if (inner := _SHAPES[kind][name]) is not None:
                yield from _unread(raw, inner, f"{where}.{name}", "[]")
        elif not _empty(raw) and not (kind in _JOINED and name == "index"):  # left over from joining stream pieces
            yield f"{where}.{name}"


_JOINED: Final = (ToolCall, ThinkingBlock)


def _empty(raw: Raw) -> bool:
    return len(memoryview(raw)) < 16 and b"".join(bytes(raw).split()) in (b"null", b"[]", b"{}", b'""')


def _inner(annotation: object) -> type[Struct] | None:
    """The struct in `X`, `X | None`, `list[X]`, `list[X] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    return next((kind for part in get_args(annotation) if (kind := _inner(part)) is not None), None)


def _shape(kind: type[Struct]) -> dict[str, type[Struct] | None]:
    """Members by their name on the wire, each with the struct that it holds."""
    inner = {field.encode_name: _inner(field.type) for field in structs.fields(kind)}
    return inner | {"content": Part} if kind is Message else inner


def _shapes(kind: type[Struct]) -> Iterator[tuple[type[Struct], dict[str, type[Struct] | None]]]:
    shape = _shape(kind)
    yield kind, shape
    for inner in filter(None, shape.values()):
        yield from _shapes(inner)


def _strict(kind: type[Struct]) -> type[Struct]:
    """`kind`, refusing members that it does not know, at any depth. Values are read as little as possible."""
    fields: list[tuple[str, object, object]] = []
    for field in structs.fields(kind):
        inner = _shape(kind)[field.encode_name]
        fields.append((field.name, Raw if inner is None else _text_or(_strict(inner)), None))
    names = {field.name: field.encode_name for field in structs.fields(kind)}
    return defstruct(kind.__name__, fields, frozen=True, forbid_unknown_fields=True, rename=names)


def _text_or(kind: type[Struct]) -> object:
    return str | None | kind | _list_of(kind)


def _list_of(kind: type[Struct]) -> type[list[Struct]]:
    return cast("type[list[Struct]]", GenericAlias(list, (kind,)))


_SHAPES = dict(_shapes(ChatRequest))
_read_known_messages = jsonlib.decoder(_list_of(_strict(Message)))
_read_list = jsonlib.decoder(list[Raw])
_read_object = jsonlib.decoder(dict[str, Raw])


def text_or_parts(content: Raw, param: str) -> str | list[Part]:
    """`content` as the string or the list of parts that it is; one bare part object counts as a list of one.

    Null reads as the empty string. `param` names the member in errors. Raises MalformedRequest.
    """
    first = bytes(memoryview(content)[:1])
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
            param=f"{param}{exc.place}",
        ) from exc
    raise MalformedRequest(
        "malformed request: failed to parse JSON for /v1/chat/completions: "
        f"{param} must be a string or an array of content parts",
        code="invalid_type",
        param=param,
    )
