"""What the demo answers, whatever the dialect: a question in, a text or tool calls out. Pure and deterministic."""

import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from filters.contract import jsonlib

Json = dict[str, Any]

_WORD: Final = re.compile(r"[A-Za-z]+")
_SUM: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*([-+*/x])\s*(-?\d+(?:\.\d+)?)")
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")
_NAME: Final = re.compile(r"(?<=[a-z,?] )[A-Z][\w]+(?: [A-Z][\w]+)*")
_OPERATORS: Final = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "x": operator.mul,
    "/": operator.truediv,
}
_GREETINGS: Final = frozenset({"hello", "hi", "hey", "hallo"})
_SHORT_WORD: Final = 3
"""Words up to this length (of, for, get, the) say nothing about what a tool is for."""
QUOTE_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str = ""
    schema: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request, read from any dialect."""

    text: str
    """the last words of the user"""
    results: tuple[str, ...] = ()
    """what tools have answered since"""
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    """auto, none, any, or the name of a tool"""
    schema: Json | None = None
    """of the JSON that is to be answered"""
    dialect: str
    model: str
    input_tokens: int


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: Json

    def json(self) -> str:
        return jsonlib.encode(self.arguments).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    text: str = ""
    calls: tuple[Call, ...] = ()

    @property
    def output_tokens(self) -> int:
        return count(self.text) + sum(count(call.json()) + 1 for call in self.calls)

    def pieces(self) -> Iterator[str]:
        """The text word by word, as a stream has it."""
        yield from re.findall(r"\s*\S+\s*$|\s*\S+", self.text)


def count(text: str) -> int:
    """Tokens, near enough for a demo: words and signs."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def answer(question: Question) -> Answer:
    if question.results:
        return Answer(text=f"The tool answered: {'; '.join(question.results)[:QUOTE_LIMIT]}")
    calls = tuple(Call(tool.name, example(tool.schema, question.text)) for tool in _wanted(question))
    if calls:
        return Answer(calls=calls)
    if question.schema is not None:
        return Answer(text=jsonlib.encode(example(question.schema, question.text)).decode())
    return Answer(text=_sentence(question))


def _wanted(question: Question) -> tuple[Tool, ...]:
    """The tools to call: those that the choice demands, else those whose words occur in the question."""
    if question.choice == "none" or not question.tools:
        return ()
    named = tuple(tool for tool in question.tools if tool.name == question.choice)
    if named:
        return named
    asked = {word.lower() for word in _WORD.findall(question.text)}
    fitting = tuple(tool for tool in question.tools if asked & _words_of(tool))
    return fitting or (question.tools[:1] if question.choice == "any" else ())


def _words_of(tool: Tool) -> frozenset[str]:
    words = _WORD.findall(re.sub(r"([a-z])([A-Z])", r"\1 \2", tool.name))
    return frozenset(word.lower() for word in words if len(word) > _SHORT_WORD)


def _sentence(question: Question) -> str:
    by = f"{question.model}, a built-in demo that speaks {question.dialect}"
    text = " ".join(question.text.split())
    if not text:
        return f"You sent no text. I am {by}."
    words = {word.lower() for word in _WORD.findall(text)}
    if found := _SUM.search(text):
        result = _calculated(found)
        if result is not None:
            return f"{found[0].strip()} = {result:g}. I am {by}."
    if words & _GREETINGS and len(words) <= len(_GREETINGS):
        return f"Hello! I am {by}. Ask me anything: my answers quote your question."
    quoted = text if len(text) <= QUOTE_LIMIT else f"{text[:QUOTE_LIMIT]}…"
    number = len(text.split())
    return f"You asked “{quoted}” ({number} word{'s' if number > 1 else ''}). I am {by}."


def _calculated(found: re.Match[str]) -> float | None:
    try:
        return float(_OPERATORS[found[2]](float(found[1]), float(found[3])))
    except (ZeroDivisionError, OverflowError):
        return None


def example(schema: Mapping[str, Any], text: str) -> Json:
    """An object that fits the schema, filled from the question where that is possible."""
    value = _example(schema, text, "")
    return value if isinstance(value, dict) else {}


def _example(schema: Mapping[str, Any], text: str, name: str, depth: int = 0) -> Any:
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        options = schema["enum"]
        return next((option for option in options if str(option).lower() in text.lower()), options[0])
    for key in ("anyOf", "oneOf"):
        if schema.get(key) and depth < 8:
            return _example(schema[key][0], text, name, depth + 1)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if (kind == "object" or "properties" in schema) and depth < 8:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = schema.get("required") or list(properties)
        return {key: _example(properties.get(key) or {}, text, key, depth + 1) for key in required}
    if kind == "array":
        return [_example(schema.get("items") or {}, text, name, depth + 1)] if depth < 8 else []
    numbers = _NUMBER.findall(text)
    match kind:
        case "integer":
            return int(float(numbers[0])) if numbers else 1
        case "number":
            return float(numbers[0]) if numbers else 1.0
        case "boolean":
            return True
        case "null":
            return None
        case _:
            names = _NAME.findall(text)
            return names[-1] if names else text[:QUOTE_LIMIT] or name
