"""Tools, the choice among them, and the tool that stands in for structured output (translation chapter §7.4).

Converse has no "none" and no switch for parallel calls; what stands in for them is said where it is done.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects.converse import request as converse
from filters.dialects.openai_chat import request as openai
from filters.dialects.openai_chat.request import JsonSchema
from filters.mappings import json_schema
from filters.mappings.openai_chat_to_converse import parts
from filters.mappings.openai_chat_to_converse.refusals import malformed, unprocessable
from filters.quirks.bedrock import Family

JSON_TOOL_DESCRIPTION: Final = "Give the final answer with this tool, as its input."

_NOT_IN_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME: Final = 64


class Tools(Struct, frozen=True):
    """What the request says about tools."""

    config: converse.ToolConfig | None = None
    choice_field: dict[str, object] | None = None
    """Anthropic's own `tool_choice`, for `additionalModelRequestFields`"""
    json_tool: str = ""
    """name of the tool whose input is the answer's text"""

    @property
    def forced(self) -> bool:
        """The model must call a tool."""
        if self.choice_field is not None:
            return self.choice_field["type"] in ("any", "tool")
        choice = self.config.tool_choice if self.config else None
        return choice is not None and choice.auto is None


class _Choice(Struct, frozen=True):
    """`kind`: auto, any, tool (then with `name`), none; empty when the client did not say."""

    kind: str = ""
    name: str = ""


class _Named(Struct, frozen=True):
    name: str = ""


class _Allowed(Struct, frozen=True):
    mode: str = "auto"
    tools: list[openai.Tool] = []


class _ChoiceObject(Struct, frozen=True):
    type: str = ""
    function: _Named | None = None
    allowed_tools: _Allowed | None = None


_read_object = jsonlib.decoder(dict[str, Raw])
_read_choice = jsonlib.decoder(_ChoiceObject)
_read_text = jsonlib.decoder(str)


def convert(
    request: openai.ChatRequest,
    family: Family,
    *,
    called: Iterable[str],
    strict: bool,
    answer_schema: JsonSchema | None,
    dropped: dict[str, None],
) -> Tools:
    """All that the request says about tools.

    `called`: functions that the conversation's earlier turns called. `strict`: the model takes `toolSpec.strict`.
    `answer_schema`: the answer's schema, for models that know no structured output: it becomes a tool that the model
    must call. Raises MalformedRequest, Unprocessable.
    """
    functions = _functions(request.tools or ())
    choice, functions = _choose(request.tool_choice, functions, family, dropped)
    if not functions:
        choice = _Choice()
        if request.parallel_tool_calls is not None:
            dropped["parallel_tool_calls"] = None
    if choice.kind == "none" and not called:
        functions, choice = [], _Choice()
    tools: list[converse.Tool] = []
    for param, function in functions:
        tools.append(converse.Tool(_spec(function, param, strict=strict, dropped=dropped)))
        point = parts.cache_point(function.cache_control)
        if point is not None:
            tools.append(converse.Tool(cache_point=point))
    names = {function.name for _, function in functions}
    # Converse refuses a conversation with tool blocks when no tools are declared, OpenAI does not.
    tools += [_undeclared(name) for name in called] if not tools else []
    json_tool = ""
    if answer_schema is not None and choice.kind not in ("any", "tool"):
        json_tool = _json_tool_name(answer_schema, names)
        tools.append(_json_tool(answer_schema, json_tool))
        free = bool(functions) and choice.kind != "none"
        choice = _Choice("any") if free else _Choice("tool", json_tool)
    if not tools:
        return Tools()
    if request.parallel_tool_calls is False and functions and choice.kind != "none":
        if family.serial_tools:
            return Tools(converse.ToolConfig(tools), _serial(choice), json_tool)
        dropped["parallel_tool_calls"] = None
    return Tools(converse.ToolConfig(tools, _tool_choice(choice)), None, json_tool)


def _functions(tools: Iterable[openai.Tool]) -> list[tuple[str, openai.Function]]:
    """Every function with its path in the request."""
    found = []
    for index, tool in enumerate(tools):
        if tool.type != "function":
            raise unprocessable(f"unsupported tool type: {tool.type}", f"tools[{index}].type")
        if tool.function is None:
            raise unprocessable(
                "tool of type 'function' is missing function definition",
                f"tools[{index}].function",
                code="missing_field",
            )
        found.append((f"tools[{index}].function", tool.function))
    return found


def _spec(function: openai.Function, param: str, *, strict: bool, dropped: dict[str, None]) -> converse.ToolSpec:
    if not function.name:
        raise unprocessable("function definition is missing 'name'", f"{param}.name", code="missing_field")
    schema = _schema(function.parameters, f"{param}.parameters")
    closed = json_schema.closed(schema) if function.strict and strict else None
    if closed is not None:
        schema = closed.schema
        dropped.update((f"tools[].function.parameters.{keyword}", None) for keyword in closed.loosened)
    elif function.strict:
        dropped["tools[].function.strict"] = None
    return converse.ToolSpec(
        name=function.name,
        input_schema=converse.InputSchema(schema),
        description=function.description or None,
        strict=None if closed is None else True,
    )


def _schema(parameters: Raw, param: str) -> Raw:
    """The client's schema, byte for byte where Converse takes it as it is."""
    schema = json_schema.object_schema(parameters)
    if schema is None:
        raise unprocessable("parameters must be a JSON schema object", param, code="invalid_schema")
    return schema


def _undeclared(name: str) -> converse.Tool:
    return converse.Tool(converse.ToolSpec(name, converse.InputSchema(json_schema.ANY_OBJECT)))


def _json_tool_name(schema: JsonSchema, taken: set[str]) -> str:
    name = _NOT_IN_NAME.sub("_", schema.name)[: _LONGEST_NAME - 4] or "json_answer"
    while name in taken:
        name += "_"
    return name


def _json_tool(schema: JsonSchema, name: str) -> converse.Tool:
    description = f"{schema.description} {JSON_TOOL_DESCRIPTION}" if schema.description else JSON_TOOL_DESCRIPTION
    input_schema = converse.InputSchema(_schema(schema.schema_, "response_format.json_schema.schema"))
    return converse.Tool(converse.ToolSpec(name, input_schema, description))


def _choose(
    raw: Raw | None, functions: list[tuple[str, openai.Function]], family: Family, dropped: dict[str, None]
) -> tuple[_Choice, list[tuple[str, openai.Function]]]:
    """The choice, and the functions that it leaves (`allowed_tools` limits them)."""
    if raw is None or jsonlib.is_null(raw):
        return _Choice(), functions
    if not functions:
        if bytes(raw) not in (b'"auto"', b'"none"'):
            dropped["tool_choice"] = None
        return _Choice(), functions
    if memoryview(raw)[0] == ord('"'):
        return _choose_word(_read_text(raw), functions, family, dropped), functions
    try:
        read = _read_choice(raw)
    except JsonError:
        raise malformed(
            "tool choice must be either string or ChatCompletionNamedToolChoice", "tool_choice", code="invalid_type"
        ) from None
    if read.type in _WORDS:  # no documented form; Cursor and other clients of Anthropic's API write it
        return _Choice(_WORDS[read.type]), functions
    if read.type == "allowed_tools" and read.allowed_tools is not None:
        mode = read.allowed_tools.mode
        if mode not in ("auto", "required"):
            raise unprocessable(f"unsupported tool_choice mode: {mode}", "tool_choice.allowed_tools.mode")
        names = {tool.function.name for tool in read.allowed_tools.tools if tool.function is not None}
        return _Choice(_WORDS[mode]), [(param, function) for param, function in functions if function.name in names]
    if read.function is not None and read.function.name:
        return _Choice("tool", read.function.name), functions
    if read.type == "function":
        raise unprocessable("tool_choice names no function", "tool_choice.function.name", code="missing_field")
    raise unprocessable(f"unsupported tool_choice type: {read.type}", "tool_choice.type")


_WORDS: Final = {"auto": "auto", "required": "any", "any": "any", "none": "none"}


def _choose_word(
    word: str, functions: list[tuple[str, openai.Function]], family: Family, dropped: dict[str, None]
) -> _Choice:
    if word in _WORDS:
        return _Choice(_WORDS[word])
    if word not in {function.name for _, function in functions}:
        raise unprocessable(f"unsupported tool_choice value: {word}", "tool_choice")
    if family.named_choice:
        return _Choice("tool", word)
    dropped["tool_choice"] = None
    return _Choice()


def _tool_choice(choice: _Choice) -> converse.ToolChoice | None:
    match choice.kind:
        case "auto":
            return converse.ToolChoice(auto={})
        case "any":
            return converse.ToolChoice(any={})
        case "tool":
            return converse.ToolChoice(tool=converse.ToolName(choice.name))
        case _:  # not said, or `none` with a history of tool calls: the model may still call
            return None


def _serial(choice: _Choice) -> dict[str, object]:
    """Anthropic's own form: Converse's has no place for "one call at a time", and the two would contradict."""
    field: dict[str, object] = {"type": choice.kind or "auto"}
    if choice.name:
        field["name"] = choice.name
    field["disable_parallel_tool_use"] = True
    return field
