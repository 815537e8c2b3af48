"""Updates: from any state to any other, whole when there is none, and never anything else than their hashes say."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract import push, sections
from filters.contract.push import Asked, BadMessage, Hello, Refused, Running, State
from filters.contract.sections import Sections
from tests.unit.filters.contract.test_sections import configuration

NUMBERS = st.lists(st.integers(0, 99), unique=True, max_size=30)


def state(numbers: list[int], key: str = "k") -> Sections:
    return sections.split(configuration(numbers, key))


def same(left: Sections, right: Sections) -> bool:
    return (left.parts, left.credentials, left.digests, push.state_of(left)) == (
        right.parts,
        right.credentials,
        right.digests,
        push.state_of(right),
    )


@given(NUMBERS, NUMBERS, st.sampled_from(["k", "other"]))
def test_an_update_leads_from_any_state_to_any_other(before: list[int], after: list[int], key: str) -> None:
    old, new = state(before), state(after, key)
    change = push.decode_update(push.encode(push.update(new, old)))
    assert same(push.apply(change, old), new)
    assert same(push.apply(push.update(new), old), new)
    assert same(push.apply(push.update(new), None), new)


def test_a_new_value_is_sent_alone() -> None:
    change = push.update(state([1, 2, 3], "new"), state([1, 2, 3]))
    assert (change.parts, change.gone) == ({}, ())
    assert set(change.credentials) == {"n/p0", "n/p1", "n/p2"}


def test_what_does_not_continue_the_present_state_is_refused() -> None:
    with pytest.raises(BadMessage, match="does not continue"):
        push.apply(push.update(state([1, 2]), state([1])), state([3]))
    with pytest.raises(BadMessage, match="does not continue"):
        push.apply(push.update(state([1, 2]), state([1])), None)


@pytest.mark.parametrize("where", ["parts", "credentials"])
def test_a_changed_byte_is_noticed(where: str) -> None:
    whole = push.update(state([1]))
    entries = dict(getattr(whole, where))
    name = next(iter(entries))
    entries[name] = entries[name][:-1] + b"?"
    with pytest.raises(BadMessage, match="damaged"):
        push.apply(msgspec.structs.replace(whole, **{where: entries}), None)


def test_another_contract_is_refused_by_name() -> None:
    with pytest.raises(BadMessage, match="has contract 99, this process understands 1"):
        push.apply(msgspec.structs.replace(push.update(state([1])), contract=99), None)


@given(st.binary(max_size=200))
def test_noise_is_a_bad_message_and_nothing_else(data: bytes) -> None:
    for decode in (push.decode_update, push.decode_report):
        with contextlib.suppress(BadMessage):
            decode(data)


def test_reports_survive_their_encoding() -> None:
    state_ = State("a", "b")
    for report in (Hello(1, "0.1", state_), Running(state_), Refused(state_, "why"), Asked(0), Asked(6)):
        assert push.decode_report(push.encode(report)) == report


@pytest.mark.parametrize("size", [1, push.PIECE - 1, push.PIECE, push.PIECE + 1, 3 * push.PIECE])
def test_pieces_make_the_whole_and_the_last_one_says_so(size: int) -> None:
    found = [push.piece(message) for message in push.pieces(b"x" * size)]
    assert b"".join(data for data, _ in found) == b"x" * size
    assert [last for _, last in found] == [*[False] * (len(found) - 1), True]


def test_what_is_no_piece_is_refused() -> None:
    for message in (b"", b"\x07x"):
        with pytest.raises(BadMessage, match="not a piece"):
            push.piece(message)


def test_an_update_does_not_show_its_secrets() -> None:
    assert "secret-key" not in repr(push.update(state([1], "secret-key")))
