"""Sharing out backends over several rules: nobody is lost, failover stays, everybody gets its part of the traffic."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension_server.api.gateway import HTTPBackendRef
from extension_server.compile.backends import Resolved
from extension_server.compile.shares import MAX_BACKENDS, TooManyPriorities, split
from filters.contract.config import Backend, Schema


def resolved(number: int, weight: int, priority: int) -> Resolved:
    return Resolved(
        ref=number,
        weight=weight,
        priority=priority,
        backend=Backend(name=f"b{number}", short_name="n/b", schema=Schema(name="OpenAI")),
        http_ref=HTTPBackendRef(group="gateway.envoyproxy.io", kind="Backend", name="b"),
        signs=False,
        authority="",
        endpoints=(),
    )


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 5)), min_size=1, max_size=128))
def test_every_share_can_do_what_the_whole_can(drawn: list[tuple[int, int]]) -> None:
    usable = [resolved(number, weight, priority) for number, (weight, priority) in enumerate(drawn)]
    ranks = {priority: rank for rank, priority in enumerate(sorted({each.priority for each in usable}))}
    shares = split(usable, ranks)
    assert {each.ref for share in shares for each in share.members} == {each.ref for each in usable}
    for share in shares:
        assert len(share.members) <= MAX_BACKENDS
        assert {ranks[each.priority] for each in share.members} == set(ranks.values())
        assert [each.ref for each in share.members] == sorted({each.ref for each in share.members})
    if len(usable) <= MAX_BACKENDS:
        assert len(shares) == 1

    traffic: Counter[int] = Counter()
    total = sum(share.weight for share in shares)
    for share in shares:
        first = [each for each in share.members if ranks[each.priority] == 0]
        for each in first:
            traffic[each.ref] += share.weight / total * each.weight / sum(member.weight for member in first)
    wanted = [each for each in usable if ranks[each.priority] == 0]
    if len(wanted) >= len(shares):
        for each in wanted:
            assert math.isclose(traffic[each.ref], each.weight / sum(other.weight for other in wanted), rel_tol=0.01)


def test_more_priorities_than_a_rule_has_places_are_refused() -> None:
    usable = [resolved(number, 1, number) for number in range(17)]
    with pytest.raises(TooManyPriorities, match="has 17 different priorities; at most 16 can be routed to"):
        split(usable, {number: number for number in range(17)})
