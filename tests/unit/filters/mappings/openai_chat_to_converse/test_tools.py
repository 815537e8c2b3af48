"""Tools, the choice among them, and the stand-in for structured output."""

from typing import Any

import pytest

from filters.contract import jsonlib
from filters.dialects.events import End, Event, Finish, TextDelta, ToolCallDelta, ToolCallStart
from filters.errors import BadUpstreamAnswer, ClientError
from filters.mappings.openai_chat_to_converse import request, response
from tests.support.converse import USER, chat, translated

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "amazon.nova-pro-v1:0"
F = {"type": "function", "function": {"name": "f"}}
G = {"type": "function", "function": {"name": "g"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "my answer!", "schema": {"properties": {}}}}


def config(model: str = CLAUDE, **members: Any) -> tuple[Any, tuple[str, ...]]:
    body, dropped = translated(chat(model, **members))
    return body.get("toolConfig"), dropped


@pytest.mark.parametrize(
    ("model", "choice", "expected", "dropped"),
    [
        (CLAUDE, None, None, ()),
        (CLAUDE, "auto", {"auto": {}}, ()),
        (NOVA, "required", {"any": {}}, ()),
        (NOVA, "any", {"any": {}}, ()),
        (CLAUDE, "g", {"tool": {"name": "g"}}, ()),
        (NOVA, "g", None, ("tool_choice",)),
        (NOVA, {"type": "function", "function": {"name": "g"}}, {"tool": {"name": "g"}}, ()),
        (NOVA, {"type": "tool", "function": {"name": "g"}}, {"tool": {"name": "g"}}, ()),
    ],
)
def test_tool_choice_by_the_table(model: str, choice: object, expected: object, dropped: tuple[str, ...]) -> None:
    made, left_out = config(model, tools=[F, G], tool_choice=choice)
    assert (made.get("toolChoice"), left_out) == (expected, dropped)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"tools": [F], "tool_choice": "h"}, "tool_choice"),
        ({"tools": [F], "tool_choice": 5}, "tool_choice"),
        ({"tools": [F], "tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ({"tools": [F], "tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "tool_choice.type"),
        (
            {"tools": [F], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x"}}},
            "tool_choice.allowed_tools.mode",
        ),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tools": [F, {"type": "function"}]}, "tools[1].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": [1]}}]},
            "tools[0].function.parameters",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(members: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientError) as caught:
        request.translate(chat(CLAUDE, **members))
    assert caught.value.param == param


def test_a_choice_without_tools_is_reported() -> None:
    assert config(tool_choice="required", parallel_tool_calls=True) == (None, ("tool_choice", "parallel_tool_calls"))


def test_no_allowed_tool_leaves_no_tools() -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    assert config(tools=[F], tool_choice=allowed) == (None, ())


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        ("f", {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
    ],
)
def test_one_call_at_a_time_is_said_in_anthropics_words_only(choice: object, field: object) -> None:
    body, _ = translated(chat(CLAUDE, tools=[F], tool_choice=choice, parallel_tool_calls=False))
    assert body["additionalModelRequestFields"]["tool_choice"] == field
    assert "toolChoice" not in body["toolConfig"]


def test_strict_is_reported_where_the_model_does_not_know_it() -> None:
    strict = {"type": "function", "function": {"name": "f", "strict": True}}
    made, dropped = config(CLAUDE, tools=[strict])
    assert (made["tools"][0]["toolSpec"]["strict"], dropped) == (True, ())
    made, dropped = config(HAIKU_3, tools=[strict])
    assert ("strict" in made["tools"][0]["toolSpec"], dropped) == (False, ("tools[].function.strict",))


@pytest.mark.parametrize(
    ("members", "choice"),
    [
        ({}, {"tool": {"name": "my_answer_"}}),
        ({"tools": [F]}, {"any": {}}),
        ({"tools": [F], "tool_choice": "none"}, {"tool": {"name": "my_answer_"}}),
    ],
)
def test_a_schema_becomes_a_tool_that_must_be_called(members: dict[str, Any], choice: object) -> None:
    made, _ = config(HAIKU_3, response_format=FORMAT, **members)
    assert made["toolChoice"] == choice
    assert made["tools"][-1]["toolSpec"] == {
        "name": "my_answer_",
        "description": "Give the final answer with this tool, as its input.",
        "inputSchema": {"json": {"type": "object", "properties": {}}},
    }


def test_the_stand_in_has_a_name_of_its_own() -> None:
    taken = {"type": "function", "function": {"name": "my_answer_"}}
    made, _ = config(HAIKU_3, response_format=FORMAT, tools=[taken])
    assert made["tools"][-1]["toolSpec"]["name"] == "my_answer__"


def test_a_forced_tool_of_the_clients_wins_over_the_schema() -> None:
    made, _ = config(HAIKU_3, response_format=FORMAT, tools=[F], tool_choice="required")
    assert len(made["tools"]) == 1


def test_the_stand_in_becomes_text_and_other_calls_are_numbered_without_it() -> None:
    converter = response.JsonToolToText("answer")
    events: list[Event] = [
        ToolCallStart(0, "a", "f"),
        ToolCallDelta(0, "1"),
        ToolCallStart(1, "b", "answer"),
        ToolCallDelta(1, "{}"),
        ToolCallStart(2, "c", "g"),
        ToolCallDelta(2, "2"),
        ToolCallDelta(0, "3"),
        Finish("tool_calls"),
        End(),
    ]
    assert list(converter.convert(events)) == [
        ToolCallStart(0, "a", "f"),
        ToolCallDelta(0, "1"),
        TextDelta("{}"),
        ToolCallStart(1, "c", "g"),
        ToolCallDelta(1, "2"),
        ToolCallDelta(0, "3"),
        Finish("tool_calls"),
        End(),
    ]


def test_a_cut_off_stand_in_keeps_its_reason() -> None:
    converter = response.JsonToolToText("answer")
    assert list(converter.convert([ToolCallStart(0, "b", "answer"), Finish("length")])) == [Finish("length")]


def test_answers_that_are_none_name_what_they_are() -> None:
    call = chat(CLAUDE, messages=USER)
    for body, found in (
        (b'{"__type":"com.amazon#AccessDeniedException"}', "AccessDeniedException"),
        (b'{"stopReason":"end_turn"}', "stop reason end_turn"),
        (b'{"output":{}}', "nothing"),
        (b"[]", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b'{"Output":5}', "nothing"),
    ):
        with pytest.raises(BadUpstreamAnswer, match=found):
            response.complete(body, call, "", "")


def test_a_call_with_null_input_has_an_object_without_members() -> None:
    block = b'{"toolUse":{"toolUseId":"a","name":"f","input":null}}'
    body = b'{"output":{"message":{"content":[' + block + b']}},"stopReason":"tool_use"}'
    made = jsonlib.decode(response.complete(body, chat(CLAUDE), "", "").body, dict[str, Any])
    assert made["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_an_answer_without_a_request_id_has_one_of_ours() -> None:
    body = b'{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn"}'
    made = jsonlib.decode(response.complete(body, chat(CLAUDE), "", "").body, dict[str, Any])
    assert made["id"] == "req-0000"
    assert made["choices"][0]["message"] == {"role": "assistant", "content": None}
