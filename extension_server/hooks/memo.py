"""What was made of single routes and clusters the last time. Envoy Gateway sends everything at every translation, and
almost all of it is what it was: looking bytes up costs a tenth of patching them.

Keys are the bytes as they came, but for one thing: what Envoy Gateway says in a resource's metadata of the HTTPRoute
that it comes from is a map, and Go writes the entries of a map in another order every time. An entry says for which
rule it was made, so a stale one is never used. One memo per Gateway holds what its last translation held: the request
once more, and its answer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from extension_server.compile.result import CompiledRule, ObjectRef
from extension_server.hooks.elements import name_of
from extension_server.hooks.shells import Routed
from extension_server.hooks.transition import Cluster as ClusterShown
from extension_server.hooks.transition import Shown
from extension_server.xds import names
from extension_server.xds.resources import HttpRoute

V = TypeVar("V")
_GENERATED: Final = names.GENERATED.encode()
_METADATA: Final = b"\n\renvoy-gateway\x12"
"""in front of the length of the Struct in `filter_metadata["envoy-gateway"]`"""
_ORDERS: Final = 256
"""Orders of a resource's maps that are remembered as equal; Go has about ten for those that there are."""


@dataclass(slots=True)
class Route:
    raw: bytes
    label: str
    """its name"""
    name: names.RuleName | None
    """the rule that its name tells"""
    token: str | None
    """that it demands"""
    last: bool = False
    """it looks like the last one of an HTTPRoute that was generated"""
    targets: tuple[str, ...] = ()
    """clusters that it leads to, by Envoy Gateway's names"""
    bare: Routed | None = None
    """of a last one: itself, to be completed with what all of them get"""
    rule: CompiledRule | None = None
    """that `routed` was made for"""
    routed: Routed | None = None
    """what was made of one that demands a token"""
    unsafe: bool = False
    """see `xds.shared_clusters`"""

    @property
    def http_route(self) -> HttpRoute | None:
        return self.name[:2] if self.name is not None else None


@dataclass(slots=True)
class Cluster:
    label: str
    """Envoy Gateway's name"""
    of: names.ClusterName | None
    rule: CompiledRule | None = None
    """that `patched` was made for"""
    patched: bytes = b""
    name: str = ""
    """of `patched`"""
    shown: ClusterShown | None = None
    by_eds: bool = False

    @classmethod
    def opened(cls, raw: bytes) -> "Cluster":
        label = name_of(raw)
        return cls(label, names.cluster(label))


class Table(Generic[V]):
    """Forgets what two turns have not asked for."""

    def __init__(self) -> None:
        self._now: dict[bytes, _Remembered[V]] = {}
        self._before: dict[bytes, _Remembered[V]] = {}
        self._start = self._last = _Remembered[V](b"", b"", ())

    def recall(self, raws: Iterable[bytes], make: Callable[[bytes], V]) -> list[V]:
        """For each resource what was made of the same one before, or is made now.

        Envoy Gateway sends resources in the same order every time, so each is first compared with the one that followed
        the last time.
        """
        values, last, now = [], self._last, self._now
        for raw in raws:
            found = last.next
            # `is_of`, spelled out: the way that almost all go.
            if found is not None and len(raw) == found.size and raw.startswith(found.head):
                for start, end, after in found.parts:
                    if hash(raw[start:end]) not in found.orders or not raw.startswith(after, end):
                        found = found if found.is_of(raw) else None
                        break
            else:
                found = None
            if found is None:
                found = last.next = self._find(raw, make)
            now[found.key] = found
            values.append(found.value)
            last = found
        self._last = last
        return values

    def _find(self, raw: bytes, make: Callable[[bytes], V]) -> "_Remembered[V]":
        key, parts = _apart(raw)
        found = self._now.get(key) or self._before.get(key)
        if found is None or not found.is_of(raw):
            found = _Remembered(raw, key, parts)
            found.value = make(raw)
        return found

    def turn(self) -> None:
        self._before, self._now = self._now, {}
        self._last.next = None
        self._last = self._start


class _Remembered(Generic[V]):
    """A resource in any order of its metadata."""

    __slots__ = ("_raw", "head", "key", "next", "orders", "parts", "size", "value")
    value: V

    def __init__(self, raw: bytes, key: bytes, parts: "tuple[_Part, ...]") -> None:
        self._raw = raw
        self.size = len(raw)
        self.head = raw[: parts[0].start] if parts else raw
        """up to the first metadata"""
        self.parts = parts
        self.orders: set[int] = set()
        """hashes of metadata that says the same"""
        self.key = key
        self.next: _Remembered[V] | None = None

    def is_of(self, raw: bytes) -> bool:
        if len(raw) != self.size or not raw.startswith(self.head):
            return False
        for start, end, after in self.parts:
            if not raw.startswith(after, end):
                return False
            metadata = raw[start:end]
            if hash(metadata) not in self.orders and not self._says(metadata, self._raw[start:end]):
                return False
        return True

    def _says(self, metadata: bytes, known: bytes) -> bool:
        if metadata != known:
            try:
                if _struct(metadata) != _struct(known):
                    return False
            except DecodeError:
                return False
        if len(self.orders) >= _ORDERS:
            self.orders.clear()
        self.orders.add(hash(metadata))
        return True


class _Part(NamedTuple):
    start: int
    end: int
    """of metadata, its length included"""
    after: bytes
    """what follows, up to the next"""


def _apart(raw: bytes) -> tuple[bytes, tuple[_Part, ...]]:
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
        parts.append(_Part(start, start + size, after))
    return b"".join(kept), tuple(parts)


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


@dataclass(slots=True)
class Memo:
    """Of one Gateway. `turn` after each translation."""

    routes: Table[Route] = field(default_factory=Table)
    clusters: Table[Cluster] = field(default_factory=Table)
    shown: Shown = field(default_factory=Shown)

    def turn(self) -> None:
        self.routes.turn()
        self.clusters.turn()


class Memos:
    """One per process."""

    def __init__(self) -> None:
        self._memos: dict[ObjectRef, Memo] = {}

    def of(self, gateway: ObjectRef) -> Memo:
        return self._memos.setdefault(gateway, Memo())

    def forget(self, gateway: ObjectRef) -> None:
        self._memos.pop(gateway, None)
