"""Every member of a chat request is mapped, passed on, reported as left out, or refused by name."""

import base64
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.contract.config import Backend, Schema
from filters.contract.headers import Headers
from filters.contract.translation import Call
from filters.errors import ClientError, MalformedRequest, Unprocessable
from filters.mappings.openai_chat_to_anthropic import request
from filters.mappings.openai_chat_to_anthropic.request import MEMBERS, Translated

OPUS = "claude-opus-4-8"
USER = {"role": "user", "content": "Hi"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MALFORMED = "malformed request: failed to parse JSON for /v1/chat/completions: "
INVALID = "invalid request body: "


def translated(body: Mapping[str, object] | bytes, *, model: str = OPUS) -> Translated:
    text = body if isinstance(body, bytes) else msgspec.json.encode({"messages": [USER], "max_tokens": 9999, **body})
    return request.translate(
        Call(
            body=text,
            members=jsonlib.members(text),
            headers=Headers([]),
            model=model,
            client_model=model,
            stream=False,
            include_usage=False,
            backend=Backend("b", "b", Schema("Anthropic")),
            created=1,
            request_id="r",
        )
    )


def body_of(body: Mapping[str, object] | bytes, *, model: str = OPUS) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(translated(body, model=model).encode({}))
    return decoded


def turns(*messages: Mapping[str, object], model: str = OPUS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body_of({"messages": messages}, model=model)["messages"]
    return found


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_the_smallest_request() -> None:
    assert translated(b'{"messages":[{"role":"user","content":"Hi"}]}').encode({"model": OPUS, "stream": True}) == (
        b'{"model":"claude-opus-4-8","stream":true,"max_tokens":32000,'
        b'"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}'
    )


# --- members

INTERESTING: dict[str, object] = {
    "logit_bias": {"1": 2},
    "metadata": {"a": "b"},
    "prediction": {"type": "content", "content": "x"},
    "audio": {"voice": "alloy", "format": "wav"},
    "functions": [{"name": "f"}],
    "guided_choice": ["a"],
    "safetySettings": [{}],
    "container": "c",
}


@pytest.mark.parametrize("name", [name for name, fate in MEMBERS.items() if fate == "dropped"])
def test_members_without_a_counterpart_are_left_out_and_named(name: str) -> None:
    seen = translated({name: INTERESTING.get(name, 1)})
    assert seen.dropped == (name,)
    assert name not in msgspec.json.decode(seen.encode({}))


@pytest.mark.parametrize("name", [name for name, fate in MEMBERS.items() if fate == "refused"])
def test_members_whose_loss_changes_the_answer_are_refused(name: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        translated({name: INTERESTING.get(name, "x")})
    assert caught.value.param == name
    assert caught.value.code == "unsupported_field"


@pytest.mark.parametrize("name", [name for name, fate in MEMBERS.items() if fate == "passed"])
def test_anthropic_s_own_members_are_passed_on_as_they_are(name: str) -> None:
    raw = b'{"messages":[{"role":"user","content":"Hi"}],"%b":{"b":12345678901234567890,  "a":1}}' % name.encode()
    assert b'"%b":{"b":12345678901234567890,  "a":1},"max_tokens"' % name.encode() in translated(raw).encode({})


@pytest.mark.parametrize("nothing", [None, False, 0, "", [], {}])
@pytest.mark.parametrize("name", ["logprobs", "audio", "functions", "container", "seed", "unheard_of"])
def test_members_that_say_nothing_are_no_trouble(name: str, nothing: object) -> None:
    seen = translated({name: nothing})
    assert (seen.dropped, seen.passed) == ((), {})


def test_unknown_members_are_reported_wherever_they_are() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "x", "sparkle": 1}], "mood": "happy"}
    seen = translated({"messages": [message, message], "x": 1, "tools": [{**FUNCTION, "colour": "red"}]})
    assert set(seen.dropped) == {"x", "messages[].mood", "messages[].content[].sparkle", "tools[].colour"}


def test_names_that_clients_make_up_are_fit_for_a_header() -> None:
    seen = translated({"a\r\nset-cookie: x": 1, "é" * 200: 1, "messages": [{**USER, "b, c": 1}]})
    assert seen.dropped == ("a??set-cookie??x", "?" * 100, "messages[].b??c")


def test_function_call_of_a_message_is_refused() -> None:
    with pytest.raises(Unprocessable) as caught:
        turns(USER, {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}})
    assert caught.value.param == "messages[1].function_call"


# --- refusals

REFUSED: list[tuple[dict[str, object], type[ClientError], str, str]] = [
    ({"messages": []}, MalformedRequest, "messages", MALFORMED),
    (
        {"messages": [{"content": "x"}]},
        MalformedRequest,
        "messages[0].role",
        MALFORMED + "chat message does not have role",
    ),
    (
        {"messages": [{"role": "function", "content": "x"}]},
        MalformedRequest,
        "messages[0].role",
        MALFORMED + "unknown ChatCompletionMessageParam type: function",
    ),
    (
        {"messages": [{"role": "user"}]},
        Unprocessable,
        "messages[0].content",
        INVALID + "message 'content' must be a str",
    ),
    (
        {"messages": [{"role": "system"}]},
        Unprocessable,
        "messages[0].content",
        INVALID + "message 'content' must be a s",
    ),
    (
        {"messages": [{"role": "system", "content": None}]},
        MalformedRequest,
        "messages[0].content",
        MALFORMED + "invalid content type (must be string or array of ChatCompletionContentPartTextParam)",
    ),
    (
        {"messages": [{"role": "developer", "content": [{"type": "image_url"}]}]},
        MalformedRequest,
        "messages[0].content[0].type",
        MALFORMED + "invalid content type",
    ),
    ({"messages": [{"role": "user", "content": 5}]}, MalformedRequest, "messages[0].content", MALFORMED),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, MalformedRequest, "messages[0].content[0].type", ""),
    (
        {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
        MalformedRequest,
        "messages[0].content[0].type",
        "",
    ),
    (
        {"messages": [{"role": "assistant", "content": [{"type": "hologram"}]}]},
        Unprocessable,
        "messages[0].content[0].type",
        "",
    ),
    ({"messages": [{"role": "tool", "content": "x"}]}, Unprocessable, "messages[0].tool_call_id", ""),
    (
        {"messages": [{"role": "tool", "content": 1, "tool_call_id": "c"}]},
        MalformedRequest,
        "messages[0].content",
        MALFORMED,
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}]},
        Unprocessable,
        "messages[0].tool_calls[0].type",
        INVALID,
    ),
    ({"n": 2}, Unprocessable, "n", INVALID),
    ({"modalities": ["text", "audio"]}, Unprocessable, "modalities", INVALID),
    ({"modalities": "text"}, MalformedRequest, "modalities", MALFORMED),
    ({"temperature": -0.1}, Unprocessable, "temperature", INVALID + "temperature -0.10 is not supported by Anthropic"),
    (
        {"temperature": 2.0},
        Unprocessable,
        "temperature",
        INVALID + "temperature 2.00 is not supported by Anthropic (must",
    ),
    ({"temperature": "1"}, MalformedRequest, "temperature", MALFORMED),
    ({"max_tokens": "5"}, MalformedRequest, "", MALFORMED),
    (
        {"thinking": {"budget_tokens": 1}},
        MalformedRequest,
        "thinking.type",
        MALFORMED + "thinking config does not have",
    ),
    ({"thinking": {"type": "x"}}, MalformedRequest, "thinking.type", MALFORMED + "invalid thinking union type: x"),
    (
        {"response_format": {}},
        MalformedRequest,
        "response_format.type",
        MALFORMED + "response format does not have type",
    ),
    ({"response_format": {"type": "xml"}}, MalformedRequest, "response_format.type", MALFORMED + "unsupported Chat"),
    ({"response_format": {"type": "json_schema"}}, Unprocessable, "response_format.json_schema.schema", INVALID),
    ({"tools": "x"}, MalformedRequest, "", MALFORMED),
    ({"tools": [{**FUNCTION, "cache_control": 1}]}, MalformedRequest, "tools", MALFORMED),
    (
        {"tools": [{"type": "function"}]},
        Unprocessable,
        "tools[0].function",
        INVALID + "tool of type 'function' is missing",
    ),
    ({"tools": [{"type": "function", "function": {}}]}, Unprocessable, "tools[0].function.name", INVALID),
    ({"tools": [{"type": "custom"}]}, Unprocessable, "tools[0].type", INVALID + "unsupported tool type: custom"),
    (
        {"tools": [FUNCTION], "tool_choice": 3},
        MalformedRequest,
        "tool_choice",
        MALFORMED + "tool choice must be either",
    ),
    ({"tools": [FUNCTION], "tool_choice": {"type": "custom"}}, Unprocessable, "tool_choice.type", INVALID),
    ({"tools": [FUNCTION], "tool_choice": {"type": "function"}}, Unprocessable, "tool_choice.function.name", INVALID),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x", "tools": []}}},
        Unprocessable,
        "tool_choice.allowed_tools.mode",
        INVALID,
    ),
    ({"web_search_options": 1}, MalformedRequest, "web_search_options", MALFORMED),
]


@pytest.mark.parametrize(("body", "kind", "param", "message"), REFUSED)
def test_what_cannot_be_served_is_refused_by_name(
    body: dict[str, object], kind: type[ClientError], param: str, message: str
) -> None:
    with pytest.raises(kind) as caught:
        translated(body)
    assert caught.value.message.startswith(message)
    if param:
        assert caught.value.param == param


def test_deep_nesting_is_served_or_malformed() -> None:
    limit = sys.getrecursionlimit()  # hypothesis raises it
    for depth in range(limit - 200, limit):
        deep = b"[" * depth + b"]" * depth
        body = b'{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f",'
        body += b'"parameters":{"required":' + deep + b"}}}]}"
        try:
            translated(body).encode({})
        except MalformedRequest:
            pass  # the door stepped over what is too deep from further inside
        except jsonlib.JsonError:
            break  # the door itself, which `translated` goes through first
    else:
        raise AssertionError("nothing was too deep")


def test_a_request_without_a_model_is_malformed() -> None:
    with pytest.raises(MalformedRequest) as caught:
        translated({}, model="")
    assert caught.value.param == "model"


# --- parts

PARTS: list[tuple[dict[str, object], str]] = [
    ({"type": "image_url"}, "image_url.url"),
    ({"type": "image_url", "image_url": {"url": ""}}, "image_url.url"),
    ({"type": "image_url", "image_url": {"url": "data:image/png"}}, "image_url.url"),
    ({"type": "image_url", "image_url": {"url": "data:image/png;base64,é"}}, "image_url.url"),
    ({"type": "file", "file": {}}, "file"),
    ({"type": "file", "file": {"file_data": "AAAA"}}, "file.file_data"),
    ({"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}}, "file.file_data"),
    ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "file.file_data"),
    ({"type": "audio_url", "audio_url": {"url": "https://x"}}, "audio_url"),
]


@pytest.mark.parametrize(("part", "param"), PARTS)
def test_parts_that_claude_cannot_take_are_refused(part: dict[str, object], param: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        turns({"role": "user", "content": [part]})
    assert caught.value.param == f"messages[0].content[0].{param}"


@pytest.mark.parametrize(
    "url",
    [
        "DATA:Image/PNG;charset=x;BASE64,-_8",
        "data:image/png;base64,+/8=",
        "data:image/png,%FB%FF",
        "data:image/png;base64,+/\n8",
    ],
)
def test_image_data_is_made_canonical(url: str) -> None:
    block = turns({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})[0]["content"][0]
    assert block["source"] == {"type": "base64", "media_type": "image/png", "data": "+/8="}


def test_a_bare_base64_pdf_is_known_by_its_name() -> None:
    part = {"type": "file", "file": {"file_data": "AAAA", "filename": "A.PDF"}}
    assert turns({"role": "user", "content": [part]})[0]["content"][0] == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
        "title": "A.PDF",
    }


def test_one_bare_part_counts_as_a_list() -> None:
    assert turns(USER, {"role": "assistant", "content": text("a")}, USER)[1]["content"] == [text("a")]


# --- turns


def test_messages_without_anything_to_say_are_left_out() -> None:
    empty: list[dict[str, object]] = [
        {"role": "user", "content": None},
        {"role": "assistant"},
        {"role": "user", "content": " \n"},
    ]
    assert turns(USER, *empty, {"role": "system", "content": ""}) == [{"role": "user", "content": [text("Hi")]}]


def test_only_system_messages_leave_no_turns() -> None:
    body = body_of({"messages": [{"role": "system", "content": "S"}]})
    assert (body["system"], body["messages"]) == ([text("S")], [])


def test_a_prefill_does_not_end_with_white_space() -> None:
    assert turns(USER, {"role": "assistant", "content": "The answer is \n"})[-1]["content"] == [text("The answer is")]


def test_a_refusal_of_an_earlier_turn_is_text() -> None:
    assert turns(USER, {"role": "assistant", "content": None, "refusal": "No."}, USER)[1]["content"] == [text("No.")]


@pytest.mark.parametrize(
    ("content", "is_error"),
    [
        ('{"error": null}', True),
        (' {"\\u0065rror": 1}', True),
        ('{"a": {"error": 1}}', False),
        ('["error"]', False),
        ('{"error": ', False),
        ([{"type": "text", "text": '{"error": 1}'}], False),
    ],
)
def test_a_result_is_an_error_when_it_is_an_object_that_says_so(content: object, is_error: bool) -> None:
    messages = turns(
        USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c", "content": content}
    )
    assert messages[-1]["content"][0]["is_error"] is is_error


@pytest.mark.parametrize("arguments", ["", " ", "null"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    call = {**CALL, "function": {"name": "f", "arguments": arguments}}
    assert turns(USER, {"role": "assistant", "tool_calls": [call]})[-1]["content"][0]["input"] == {}


def test_arguments_keep_their_text() -> None:
    arguments = '{"b": 12345678901234567890, "a": 1.0}'
    call = {**CALL, "function": {"name": "f", "arguments": arguments}}
    encoded = translated({"messages": [USER, {"role": "assistant", "tool_calls": [call]}]}).encode({})
    assert b'"input":' + arguments.encode() in encoded


def test_a_thousand_turns_are_mapped_in_order() -> None:
    messages: list[Mapping[str, object]] = []
    for number in range(1000):
        call = {**CALL, "id": f"c{number}"}
        messages += [
            USER,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": "ok"},
        ]
    mapped = turns(*messages)
    assert [turn["role"] for turn in mapped] == ["user", "assistant"] * 1000 + ["user"]
    assert mapped[-1]["content"][0]["tool_use_id"] == "c999"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=4)
    | st.sampled_from(["text", "tool", "user", "{}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "id", "file"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


FUZZED = ("messages", "tools", "tool_choice", "thinking", "response_format", "stop", "web_search_options", "n")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FUZZED, JSON)))
def test_no_body_does_worse_than_a_client_error(body: dict[str, object]) -> None:
    with contextlib.suppress(ClientError):
        translated(body).encode({})


# --- marks and tools


def test_a_mark_of_a_message_counts_where_its_content_is_a_string() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    seen = translated({"messages": [{**USER, **mark}, {"role": "assistant", "content": [text("a")], **mark}, USER]})
    messages = msgspec.json.decode(seen.encode({}))["messages"]
    assert messages[0]["content"] == [{**text("Hi"), **mark}]
    assert messages[1]["content"] == [text("a")]
    assert seen.dropped == ("messages[].cache_control",)


def test_parts_of_a_tool_message_without_text_are_left_out() -> None:
    messages = turns({"role": "tool", "tool_call_id": "c", "content": [text(""), text("x")]})
    assert messages[0]["content"][0]["content"] == [text("x")]


def test_a_service_tier_without_a_counterpart_is_reported() -> None:
    assert translated({"service_tier": "flex"}).dropped == ("service_tier",)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"type": ["object"]}, {"type": "object"}),
        ({"type": "object", "required": 1, "x": 1}, {"type": "object", "x": 1}),
        ({"type": "object", "required": ["a", 2]}, {"type": "object", "required": ["a"]}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
    ],
)
def test_only_what_is_wrong_in_a_schema_is_mended(given: dict[str, object], sent: dict[str, object]) -> None:
    tools = body_of({"tools": [{"type": "function", "function": {"name": "f", "parameters": given}}]})["tools"]
    assert tools[0]["input_schema"] == sent


def test_a_server_tool_without_a_name_is_passed_on() -> None:
    assert body_of({"tools": [{"type": "bash_20250124"}]})["tools"] == [{"type": "bash_20250124"}]


@pytest.mark.parametrize("parameters", [{}, None])
def test_a_function_without_parameters_takes_an_empty_object(parameters: object) -> None:
    tools = body_of({"tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]})["tools"]
    assert tools[0]["input_schema"] == {"type": "object", "properties": {}}


def test_anthropic_s_own_tool_members_are_passed_on() -> None:
    tool = {**FUNCTION, "defer_loading": True, "input_examples": [{"a": 1}], "cache_control": {"type": "ephemeral"}}
    seen = translated({"tools": [tool]})
    assert seen.dropped == ()
    assert msgspec.json.decode(seen.encode({}))["tools"][0] == {
        "name": "f",
        "description": "",
        "input_schema": {"type": "object"},
        "cache_control": {"type": "ephemeral"},
        "defer_loading": True,
        "input_examples": [{"a": 1}],
    }


def test_a_choice_without_tools_is_reported() -> None:
    seen = translated({"tool_choice": "auto", "parallel_tool_calls": True})
    assert seen.dropped == ("tool_choice", "parallel_tool_calls")


@pytest.mark.parametrize(
    ("choice", "mapped"),
    [
        (None, None),
        ("any", {"type": "any", "disable_parallel_tool_use": False}),
        ("function", {"type": "tool", "name": "function", "disable_parallel_tool_use": False}),
        (
            {"type": "function", "function": {"name": "f"}},
            {"type": "tool", "name": "f", "disable_parallel_tool_use": False},
        ),
    ],
)
def test_tool_choice(choice: object, mapped: object) -> None:
    assert body_of({"tools": [FUNCTION], "tool_choice": choice}).get("tool_choice") == mapped


def test_allowed_tools_that_allow_none_leave_none() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    body = body_of({"tools": [FUNCTION], "tool_choice": choice})
    assert "tools" not in body
    assert "tool_choice" not in body


SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "an answer", "description": "D.", "schema": {"type": "object"}},
}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_a_client_that_forces_a_call_gets_a_call_not_an_answer(choice: object) -> None:
    seen = translated({"response_format": SCHEMA, "tools": [FUNCTION], "tool_choice": choice}, model="claude-3-opus")
    assert seen.json_tool == ""


def test_the_answer_s_tool_has_a_name_of_its_own() -> None:
    taken = {"type": "function", "function": {"name": "an_answer"}}
    seen = translated({"response_format": SCHEMA, "tools": [taken], "tool_choice": "none"}, model="claude-3-opus")
    assert seen.json_tool == "an_answer_"
    body = msgspec.json.decode(seen.encode({}))
    assert body["tool_choice"] == {"type": "tool", "name": "an_answer_", "disable_parallel_tool_use": True}
    assert body["tools"][1]["description"].startswith("D. ")


# --- thinking

FORMS: list[tuple[str, dict[str, object], dict[str, object], tuple[str, ...]]] = [
    # model, asked, sent, dropped
    (OPUS, {"reasoning_effort": "max"}, {"output_config": {"effort": "max"}}, ()),
    (OPUS, {"reasoning_effort": ""}, {}, ()),
    (OPUS, {"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}, ()),
    (
        OPUS,
        {"thinking": {"type": "adaptive", "display": "omitted"}, "reasoning_effort": "low"},
        {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}},
        (),
    ),
    (OPUS, {"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}, ()),
    ("claude-fable-5", {"thinking": {"type": "disabled"}}, {}, ("thinking",)),
    ("claude-fable-5", {"reasoning_effort": "none"}, {}, ("reasoning_effort",)),
    ("claude-fable-5", {"temperature": 0.5}, {}, ("temperature",)),
    (
        "claude-opus-4-6",
        {"thinking": {"type": "enabled", "budget_tokens": 2000, "includeThoughts": True}, "top_p": 0.97, "top_k": 3},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}, "top_p": 0.97},
        ("thinking.includeThoughts", "top_k"),
    ),
    (
        "claude-opus-4-6",
        {"thinking": {"type": "enabled"}},
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        (),
    ),
    ("claude-sonnet-4-5", {"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, ()),
    ("claude-sonnet-4-5", {"reasoning_effort": "max"}, {"thinking": {"type": "enabled", "budget_tokens": 4999}}, ()),
    (
        "claude-sonnet-4-5",
        {"thinking": {"type": "adaptive"}, "reasoning_effort": "medium"},
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        (),
    ),
    (
        "claude-sonnet-4-5",
        {"thinking": {"type": "enabled", "budget_tokens": 3000}, "reasoning_effort": "low"},
        {"thinking": {"type": "enabled", "budget_tokens": 3000}},
        ("reasoning_effort",),
    ),
    (
        "claude-sonnet-4-5",
        {"reasoning_effort": "low", "tools": [FUNCTION], "tool_choice": "required"},
        {},
        ("reasoning_effort",),
    ),
    ("claude-3-5-haiku-20241022", {"reasoning_effort": "low"}, {}, ("reasoning_effort",)),
    ("claude-3-5-haiku-20241022", {"reasoning_effort": "none"}, {}, ()),
    (
        "claude-3-5-haiku-20241022",
        {"thinking": {"type": "adaptive"}, "reasoning_effort": "low"},
        {},
        ("thinking", "reasoning_effort"),
    ),
    ("someone/model", {"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}, ()),
    (
        "someone/model",
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        (),
    ),
    ("someone/model", {"thinking": {"type": "enabled"}}, {"thinking": {"type": "enabled", "budget_tokens": 4096}}, ()),
]


@pytest.mark.parametrize(("model", "asked", "sent", "dropped"), FORMS)
def test_thinking_takes_the_form_that_the_model_knows(
    model: str, asked: dict[str, object], sent: dict[str, object], dropped: tuple[str, ...]
) -> None:
    seen = translated(asked, model=model)
    body = msgspec.json.decode(seen.encode({}))
    members = ("thinking", "output_config", "temperature", "top_p", "top_k")
    assert {name: body[name] for name in members if name in body} == sent
    assert seen.dropped == dropped


@pytest.mark.parametrize(
    ("model", "asked", "limit"),
    [
        ("claude-opus-4-1", {"reasoning_effort": "max"}, 32000),
        ("claude-sonnet-4-5", {"thinking": {"type": "enabled", "budget_tokens": 60000}}, 64000),
        ("claude-sonnet-4-5", {"thinking": {"type": "enabled", "budget_tokens": 70000}}, 86384),
        ("someone/model", {"thinking": {"type": "enabled", "budget_tokens": 60000}}, 68192),
        (OPUS, {}, 32000),
    ],
)
def test_the_default_limit_makes_room_for_the_budget_but_not_beyond_the_model(
    model: str, asked: dict[str, object], limit: int
) -> None:
    assert body_of({"max_tokens": None, **asked}, model=model)["max_tokens"] == limit


def test_compatible_models_think_between_tool_calls_without_signatures() -> None:
    messages = [
        USER,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]
    seen = translated({"messages": messages, "thinking": {"type": "enabled", "budget_tokens": 9}}, model="kimi-k2")
    assert seen.dropped == ()


def test_a_present_max_completion_tokens_wins() -> None:
    assert body_of({"max_tokens": 5, "max_completion_tokens": 0})["max_tokens"] == 0


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.binary(max_size=50))
def test_text_documents_arrive_as_their_text(content: bytes) -> None:
    part = {"type": "file", "file": {"file_data": f"data:text/csv;base64,{base64.b64encode(content).decode()}"}}
    try:
        expected = content.decode()
    except UnicodeDecodeError:
        with pytest.raises(Unprocessable):
            turns({"role": "user", "content": [part]})
    else:
        block = turns({"role": "user", "content": [part]})[0]["content"][0]
        assert block["source"] == {"type": "text", "media_type": "text/plain", "data": expected}


def test_the_documentation_names_every_member() -> None:
    page = (Path(__file__).parents[4] / "docs/providers/anthropic.md").read_text()
    assert [name for name in MEMBERS if f"`{name}`" not in page] == []
