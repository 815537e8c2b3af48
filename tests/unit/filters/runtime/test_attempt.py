"""Corners of an attempt that the exchanges' tests do not show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.runtime.attempt import dropped_header


@pytest.mark.parametrize(
    ("dropped", "value"),
    [
        (("seed", "logit_bias"), "seed, logit_bias"),
        (("a\r\nset-cookie: x", "é"), "a??set-cookie: x, ?"),
        (("a" * 2000,), "a" * 1024 + ", ..."),
        (("a" * 1000, "b" * 1000), "a" * 1000 + ", ..."),
    ],
)
def test_names_of_dropped_members_are_a_legal_header_value(dropped: tuple[str, ...], value: str) -> None:
    assert dropped_header(dropped) == value


@given(st.lists(st.text(max_size=400), max_size=8).map(tuple))
def test_any_names_give_a_short_printable_value(dropped: tuple[str, ...]) -> None:
    value = dropped_header(dropped)
    assert len(value) <= 1024 + len(", ...")
    assert value.isascii()
    assert value.isprintable()
