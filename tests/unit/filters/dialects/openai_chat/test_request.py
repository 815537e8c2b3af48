"""Requests are read leniently, and what is not read is named."""

import pytest

from filters.contract import jsonlib
from filters.contract.jsonlib import Raw
from filters.dialects.openai_chat import request
from filters.errors import MalformedRequest

REQUEST = b"""{"model":"m","x":1,"store":null,"logit_bias":{ },"messages":[
  {"role":"user","content":"hi"},
  {"role":"user","name":"n","zap":1,"content":[{"type":"text","text":"a","mark":{"mode":1}},
    {"type":"image_url","image_url":{"url":"u","detail":"low","q":1}}]},
  {"role":"assistant","content":null,"annotations":[ ],"audio":null,"function_call":{"a":1},"tool_calls":[
    {"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}","z":1}}]},
  {"role":"tool","content":{"type":"text","u":2},"cache_control":{"type":"ephemeral","s":1}}],
  "tools":[{"type":"function","function":{"name":"f","parameters":{"any":"thing"},"q":1}},{"type":"web","w":{"a":1}}],
  "stream_options":{"include_obfuscation":true},"metadata":{"free":"form"},
  "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"y":1}},
  "thinking":{"type":"enabled","includeThoughts":true,"k":1}}"""


def test_names_every_member_that_nothing_reads() -> None:
    assert list(request.unread_members(jsonlib.members(REQUEST))) == [
        "x",
        "messages[1].zap",
        "messages[1].content[].mark",
        "messages[1].content[].image_url.q",
        "messages[2].function_call",
        "messages[2].tool_calls[].function.z",
        "messages[3].content.u",
        "messages[3].cache_control.s",
        "tools[].function.q",
        "stream_options.include_obfuscation",
        "response_format.json_schema.y",
        "thinking.k",
    ]


def test_a_request_that_is_read_whole_leaves_nothing() -> None:
    body = b"""{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"}]},
      {"role":"assistant","content":"b","refusal":null,"tool_calls":[{"id":"i","type":"function","function":{"name":"f",
      "arguments":"{}"}}],"thinking_blocks":[{"type":"thinking","thinking":"t","signature":"s"}]},
      {"role":"assistant","content":[{"type":"redacted_thinking","redactedContent":"eA=="}]}]}"""
    assert list(request.unread_members(jsonlib.members(body))) == []


@pytest.mark.parametrize("messages", [b"7", b'"x"', b"[1]", b'[{"content":[7]}]', b'[{"role":[]}]', b"null"])
def test_what_has_another_type_is_not_its_business(messages: bytes) -> None:
    assert list(request.unread_members({"messages": Raw(messages), "thinking": Raw(b'"x"')})) == []


def test_reads_a_request() -> None:
    read = request.read(REQUEST)
    assert [message.role for message in read.messages] == ["user", "user", "assistant", "tool"]
    assert read.thinking == request.Thinking(type="enabled", include_thoughts=True)


def test_a_wrong_type_is_named() -> None:
    with pytest.raises(MalformedRequest) as caught:
        request.read(b'{"max_tokens":"5"}')
    assert caught.value.code == "invalid_type"
    assert "$.max_tokens" in caught.value.message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'"a\\n"', "a\n"),
        (b"null", ""),
        (b"[]", []),
        (b'[{"type":"text","text":"a"}]', [request.Part(type="text", text="a")]),
        (b'{"type":"refusal","refusal":"no"}', [request.Part(type="refusal", refusal="no")]),
    ],
)
def test_content_is_text_or_parts(content: bytes, expected: object) -> None:
    assert request.text_or_parts(Raw(content), "messages[0].content") == expected


@pytest.mark.parametrize(
    ("content", "place"),
    [(b"7", ""), (b"true", ""), (b"[7]", "[0]"), (b'{"type":7}', ".type"), (b'[{"text":7}]', "[0].text")],
)
def test_content_of_another_type_is_refused_with_its_place(content: bytes, place: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        request.text_or_parts(Raw(content), "messages[0].content")
    assert caught.value.param == f"messages[0].content{place}"
