"""Knows a resource again that the last translation held, whatever it says of where it comes from.

Envoy Gateway sends everything at every translation, almost all of it is what it was, and in the order that it had. One
thing differs every time: in the metadata of a resource it says which HTTPRoute that comes from, that is a map, and Go
writes the entries of a map in another order each time. No patch looks at it. So a resource is known by what is around
that metadata, everybody works with a hole in its place (`holes`), and what came in it goes back in it.

Thousands of resources are compared in runs: each step goes through a run without a line of Python for any one of them.
Where a run differs its resources are compared one by one, and what they have become is a run from then on.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from extension_server.hooks import holes
from extension_server.xds import names

V = TypeVar("V")
M = TypeVar("M")
_GENERATED: Final = names.GENERATED.encode()
_METADATA: Final = b"\n\renvoy-gateway\x12"
"""in front of the length of the Struct in `filter_metadata["envoy-gateway"]`"""
_RUN: Final = 64
"""Resources of a run: enough that a step costs nothing, few enough to go through one by one when one has changed."""
_SHORT: Final = _RUN // 4
"""A run that has become as short joins what has changed before it."""


class Opened(NamedTuple):
    """A resource as it is first met."""

    hollow: bytes
    """itself, with holes for `metadata`"""
    metadata: tuple[bytes, ...]


class Table(Generic[V, M]):
    """What was made of resources, and of runs of them. What the last turn has not asked for is forgotten."""

    def __init__(self, make: Callable[[Opened], V], summary: Callable[[Sequence[V]], M]) -> None:
        """`make`: called for each resource that is not known. `summary`: for each run."""
        self._make = make
        self._summary = summary
        self._expected: list[Run[V, M]] = []
        """the last turn's, in its order"""
        self._number = self._place = 0
        """the run, and the place in it, of the resource that is expected next"""
        self._runs: list[Run[V, M]] = []
        """this turn's, so far"""
        self._by_key: dict[bytes, _Resource[V, M]] = {}
        self._turn = 0

    def recall(self, raws: Sequence[bytes]) -> "list[Run[V, M]]":
        """The resources, in their order, in runs that hold them as they came."""
        found: list[Run[V, M]] = []
        single: list[_Resource[V, M]] = []
        at = 0

        def gather() -> None:
            """Makes runs of single resources."""
            for begin in range(0, len(single), _RUN):
                resources, since = single[begin : begin + _RUN], at - len(single) + begin
                summary = self._summary([each.value for each in resources])
                found.append(Run(resources, summary, raws[since : since + len(resources)], self._turn))
            single.clear()

        while at < len(raws):
            run = self._expected[self._number] if self._number < len(self._expected) else None
            if run is not None and self._place == 0 and run.takes(raws[at : at + len(run.resources)], self._turn):
                self._number += 1
                if single and len(run.resources) <= _SHORT:
                    single += run.resources
                    at += len(run.resources)
                else:
                    gather()
                    found.append(run)
                    at += len(run.resources)
                continue
            for raw in raws[at : at + _RUN]:
                single.append(self._next(raw))
                at += 1
                if self._place == 0:
                    break
        gather()
        self._runs += found
        return found

    def turn(self) -> None:
        """The next resource is the first one of another translation."""
        taken = {*map(id, self._runs)}
        for run in self._expected:
            if id(run) not in taken:
                for each in run.resources:
                    if each.run is run:
                        self._by_key.pop(each.key, None)
        for number, run in enumerate(self._runs):
            run.number = number
        self._expected, self._runs = self._runs, []
        self._turn += 1
        self._number = self._place = 0

    def _next(self, raw: bytes) -> "_Resource[V, M]":
        run = self._expected[self._number] if self._number < len(self._expected) else None
        found = run.resources[self._place] if run is not None else None
        if found is None or not found.is_of(raw):
            found = self._find(raw)
            there = found.run
            if there is not None and self._expected[there.number : there.number + 1] == [there]:
                run, self._number, self._place = there, there.number, there.resources.index(found)
        # One that was not there before mostly takes the place of another.
        self._place += 1
        if run is None or self._place >= len(run.resources):
            self._number, self._place = self._number + 1, 0
        return found

    def _find(self, raw: bytes) -> "_Resource[V, M]":
        key, hollow, parts = _apart(raw)
        found = self._by_key.get(key)
        if found is None or not found.is_of(raw):
            metadata = tuple(raw[each.start : each.end] for each in parts)
            found = self._by_key[key] = _Resource(raw, key, parts, self._make(Opened(hollow, metadata)))
        return found


class Run(Generic[V, M]):
    """Resources that came one after the other."""

    def __init__(self, resources: "Sequence[_Resource[V, M]]", summary: M, raws: Sequence[bytes], turn: int) -> None:
        self.number = -1
        """among those of the last turn"""
        self.resources = resources
        self.summary = summary
        self.first = [0]
        """number of each resource's first metadata"""
        self._turn = turn
        """in which it was there at last"""
        self._sizes = [each.size for each in resources]
        widths, kept = [], 0
        for each in resources:
            each.run = self
            self.first.append(self.first[-1] + len(each.parts))
            end = 0
            for part in each.parts:
                widths += [kept + part.start - end, part.end - part.start]
                kept, end = 0, part.end
            kept += each.size - end
        self._cut = struct.Struct("".join(f"{width}s" for width in [*widths, kept])).unpack
        """everything → what is before, between and after the metadata, in turns with it"""
        pieces = self._cut(b"".join(raws))
        self._fixed = b"".join(pieces[::2])
        self.metadata: tuple[bytes, ...] = pieces[1::2]
        """of all resources, as they came at last"""
        self._marks = b"".join(self.metadata).count(_GENERATED)

    def takes(self, raws: Sequence[bytes], turn: int) -> bool:
        """Whether these are its resources; then it holds them as they are here. Once in a turn."""
        if turn == self._turn or [*map(len, raws)] != self._sizes:
            return False
        pieces = self._cut(b"".join(raws))
        metadata = pieces[1::2]
        if b"".join(pieces[::2]) != self._fixed or b"".join(metadata).count(_GENERATED) != self._marks:
            return False
        self._turn, self.metadata = turn, metadata
        return True


class _Part(NamedTuple):
    """One metadata of a resource."""

    start: int
    end: int
    """of the metadata, its length included"""
    after: bytes
    """what follows, up to the next"""


class _Resource(Generic[V, M]):
    """A resource with any metadata, and what was made of it."""

    __slots__ = ("_head", "key", "parts", "run", "size", "value")

    def __init__(self, raw: bytes, key: bytes, parts: Sequence[_Part], value: V) -> None:
        self.size = len(raw)
        self._head = raw[: parts[0].start] if parts else raw
        """up to the first metadata"""
        self.parts = parts
        self.key = key
        """everything but the metadata"""
        self.value = value
        self.run: Run[V, M] | None = None
        """the latest that it is in"""

    def is_of(self, raw: bytes) -> bool:
        """Whether it is this resource."""
        return (
            len(raw) == self.size
            and raw.startswith(self._head)
            and all(raw.startswith(part.after, part.end) for part in self.parts)
            and (not self.parts or _GENERATED in raw)
        )


def _apart(raw: bytes) -> tuple[bytes, bytes, Sequence[_Part]]:
    """A resource without its metadata of Envoy Gateway, with holes in its place, and where that is; only of resources
    that were generated for us."""
    if _GENERATED not in raw:
        return raw, raw, ()
    head, *pieces = raw.split(_METADATA)
    kept, hollow, parts, at = [head], [head], [], len(head)
    for number, piece in enumerate(pieces):
        start = at + len(_METADATA)
        at = start + len(piece)
        head_size, size = _sizes(piece)
        hole = holes.message(number, piece[:head_size], size)
        if not hole:
            return raw, raw, ()
        after = piece[head_size + size :] if at == len(raw) else piece[head_size + size :] + _METADATA
        kept.append(after)
        hollow += [_METADATA, hole, piece[head_size + size :]]
        parts.append(_Part(start, start + head_size + size, after))
    return b"".join(kept), b"".join(hollow), parts


def _sizes(piece: bytes) -> tuple[int, int]:
    """Of a message of up to 16 KiB that begins with its length: bytes of the length, and of the message. (0, 0) when
    that is not what it is."""
    if len(piece) < 2:
        return 0, 0
    first, second = piece[0], piece[1]
    if first < 0x80:
        head, size = 1, first
    elif second < 0x80:
        head, size = 2, first & 0x7F | second << 7
    else:
        return 0, 0
    return (head, size) if head + size <= len(piece) else (0, 0)
