"""What the demo answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.demo.answers import Question, Tool, answer, count, example

WEATHER = Tool("get_weather", "Weather of a city", {"properties": {"city": {"type": "string"}}})
SEND = Tool("sendMail", "", {"properties": {"to": {"type": "string"}, "urgent": {"type": "boolean"}}})


def question(text: str, **more: Any) -> Question:
    return Question(text=text, dialect="D", model="demo", input_tokens=1, **more)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("What is 6 x 7?", "6 x 7 = 42."),
        ("1.5 + 2", "1.5 + 2 = 3.5."),
        ("1/0", "You asked “1/0”"),
        ("hello", "Hello!"),
        ("", "You sent no text."),
        ("Why is the sky blue", "You asked “Why is the sky blue” (5 words)."),
    ],
)
def test_the_text_depends_on_the_question(text: str, part: str) -> None:
    assert part in answer(question(text)).text


def test_a_tool_is_called_when_the_question_is_about_it() -> None:
    (call,) = answer(question("Is the weather nice in New York?", tools=(SEND, WEATHER))).calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "New York"})
    assert not answer(question("What else?", tools=(SEND, WEATHER))).calls


@pytest.mark.parametrize(
    ("choice", "expected"), [("none", []), ("any", ["sendMail"]), ("get_weather", ["get_weather"])]
)
def test_the_tool_choice_is_obeyed(choice: str, expected: list[str]) -> None:
    found = answer(question("What else?", tools=(SEND, WEATHER), choice=choice))
    assert [call.name for call in found.calls] == expected


def test_a_tools_result_is_used() -> None:
    assert "23 degrees" in answer(question("weather?", tools=(WEATHER,), results=("23 degrees",))).text


@given(st.text())
def test_the_pieces_of_a_stream_are_the_text(text: str) -> None:
    found = answer(question(text))
    assert "".join(found.pieces()) == found.text
    assert found.output_tokens == count(found.text) > 0


def test_an_example_fits_its_schema() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["n", "kind", "list", "inner", "flag", "maybe"],
        "properties": {
            "n": {"type": "integer"},
            "kind": {"enum": ["small", "large"]},
            "list": {"type": "array", "items": {"type": "number"}},
            "inner": {"type": "object", "properties": {"name": {"type": "string"}}},
            "flag": {"type": "boolean"},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
            "unwanted": {"type": "string"},
        },
    }
    assert example(schema, "give me 3 large ones for Ada") == {
        "n": 3,
        "kind": "large",
        "list": [3.0],
        "inner": {"name": "Ada"},
        "flag": True,
        "maybe": None,
    }


def test_a_schema_without_end_has_an_end() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"]["again"] = schema
    assert example(schema, "x")
