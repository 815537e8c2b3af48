"""Tools, the choice among them, and the tool that stands in for structured output (translation chapter §8.4)."""

import re
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects.anthropic_messages import request as anthropic
from filters.dialects.openai_chat.request import NULL, CacheControl, JsonSchema
from filters.mappings import json_schema
from filters.mappings.openai_chat_to_anthropic import parts
from filters.mappings.openai_chat_to_anthropic.notes import Notes
from filters.mappings.openai_chat_to_anthropic.refusals import malformed, unprocessable
from filters.quirks import claude

_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
JSON_TOOL_DESCRIPTION: Final = "Give the final answer with this tool, as its input."


class Function(Struct, frozen=True):
    """`tools[].function`. The members from `cache_control` on are Anthropic's; clients send them here or beside it."""

    name: str = ""
    description: str | None = None
    strict: bool | None = None
    parameters: Raw = NULL
    cache_control: CacheControl | None = None
    defer_loading: Raw = NULL
    eager_input_streaming: Raw = NULL
    allowed_callers: Raw = NULL
    input_examples: Raw = NULL


class Tool(Struct, frozen=True):
    type: str = ""
    function: Function | None = None
    cache_control: CacheControl | None = None
    defer_loading: Raw = NULL
    eager_input_streaming: Raw = NULL
    allowed_callers: Raw = NULL
    input_examples: Raw = NULL


OWN_MEMBERS: Final = frozenset(
    f"tools[].{path}{name}"
    for path in ("", "function.")
    for name in ("cache_control", "defer_loading", "eager_input_streaming", "allowed_callers", "input_examples")
)
"""What is read here beyond OpenAI's own members of tools."""


class _Named(Struct, frozen=True):
    name: str = ""


class _Allowed(Struct, frozen=True):
    mode: str = "auto"
    tools: list[Tool] = []


class _Choice(Struct, frozen=True):
    type: str = ""
    function: _Named | None = None
    allowed_tools: _Allowed | None = None


class Tools(Struct, frozen=True):
    """What the request says about tools. `json_tool`: name of the tool whose input is the answer's text."""

    tools: list[anthropic.Tool | Raw]
    choice: anthropic.ToolChoice | None = None
    json_tool: str = ""

    @property
    def forced(self) -> bool:
        return self.choice is not None and self.choice.type in ("any", "tool")


_read_tools = jsonlib.decoder(list[Tool])
_read_raws = jsonlib.decoder(list[Raw])
_read_object = jsonlib.decoder(dict[str, Raw])
_read_choice = jsonlib.decoder(_Choice)
_read_text = jsonlib.decoder(str)


def convert(
    tools: Raw | None,
    choice: Raw,
    *,
    parallel: bool | None,
    answer_schema: JsonSchema | None,
    web_search: anthropic.Tool | Raw | None,
    notes: Notes,
) -> Tools:
    """All that the request says about tools; null members are absent ones.

    `answer_schema`: the answer's schema, for models that know no structured output: it becomes a tool that the model
    must call. Raises MalformedRequest, Unprocessable.
    """
    converted: list[anthropic.Tool | Raw] = []
    names: list[str] = []
    if tools is not None and not jsonlib.is_null(tools):
        _convert_all(tools, converted, names, notes)
    if web_search is not None:
        converted.append(web_search)
        names.append("web_search")
    chosen: anthropic.ToolChoice | None = None
    if converted:
        allowed: frozenset[str] | None
        chosen, allowed = _choose(choice, parallel)
        if allowed is not None:
            pairs = [(tool, name) for tool, name in zip(converted, names, strict=True) if name in allowed]
            converted = [tool for tool, _ in pairs]
    else:
        if not jsonlib.is_null(choice):
            notes.drop("tool_choice")
        if parallel is not None:
            notes.drop("parallel_tool_calls")
    if answer_schema is not None and not (chosen is not None and chosen.type in ("any", "tool")):
        return _with_json_tool(answer_schema, converted, names, chosen)
    return Tools(converted, chosen if converted else None)


def _convert_all(raw: Raw, converted: list[anthropic.Tool | Raw], names: list[str], notes: Notes) -> None:
    try:
        tools = _read_tools(raw)
    except JsonError as exc:
        raise malformed(f"tools: {exc}", "tools", code="invalid_type") from exc
    originals: list[Raw] = []
    for index, tool in enumerate(tools):
        param = f"tools[{index}]"
        if tool.type.startswith(claude.SERVER_TOOLS):
            originals = originals or _read_raws(raw)
            converted.append(originals[index])
            name = _read_object(originals[index]).get("name")
            names.append(_read_text(name) if name is not None and bytes(name)[:1] == b'"' else "")
            if tool.type in claude.SERVER_TOOL_BETAS:
                notes.need(claude.SERVER_TOOL_BETAS[tool.type])
        elif tool.type != "function":
            raise unprocessable(f"unsupported tool type: {tool.type}", f"{param}.type")
        elif tool.function is None:
            raise unprocessable(
                "tool of type 'function' is missing function definition", f"{param}.function", code="missing_field"
            )
        else:
            converted.append(_function(tool, tool.function, f"{param}.function", notes))
            names.append(tool.function.name)


def _function(tool: Tool, function: Function, param: str, notes: Notes) -> anthropic.Tool:
    if not function.name:
        raise unprocessable("function definition is missing 'name'", f"{param}.name", code="missing_field")
    schema = input_schema(function.parameters, f"{param}.parameters")
    strict: Literal[True] | None = None
    if function.strict:
        if (closed := json_schema.closed(schema)) is not None:
            schema, strict = closed.schema, True
            notes.loosen("tools[].function.parameters", closed)
        else:
            notes.drop("tools[].function.strict")
    return anthropic.Tool(
        name=function.name,
        description=function.description or "",
        input_schema=schema,
        strict=strict,
        cache_control=parts.cache_control(function.cache_control) or parts.cache_control(tool.cache_control),
        defer_loading=_given(function.defer_loading, tool.defer_loading),
        eager_input_streaming=_given(function.eager_input_streaming, tool.eager_input_streaming),
        allowed_callers=_given(function.allowed_callers, tool.allowed_callers),
        input_examples=_given(function.input_examples, tool.input_examples),
    )


def _given(*raws: Raw) -> Raw | None:
    return next((raw for raw in raws if not jsonlib.is_null(raw)), None)


def input_schema(parameters: Raw, param: str) -> Raw:
    """The client's schema, byte for byte when Anthropic takes it as it is (C12, C13)."""
    schema = json_schema.object_schema(parameters)
    if schema is None:
        raise unprocessable("parameters must be a JSON schema object", param, code="invalid_schema")
    return schema


def _starts(raw: Raw | None, first: bytes) -> bool:
    return raw is not None and bytes(raw)[:1] == first


def _choose(choice: Raw, parallel: bool | None) -> tuple[anthropic.ToolChoice | None, frozenset[str] | None]:
    """The choice, and the names that it is limited to (None: all)."""
    disable = parallel is False
    if jsonlib.is_null(choice):
        return (anthropic.ToolChoice("auto", None, True) if disable else None), None
    if _starts(choice, b'"'):
        word = _read_text(choice)
        if word in _CHOICES:
            return _choice(_CHOICES[word], disable), None
        if word == "function":  # no documented value; the peer's reading of it, kept
            return anthropic.ToolChoice("tool", "function", disable), None
        raise unprocessable(f"unsupported tool_choice value: {word}", "tool_choice")
    try:
        read = _read_choice(choice)
    except JsonError:
        raise malformed(
            "tool choice must be either string or ChatCompletionNamedToolChoice", "tool_choice", code="invalid_type"
        ) from None
    if read.type in _CHOICES:  # no documented form; Cursor and other clients of Anthropic's own API write it
        return _choice(_CHOICES[read.type], disable), None
    if read.type == "function":
        if read.function is None or not read.function.name:
            raise unprocessable("tool_choice names no function", "tool_choice.function.name", code="missing_field")
        return anthropic.ToolChoice("tool", read.function.name, disable), None
    if read.type == "allowed_tools" and read.allowed_tools is not None:
        allowed = read.allowed_tools
        if allowed.mode not in ("auto", "required"):
            raise unprocessable(f"unsupported tool_choice mode: {allowed.mode}", "tool_choice.allowed_tools.mode")
        names = frozenset(tool.function.name for tool in allowed.tools if tool.function is not None)
        return _choice(_CHOICES[allowed.mode], disable), names
    raise unprocessable(f"unsupported tool_choice type: {read.type}", "tool_choice.type")


_CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "required": "any", "any": "any", "none": "none"}


def _choice(kind: str, disable: bool) -> anthropic.ToolChoice:
    match kind:
        case "none":
            return anthropic.ToolChoice("none")
        case "any":
            return anthropic.ToolChoice("any", None, disable)
        case _:
            return anthropic.ToolChoice("auto", None, disable)


def _with_json_tool(
    schema: JsonSchema,
    converted: list[anthropic.Tool | Raw],
    names: list[str],
    chosen: anthropic.ToolChoice | None,
) -> Tools:
    """With tools of the client's own the model must call one of them or answer; without, it must answer."""
    name = _NAME.sub("_", schema.name)[:60] or "json_answer"
    while name in names:
        name += "_"
    tool = anthropic.Tool(
        name=name,
        description=f"{schema.description} {JSON_TOOL_DESCRIPTION}" if schema.description else JSON_TOOL_DESCRIPTION,
        input_schema=input_schema(schema.schema_, "response_format.json_schema.schema"),
    )
    free = bool(converted) and not (chosen is not None and chosen.type == "none")
    choice = anthropic.ToolChoice("any" if free else "tool", None if free else name, True)
    return Tools([*converted, tool], choice, name)
