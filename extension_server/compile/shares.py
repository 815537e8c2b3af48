"""More backends than a rule of an HTTPRoute holds: several rules of Envoy's serve one AI rule, the filter draws one.

Each share holds backends of every priority, so failover works in each as in the whole; a priority that has fewer
members than there are shares repeats them. The share's weight is that of its first priority, so each backend gets the
traffic that its weight says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extension_server.compile.backends import Resolved

MAX_BACKENDS: Final = 16
"""of one rule of an HTTPRoute (Gateway API 1.5)"""
_PRECISION: Final = 1000
"""A weight that is shared out is divided, and weights of the contract are whole numbers."""


class TooManyPriorities(ValueError):
    """There are more different priorities than one share can hold."""


@dataclass(frozen=True, slots=True)
class Share:
    members: tuple[Resolved, ...]
    """in the order of the rule"""
    weight: int


def split(usable: Sequence[Resolved], ranks: Mapping[int, int]) -> tuple[Share, ...]:
    """As few shares as hold all of `usable`. `ranks`: priority → its place. Raises TooManyPriorities."""
    groups: list[list[Resolved]] = [[] for _ in ranks]
    for each in usable:
        groups[ranks[each.priority]].append(each)
    if len(groups) > MAX_BACKENDS:
        raise TooManyPriorities(f"has {len(groups)} different priorities; at most {MAX_BACKENDS} can be routed to")
    count = next(
        number
        for number in range(1, len(usable) + 1)
        if sum(-(-len(group) // number) for group in groups) <= MAX_BACKENDS
    )
    return tuple(_share(groups, number, count) for number in range(count))


def _share(groups: Sequence[Sequence[Resolved]], number: int, count: int) -> Share:
    members = [each for group in groups for each in _members(group, number, count)]
    weight = sum(_weight(groups[0], each, count) for each in _members(groups[0], number, count))
    return Share(tuple(sorted(members, key=lambda each: each.ref)), weight)


def _members(group: Sequence[Resolved], number: int, count: int) -> Sequence[Resolved]:
    """Of one priority, those that share `number` of `count` holds."""
    return group[number::count] if len(group) >= count else (group[number % len(group)],)


def _weight(group: Sequence[Resolved], member: Resolved, count: int) -> int:
    """Its part of the weight, when it is in several shares."""
    times = 1
    if len(group) < count:
        position = next(index for index, each in enumerate(group) if each.ref == member.ref)
        times = len(range(position, count, len(group)))
    return max(1, member.weight * _PRECISION // times)
