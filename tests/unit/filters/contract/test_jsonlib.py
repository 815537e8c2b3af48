"""The edits of jsonlib keep every byte that they are not about."""

import json  # noqa: TID251  the independent reader

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError

keys = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("body", "name", "value", "expected"),
    [
        (b'{"a":1,"model":"x"}', "model", b'"yy"', b'{"a":1,"model":"yy"}'),
        (
            b' {\n "model" :\t"x" ,"b": [1, {"model": 2}] }\n',
            "model",
            b'"y"',
            b' {\n "model" :\t"y" ,"b": [1, {"model": 2}] }\n',
        ),
        (b"{}", "model", b'"y"', b'{"model":"y"}'),
        (b'{"a": 1 }', "model", b'"y"', b'{"a": 1 ,"model":"y"}'),
        (b'{"mod\\u0065l": "x"}', "model", b'"y"', b'{"mod\\u0065l": "y"}'),
        (b'{"a\\"b,:": "}", "model": "x"}', "model", b'"y"', b'{"a\\"b,:": "}", "model": "y"}'),
    ],
)
def test_replaces_one_value_and_keeps_every_other_byte(body: bytes, name: str, value: bytes, expected: bytes) -> None:
    assert jsonlib.replace_member(body, jsonlib.members(body), name, value) == expected


@pytest.mark.parametrize(
    "body", [b'{"model":"a","model":"b"}', b'{"x":1,"model":"a","x":2}', b'{"x":1,"x":2,"model":"a"}']
)
def test_a_body_with_a_member_twice_is_written_anew_without_the_double(body: bytes) -> None:
    edited = jsonlib.replace_member(body, jsonlib.members(body), "model", b'"y"')
    assert edited.count(b'"model"') == 1
    assert edited.count(b'"x"') <= 1
    assert jsonlib.decode(edited, dict[str, object])["model"] == "y"


@given(st.dictionaries(keys, values, max_size=6), st.sampled_from(["model", "stream", "a"]), values)
def test_edits_any_object(document: dict[str, object], name: str, value: object) -> None:
    body = jsonlib.encode(document)
    edited = jsonlib.replace_member(body, jsonlib.members(body), name, jsonlib.encode(value))
    assert jsonlib.decode(edited, dict[str, object]) == {**document, name: value}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"a":1',
        b'{"a":\xff}',
        b'{"a":"\xff"}',
        b'{"a":01}',
        b'{"a":1}x',
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_not_an_object_in_utf8_is_one_clear_error(body: bytes) -> None:
    with pytest.raises(jsonlib.JsonError):
        jsonlib.members(body)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\ude00 b"', "\ufffd b"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\uD83D\ud83d\uDE00\ude00"', "\ufffd\U0001f600\ufffd"),
        (rb'"\\ud83d \\\ud83d"', "\\ud83d \\\ufffd"),
        (b'\xef\xbb\xbf"a"', "a"),
    ],
)
def test_reads_text_that_holds_half_a_character(text: bytes, expected: str) -> None:
    assert jsonlib.decode(text, str) == expected


@given(st.lists(st.sampled_from([r"\ud83d", r"\ude00", "\\\\", "a", r"\n", r"\"", "ud83d"]), max_size=8).map("".join))
def test_what_is_mended_is_read_as_pythons_own_reader_does(inner: str) -> None:
    text = f'"{inner}"'.encode()
    plain = "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in json.loads(text))
    try:
        assert jsonlib.decode(text, str) == plain
    except JsonError:
        assert "\\\\ud83d\\ude00" in inner or "\\\\ud83d" in inner  # see _LONE_SURROGATE


@given(st.dictionaries(keys, values, max_size=6), st.data())
def test_finds_a_member_that_is_there_twice(document: dict[str, object], data: st.DataObject) -> None:
    indent = data.draw(st.sampled_from([None, 2]))
    body = json.dumps({"model": "a", **document}, indent=indent, ensure_ascii=data.draw(st.booleans())).encode()
    assert not jsonlib.repeats(body, jsonlib.members(body), "model")
    name = data.draw(st.sampled_from(['"model"', '"\\u006dodel"', '"mode\\u006C"']))
    twice = body.rstrip()[:-1] + b"," + name.encode() + b":1}"
    assert jsonlib.repeats(twice, jsonlib.members(twice), "model")


@pytest.mark.parametrize(("text", "place"), [(b'[{"b":1},{"b":"x"}]', "[1][...]"), (b"{}", ""), (b"[{", "")])
def test_an_error_says_where_the_type_is_wrong(text: bytes, place: str) -> None:
    with pytest.raises(JsonError) as raised:
        jsonlib.decode(text, list[dict[str, int]])
    assert raised.value.place == place
