"""Corners of an attempt that the exchanges' tests do not show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract.config import BodyMutation
from filters.extproc.messages import ImmediateReply
from filters.runtime.attempt import dropped_header
from tests.support.gateway import Gateway, backend, configuration


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


def test_a_body_mutation_on_what_is_no_object_is_our_fault() -> None:
    gateway = Gateway(configuration(backend(body_mutation=BodyMutation(remove=("a",)))))
    gateway.script.body = b"[1]"
    reply = gateway.send(gateway.open())
    assert isinstance(reply, ImmediateReply)
    assert reply.status == 500
    assert b'"body_mutation_failed"' in reply.body


@pytest.mark.parametrize("accepted", ["x" * 300, "gzip;q=0.1, " * 30])
def test_an_endless_accept_encoding_is_not_remembered(accepted: str) -> None:
    gateway = Gateway(configuration())
    reply = gateway.send(gateway.open(), headers={"accept-encoding": accepted})
    assert not isinstance(reply, ImmediateReply)
    assert ("accept-encoding", "gzip") in getattr(reply, "set", ())
