"""Schemas of clients in the subset that providers enforce: what is left is weaker, never another schema."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.contract.jsonlib import Raw
from filters.mappings import json_schema

NODE = {"$ref": "#/$defs/Node"}


def closed(schema: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    found = json_schema.closed(Raw(jsonlib.encode(schema)))
    return None if found is None else (jsonlib.decode(found.schema, dict[str, Any]), found.loosened)


def test_a_schema_in_the_subset_keeps_its_bytes() -> None:
    text = Raw(b'{ "type": "object", "properties": {"minimum": {"type":"string"}}, "additionalProperties": false }')
    found = json_schema.closed(text)
    assert found is not None
    assert found.schema is text


def test_every_object_is_closed_wherever_it_stands() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "string"}}}
    shut = {**inner, "additionalProperties": False}
    schema = {
        "type": "object",
        "properties": {"one": inner, "list": {"type": "array", "items": inner}, "two": {"oneOf": [inner, NODE]}},
        "$defs": {"Node": inner},
        "additionalProperties": False,
    }
    assert closed(schema) == (
        {
            "type": "object",
            "properties": {"one": shut, "list": {"type": "array", "items": shut}, "two": {"anyOf": [shut, NODE]}},
            "$defs": {"Node": shut},
            "additionalProperties": False,
        },
        (),
    )


def test_constraints_become_prose_and_are_named() -> None:
    number = {"type": "integer", "minimum": 1, "description": "Age"}
    assert closed({"anyOf": [number, {"type": "string", "format": "email"}, {"type": "string", "format": "x"}]}) == (
        {
            "anyOf": [
                {"type": "integer", "description": 'Age\n\n{"minimum":1}'},
                {"type": "string", "format": "email"},
                {"type": "string", "description": '{"format":"x"}'},
            ]
        },
        ("minimum", "format"),
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": ["object", "null"], "properties": {}, "additionalProperties": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
        {"type": "object", "properties": {"a": NODE}, "$defs": {"Node": {"type": "array", "items": NODE}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"anyOf": [{"$ref": "#/$defs/A"}]}}},
        {"type": "object", "properties": {"again": {"$ref": "#"}}},
    ],
)
def test_what_would_be_another_schema_is_not_made(schema: dict[str, Any]) -> None:
    assert closed(schema) is None


@pytest.mark.parametrize("odd", [None, 5, {"a": 1}, [[]], True])
@pytest.mark.parametrize(
    "keyword", ["format", "minItems", "properties", "items", "anyOf", "$ref", "$defs", "type", "description"]
)
def test_keywords_of_any_type_are_taken(keyword: str, odd: object) -> None:
    closed({"anyOf": [{"type": "string", "minLength": 1, keyword: odd}]})


def test_definitions_that_share_one_are_not_recursive() -> None:
    leaf = {"$ref": "#/$defs/Leaf"}
    schema = {
        "anyOf": [{"$ref": "#/$defs/A"}, leaf],
        "$defs": {"A": {"type": "array", "items": leaf}, "Leaf": {"type": "string"}},
    }
    assert closed(schema) == (schema, ())


def test_nesting_without_end_is_not_made() -> None:
    deep = b'{"items":' * 900 + b"{}" + b"}" * 900
    found = json_schema.closed(Raw(deep))
    assert found is None or found.schema == Raw(deep)


schemas = st.recursive(
    st.sampled_from(
        [{"type": "string", "minLength": 1}, {"type": "integer", "multipleOf": 2}, NODE, True, {"enum": [{}]}]
    ),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.builds(lambda a, b: {"type": "object", "properties": {"a": a, "minimum": b}}, inner, inner)
        | st.builds(lambda a, b: {"oneOf": [a, b], "description": "x"}, inner, inner)
    ),
    max_leaves=8,
)


@given(schemas.filter(lambda schema: isinstance(schema, dict)))
def test_what_is_made_is_in_the_subset(schema: dict[str, Any]) -> None:
    once = closed({**schema, "$defs": {"Node": {"type": "string"}}})
    assert once is not None
    assert closed(once[0]) == (once[0], ())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (b"null", b'{"type":"object","properties":{}}'),
        (b"{}", b'{"type":"object","properties":{}}'),
        (b'{"type":null,"required":null,"properties":{}}', b'{"type":"object","properties":{}}'),
        (b'{"type": "object" }', b'{"type": "object" }'),
        (b'{"type":"object","properties":[]}', b'{"type":"object"}'),
        (b'{"properties":{},"required":["a",1]}', b'{"type":"object","properties":{},"required":["a"]}'),
        (b'"x"', None),
        (b"[]", None),
    ],
)
def test_parameters_become_a_schema_of_an_object(parameters: bytes, expected: bytes | None) -> None:
    found = json_schema.object_schema(Raw(parameters))
    assert (None if found is None else bytes(found)) == expected
