"""Knows a resource again that the last translation held, whatever order Go has given to its maps.

Envoy Gateway sends everything at every translation, almost all of it is what it was, and in the order that it had. Keys
are the bytes as they came, but for one thing: what Envoy Gateway says in a resource's metadata of the HTTPRoute that it
comes from is a map, and Go writes the entries of a map in another order every time. So a resource is compared by what
is around that metadata, and by the orders of it that were found to say the same.

Thousands of resources are compared in runs: each step goes through a run without a line of Python for any one of them.
Where a run differs its resources are compared one by one, and what they have become is a run from then on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import getitem, not_
from typing import Final, Generic, TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from extension_server.xds import names

V = TypeVar("V")
_GENERATED: Final = names.GENERATED.encode()
_METADATA: Final = b"\n\renvoy-gateway\x12"
"""in front of the length of the Struct in `filter_metadata["envoy-gateway"]`"""
_ORDERS: Final = 256
"""Orders of a resource's maps that are remembered as equal; Go has about ten for those that there are."""
_RUN: Final = 64
"""Resources of a run: enough that a step costs nothing, few enough to go through one by one when one has changed."""
_SHORT: Final = _RUN // 4
"""A run that has become as short joins its neighbours."""


class Table(Generic[V]):
    """What was made of resources. What the last turn has not asked for is forgotten."""

    def __init__(self) -> None:
        self._expected: list[_Run[V]] = []
        """the last turn's, in its order"""
        self._number = self._place = 0
        """the run, and the place in it, of the resource that is expected next"""
        self._runs: list[_Run[V]] = []
        """this turn's, so far"""
        self._single: list[_Resource[V]] = []
        """this turn's after these"""
        self._by_key: dict[bytes, _Resource[V]] | None = None
        """the last turn's and this one's; made when something is not what is expected"""

    def recall(self, raws: Sequence[bytes], make: Callable[[bytes], V]) -> list[V]:
        """For each resource what was made of the same one before, or is made now."""
        values: list[V] = []
        while (begin := len(values)) < len(raws):
            run = self._run()
            if run is not None and self._place == 0 and run.is_of(raws[begin : begin + len(run.resources)]):
                self._take(run)
                values += run.values
                continue
            for raw in raws[begin : begin + _RUN]:
                values.append(self._next(raw, make).value)
                if self._place == 0:
                    break
        return values

    def turn(self) -> None:
        """The next resource is the first one of another translation."""
        self._gather()
        for number, run in enumerate(self._runs):
            run.number = number
        self._expected, self._runs = self._runs, []
        self._number = self._place = 0
        self._by_key = None

    def _run(self) -> "_Run[V] | None":
        return self._expected[self._number] if self._number < len(self._expected) else None

    def _take(self, run: "_Run[V]") -> None:
        """A run is what it was."""
        if len(run.resources) <= _SHORT:
            self._single += run.resources
        else:
            self._gather()
            self._runs.append(run)
        self._number += 1

    def _next(self, raw: bytes, make: Callable[[bytes], V]) -> "_Resource[V]":
        run = self._run()
        found = run.resources[self._place] if run is not None else None
        if found is None or not found.is_of(raw):
            found = self._find(raw, make)
            if (there := found.run) is not None and self._expected[there.number : there.number + 1] == [there]:
                run, self._number, self._place = there, there.number, there.resources.index(found)
        self._single.append(found)
        # One that was not there before mostly takes the place of another.
        self._place += 1
        if run is None or self._place >= len(run.resources):
            self._number, self._place = self._number + 1, 0
        return found

    def _find(self, raw: bytes, make: Callable[[bytes], V]) -> "_Resource[V]":
        if self._by_key is None:
            self._by_key = {each.key: each for run in (*self._expected, *self._runs) for each in run.resources}
            self._by_key |= {each.key: each for each in self._single}
        key, parts = _apart(raw)
        found = self._by_key.get(key)
        if found is None or not found.is_of(raw):
            found = self._by_key[key] = _Resource(raw, key, parts, make(raw))
        return found

    def _gather(self) -> None:
        """Makes runs of single resources."""
        for begin in range(0, len(self._single), _RUN):
            self._runs.append(_Run(self._single[begin : begin + _RUN]))
        self._single = []


@dataclass(slots=True)
class _Part:
    """One metadata of a resource."""

    start: int
    end: int
    """of the metadata, its length included"""
    metadata: bytes
    after: bytes
    """what follows, up to the next"""
    orders: set[int] = field(default_factory=set)
    """hashes of what says the same"""

    def says(self, raw: bytes) -> bool:
        """Whether a resource's metadata here says the same."""
        metadata = raw[self.start : self.end]
        if hash(metadata) in self.orders:
            return True
        try:
            if _struct(metadata) != _struct(self.metadata):
                return False
        except DecodeError:
            return False
        if len(self.orders) >= _ORDERS:
            self.orders.clear()
        self.orders.add(hash(metadata))
        return True


class _Resource(Generic[V]):
    """A resource with its metadata in any order, and what was made of it."""

    __slots__ = ("head", "key", "parts", "run", "size", "value")

    def __init__(self, raw: bytes, key: bytes, parts: Sequence[_Part], value: V) -> None:
        self.size = len(raw)
        self.head = raw[: parts[0].start] if parts else raw
        """up to the first metadata"""
        self.parts = parts
        self.key = key
        """the same for every order"""
        self.value = value
        self.run: _Run[V] | None = None
        """the latest that it is in"""

    def is_of(self, raw: bytes) -> bool:
        """Whether it is this resource."""
        return (
            len(raw) == self.size
            and raw.startswith(self.head)
            and all(raw.startswith(part.after, part.end) and part.says(raw) for part in self.parts)
        )


class _Run(Generic[V]):
    """Resources that came one after the other, and their attributes as columns."""

    def __init__(self, resources: Sequence[_Resource[V]]) -> None:
        self.number = -1
        """among those of the last turn"""
        self.resources = resources
        self.values = [each.value for each in resources]
        self._sizes = [each.size for each in resources]
        self._heads = [each.head for each in resources]
        self._owners = [owner for owner, each in enumerate(resources) for _ in each.parts]
        self._parts = [part for each in resources for part in each.parts]
        self._metadata = [slice(each.start, each.end) for each in self._parts]
        self._orders = [each.orders for each in self._parts]
        self._ends = [each.end for each in self._parts]
        self._after = [each.after for each in self._parts]
        for each in resources:
            each.run = self

    def is_of(self, raws: Sequence[bytes]) -> bool:
        """Whether these are its resources."""
        if [*map(len, raws)] != self._sizes or not all(map(bytes.startswith, raws, self._heads)):
            return False
        owners = [*map(raws.__getitem__, self._owners)]
        if not all(map(bytes.startswith, owners, self._after, self._ends)):
            return False
        known = [*map(set.__contains__, self._orders, map(hash, map(getitem, owners, self._metadata)))]
        return all(known) or all(
            part.says(raw) for raw, part in compress(zip(owners, self._parts, strict=True), map(not_, known))
        )


def _apart(raw: bytes) -> tuple[bytes, Sequence[_Part]]:
    """A resource without its metadata of Envoy Gateway, and where that is; only of resources that were generated for
    us: others go back bit for bit."""
    if _GENERATED not in raw:
        return raw, ()
    head, *pieces = raw.split(_METADATA)
    kept, parts, at = [head], [], len(head)
    for piece in pieces:
        size = _size(piece)
        if size == 0:
            return raw, ()
        start = at + len(_METADATA)
        at = start + len(piece)
        after = piece[size:] if at == len(raw) else piece[size:] + _METADATA
        kept.append(after)
        parts.append(_Part(start, start + size, piece[:size], after))
    return b"".join(kept), parts


def _size(piece: bytes) -> int:
    """Of a field of up to 16 KiB that begins with its length, length included; 0 when that is not what it is."""
    if len(piece) < 2:
        return 0
    first, second = piece[0], piece[1]
    if first < 0x80:
        size = first + 1
    elif second < 0x80:
        size = (first & 0x7F | second << 7) + 2
    else:
        return 0
    return size if size <= len(piece) else 0


def _struct(metadata: bytes) -> Struct:
    """Raises DecodeError."""
    return Struct.FromString(metadata[1 if metadata[0] < 0x80 else 2 :])
