"""Messages and parts: what each becomes, and what is refused by name."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.errors import ClientError, MalformedRequest, Unprocessable
from filters.mappings.openai_chat_to_converse import request
from filters.mappings.openai_chat_to_converse.messages import tool_id
from tests.support.converse import call_of, chat, translated

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
PNG = "data:image/png;base64,iVBORw0KGgo="


def turns(*messages: dict[str, Any], model: str = CLAUDE) -> Any:
    return translated(chat(model, messages=list(messages)))[0]["messages"]


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def refusal(*messages: dict[str, Any]) -> ClientError:
    with pytest.raises(ClientError) as caught:
        request.translate(chat(CLAUDE, messages=list(messages)))
    return caught.value


@pytest.mark.parametrize("blank", ["", " ", "\n\t \r", "\u00a0", "\u2003"])
def test_blank_text_is_left_out_wherever_it_stands(blank: str) -> None:
    spoken = {"role": "user", "content": "x"}
    assert turns({"role": "user", "content": blank}, spoken, user({"type": "text", "text": blank})) == [
        {"role": "user", "content": [{"text": "x"}]}
    ]


@pytest.mark.parametrize("text", ["\u00e9", "a\\", '"', "x\u2028", "😀", "\\u0041", " x "])
def test_text_arrives_as_it_was(text: str) -> None:
    assert turns({"role": "user", "content": text}) == [{"role": "user", "content": [{"text": text}]}]


SPOKEN = {"role": "user", "content": "x"}


def test_a_single_part_object_counts_as_a_list() -> None:
    assert turns(SPOKEN, {"role": "assistant", "content": {"type": "text", "text": "y"}}) == [
        {"role": "user", "content": [{"text": "x"}]},
        {"role": "assistant", "content": [{"text": "y"}]},
    ]


def test_the_user_begins_even_when_the_assistant_did() -> None:
    assert turns({"role": "assistant", "content": "y"}, SPOKEN) == [
        {"role": "user", "content": [{"text": "."}]},
        {"role": "assistant", "content": [{"text": "y"}]},
        {"role": "user", "content": [{"text": "x"}]},
    ]


def result(number: int, **members: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"c{number}", "content": str(number), **members}


def calls(count: int, **members: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    return {"role": "assistant", "tool_calls": [{"id": f"c{n}", "function": function} for n in range(count)], **members}


def test_results_of_calls_come_first_in_their_turn_and_only_there() -> None:
    mark = {"type": "ephemeral"}
    found = turns(SPOKEN, calls(2), result(0, cache_control=mark), SPOKEN, result(1), calls(1), SPOKEN, result(0))
    kinds = [[next(iter(block)) for block in turn["content"]] for turn in found]
    assert kinds == [
        ["text"],
        ["toolUse", "toolUse"],
        ["toolResult", "cachePoint", "toolResult", "text"],
        ["toolUse"],
        ["toolResult", "text"],
    ]


def test_calls_and_results_stand_alone_where_models_want_them_so() -> None:
    mark = {"type": "ephemeral"}
    messages = [SPOKEN, calls(1, content="let me see"), result(0, cache_control=mark), SPOKEN, calls(1), result(0)]
    body, dropped = translated(chat(LLAMA, messages=messages))
    kinds = [(turn["role"], [next(iter(block)) for block in turn["content"]]) for turn in body["messages"]]
    assert kinds == [
        ("user", ["text"]),
        ("assistant", ["toolUse"]),
        ("user", ["toolResult", "cachePoint"]),
        ("assistant", ["text"]),
        ("user", ["text"]),
        ("assistant", ["toolUse"]),
        ("user", ["toolResult"]),
    ]
    assert dropped == ("messages[].content",)


def test_long_tool_ids_are_cut_and_stay_unlike_each_other() -> None:
    long = "call_" + "x" * 80
    made = {tool_id(long), tool_id(long + "y"), tool_id(long[:64])}
    assert len(made) == 3
    assert all(len(made_id) <= 64 for made_id in made)
    assert tool_id(long[:64]) == long[:64]


def test_a_message_level_cache_mark_closes_the_message() -> None:
    mark = {"type": "ephemeral"}
    point = {"cachePoint": {"type": "default"}}
    body, _ = translated(
        chat(
            CLAUDE,
            messages=[
                {"role": "system", "content": "s", "cache_control": mark},
                {"role": "user", "content": "u", "cache_control": mark},
                {"role": "assistant", "content": "a", "cache_control": mark},
                {"role": "user", "content": " ", "cache_control": mark},
            ],
        )
    )
    assert body["system"] == [{"text": "s"}, point]
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "u"}, point]},
        {"role": "assistant", "content": [{"text": "a"}, point]},
    ]


def test_an_unknown_ttl_is_left_to_the_default() -> None:
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "30m"}}
    assert turns(user(part))[0]["content"][1] == {"cachePoint": {"type": "default"}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", []),
        ("text", [{"text": "text"}]),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": ""}], [{"text": "a"}]),
    ],
)
def test_tool_results_hold_what_was_said(content: object, expected: object) -> None:
    result = turns({"role": "tool", "tool_call_id": "c", "content": content}, {"role": "user", "content": "x"})
    assert result[0]["content"][0] == {"toolResult": {"content": expected, "toolUseId": "c"}}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"error": null}', True),
        (' {"a": 1, "error": "x"} ', True),
        ('{"errors": 1}', False),
        ('["error"]', False),
        ("error: {", False),
        ('{"error"', False),
        ('[{"type":"text","text":"{\\"error\\":1}"}]', False),
    ],
)
def test_a_result_is_an_error_when_it_is_an_object_with_that_member(content: str, error: bool) -> None:
    block = turns({"role": "tool", "tool_call_id": "c", "content": content})[0]["content"][0]["toolResult"]
    assert block.get("status") == ("error" if error else None)
    elsewhere = turns({"role": "tool", "tool_call_id": "c", "content": content}, model=LLAMA)
    assert "status" not in elsewhere[0]["content"][0]["toolResult"]


def test_tool_ids_that_bedrock_refuses_are_changed_alike_on_both_sides() -> None:
    call = {"id": "call/1 ü", "type": "function", "function": {"name": "f", "arguments": "null"}}
    _, first, second = turns(
        SPOKEN,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call/1 ü", "content": "x"},
    )
    assert first["content"][0]["toolUse"] == {"name": "f", "toolUseId": "call_1__", "input": {}}
    assert second["content"][0]["toolResult"]["toolUseId"] == "call_1__"


def test_a_refusal_is_what_the_assistant_said() -> None:
    said = turns(SPOKEN, {"role": "assistant", "content": None, "refusal": "No."})[1]
    assert said["content"] == [{"text": "No."}]


@pytest.mark.parametrize("content", ["The answer is \n", [{"type": "text", "text": "The answer is  "}]])
def test_white_space_before_claude_continues_is_taken_off(content: object) -> None:
    last = {"role": "assistant", "content": content}
    assert turns({"role": "user", "content": "x"}, last)[1]["content"] == [{"text": "The answer is"}]
    kept = turns({"role": "user", "content": "x"}, last, model=LLAMA)[1]["content"][0]["text"]
    assert kept.endswith((" ", "\n"))


def test_thinking_parts_for_another_model_have_no_signature() -> None:
    parts = [
        {"type": "thinking", "text": "Hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "redactedContent": "QQ=="},
    ]
    body, dropped = translated(chat(LLAMA, messages=[SPOKEN, {"role": "assistant", "content": parts}]))
    assert body["messages"][1]["content"] == [{"reasoningContent": {"reasoningText": {"text": "Hm"}}}]
    assert dropped == ("messages[].content[].redacted_thinking",)


def test_empty_parts_of_an_assistant_say_nothing() -> None:
    empty = [{"type": kind} for kind in ("text", "refusal", "thinking", "redacted_thinking")]
    assert turns({"role": "assistant", "content": empty}) == []


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "s3://b/x.webp"}},
            {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://b/x.webp"}}}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:image/png;base64,AAAA"}},
            {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/octet-stream;base64,AAAA", "filename": "a.XLSX"}},
            {"document": {"format": "xlsx", "name": "document-1", "source": {"bytes": "AAAA"}}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain,a%20b"}},
            {"document": {"format": "txt", "name": "document-1", "source": {"bytes": "YSBi"}}},
        ),
        (
            {"type": "file", "file": {"file_data": "_-8", "filename": "page.htm"}},
            {"document": {"format": "html", "name": "document-1", "source": {"bytes": "/+8="}}},
        ),
        (
            {"type": "audio_url", "audio_url": {"url": "s3://b/x.mp3"}},
            {"audio": {"format": "mp3", "source": {"s3Location": {"uri": "s3://b/x.mp3"}}}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "MP3"}},
            {"audio": {"format": "mp3", "source": {"bytes": "AAAA"}}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "data:video/3gpp;base64,AAAA"}},
            {"video": {"format": "three_gp", "source": {"bytes": "AAAA"}}},
        ),
    ],
)
def test_media_become_blocks(part: dict[str, Any], block: object) -> None:
    assert turns(user(part))[0]["content"] == [block]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url"}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,üüüü"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "s3://bucket/picture"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "ftp://x/y.png"}}, "image_url.url"),
        ({"type": "file"}, "file.file_data"),
        ({"type": "file", "file": {"file_id": "f"}}, "file.file_id"),
        ({"type": "file", "file": {"file_data": "AAAA"}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "AA!A", "filename": "a.pdf"}}, "file.file_data"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,AAAA"}}, "file.file_data"),
        ({"type": "input_audio"}, "input_audio.data"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "midi"}}, "input_audio.format"),
        ({"type": "audio_url"}, "audio_url.url"),
        ({"type": "video_url", "video_url": {"url": "data:video/x-unknown;base64,AAAA"}}, "video_url.url"),
        ({"type": "hologram"}, "type"),
        ({"text": "x"}, "type"),
    ],
)
def test_parts_that_bedrock_cannot_read_are_refused_by_name(part: dict[str, Any], param: str) -> None:
    assert refusal(user({"type": "text", "text": "x"}, part)).param == f"messages[0].content[1].{param}"


@pytest.mark.parametrize(
    ("message", "error", "param"),
    [
        ({"content": "x"}, MalformedRequest, "role"),
        ({"role": "narrator", "content": "x"}, MalformedRequest, "role"),
        ({"role": "system"}, Unprocessable, "content"),
        ({"role": "system", "content": None}, MalformedRequest, "content"),
        ({"role": "system", "content": {"type": "text"}}, MalformedRequest, "content"),
        ({"role": "system", "content": [{"type": "image_url"}]}, MalformedRequest, "content[0].type"),
        ({"role": "user", "content": 5}, MalformedRequest, "content"),
        ({"role": "user", "content": [5]}, MalformedRequest, "content[0]"),
        ({"role": "assistant", "content": [{"type": "image_url"}]}, Unprocessable, "content[0].type"),
        ({"role": "assistant", "tool_calls": [{"id": "c", "type": "custom"}]}, Unprocessable, "tool_calls[0].type"),
        ({"role": "assistant", "tool_calls": [{"id": "", "function": {}}]}, Unprocessable, "tool_calls[0].id"),
        ({"role": "tool", "content": "x"}, Unprocessable, "tool_call_id"),
        ({"role": "tool", "tool_call_id": "c"}, Unprocessable, "content"),
        ({"role": "tool", "tool_call_id": "c", "content": None}, MalformedRequest, "content"),
        (
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
            },
            Unprocessable,
            "content[0].type",
        ),
    ],
)
def test_messages_that_mean_nothing_are_refused_by_name(
    message: dict[str, Any], error: type[ClientError], param: str
) -> None:
    found = refusal(message)
    assert type(found) is error
    assert found.param == f"messages[0].{param}"


def test_no_refusal_repeats_what_the_client_wrote() -> None:
    secret = "very-private-words"
    for part in (
        {"type": "image_url", "image_url": {"url": f"https://x/{secret}"}},
        {"type": "file", "file": {"file_data": secret}},
    ):
        assert secret not in refusal(user(part)).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "role", "content", "url", "function", "name", "id", "image_url", "file_data"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
odd_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional={
        "content": json_values,
        "tool_calls": st.lists(json_values, max_size=2),
        "tool_call_id": st.text(min_size=1, max_size=4),
        "thinking_blocks": json_values,
    },
)


@given(st.lists(odd_messages, max_size=4), st.dictionaries(st.sampled_from(sorted(request.REFUSED)), json_values))
@settings(max_examples=300, deadline=None)
def test_any_request_is_translated_or_refused_as_the_clients_fault(
    messages: list[dict[str, Any]], members: dict[str, Any]
) -> None:
    body = jsonlib.encode({"model": CLAUDE, "messages": messages, **members})
    with contextlib.suppress(ClientError):
        request.translate(call_of(body))
