"""Mutations of a backendRef: the route's over the backend's, names in lower case, body values as JSON texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension_server.api.aigateway import HTTPBodyField, HTTPBodyMutation, HTTPHeader, HTTPHeaderMutation
from extension_server.compile import mutations
from filters.contract import jsonlib
from filters.contract.config import BodyMutation, HeaderMutation


def test_the_route_wins_per_header_and_removals_add_up() -> None:
    merged = mutations.headers(
        HTTPHeaderMutation(set=(HTTPHeader(name="X-A", value="route"),), remove=("X-R",)),
        HTTPHeaderMutation(
            set=(HTTPHeader(name="x-a", value="backend"), HTTPHeader(name="x-b", value="b")), remove=("x-s", "x-r")
        ),
    )
    assert merged.mutation == HeaderMutation(set=(("x-a", "route"), ("x-b", "b")), remove=("x-r", "x-s"))
    assert merged.reserved == ()


def test_the_gateways_own_headers_are_left_alone() -> None:
    merged = mutations.headers(
        HTTPHeaderMutation(
            set=(HTTPHeader(name="X-AI-EG-Model", value="m"), HTTPHeader(name="content-length", value="1")),
            remove=("x-envoy-original-path", "x-ok"),
        ),
        None,
    )
    assert merged.mutation == HeaderMutation(remove=("x-ok",))
    assert merged.reserved == ("content-length", "x-ai-eg-model", "x-envoy-original-path")


def test_no_mutation_is_an_empty_one() -> None:
    assert mutations.headers(None, None).mutation == HeaderMutation()
    assert mutations.body(None, None) == BodyMutation()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("3", "3"),
        (" true ", "true"),
        ("null", "null"),
        ('"x"', '"x"'),
        ('{"a": [1, 2]}', '{"a": [1, 2]}'),
        ("1.2.3", '"1.2.3"'),
        ("2024-01-01", '"2024-01-01"'),
        ("on-demand", '"on-demand"'),
        ("", '""'),
        ("{broken", '"{broken"'),
        ('say "hi"', r'"say \"hi\""'),
    ],
)
def test_body_values_are_json_or_become_a_string(value: str, text: str) -> None:
    assert mutations.json_text(value) == text


@given(st.text(max_size=30))
def test_every_body_value_becomes_valid_json(value: str) -> None:
    jsonlib.decode(mutations.json_text(value).encode(), object)


def test_the_route_wins_per_body_member() -> None:
    merged = mutations.body(
        HTTPBodyMutation(set=(HTTPBodyField(path="a.b", value="1"),), remove=("x",)),
        HTTPBodyMutation(set=(HTTPBodyField(path="a.b", value="2"), HTTPBodyField(path="c", value="d"))),
    )
    assert merged == BodyMutation(set=(("a.b", "1"), ("c", '"d"')), remove=("x",))
