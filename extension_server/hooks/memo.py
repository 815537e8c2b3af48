"""What was made of single routes and clusters the last time. Envoy Gateway sends everything at every translation, and
almost all of it is what it was: looking bytes up costs a tenth of patching them.

Keys are the bytes as they came; an entry says for which rule it was made, so a stale one is never used. One memo per
Gateway holds what its last translation held: the request once more, and its answer.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from extension_server.compile.result import CompiledRule, ObjectRef
from extension_server.hooks.shells import Routed
from extension_server.hooks.transition import Shown

V = TypeVar("V")


@dataclass(slots=True)
class Route:
    raw: bytes
    label: str
    """its name"""
    token: str | None
    """that it demands"""
    targets: tuple[str, ...] = ()
    """clusters that it leads to, by Envoy Gateway's names"""
    rule: CompiledRule | None = None
    """that `routed` was made for; None: a fallback, or nothing was made yet"""
    addition: bytes | None = None
    """of a fallback: what `routed` has besides"""
    routed: Routed | None = None
    """what was made of it"""
    unsafe: bool = False
    """see `xds.shared_clusters`"""


@dataclass(slots=True)
class Cluster:
    label: str
    rule: CompiledRule | None = None
    patched: bytes = b""
    name: str = ""
    """of `patched`"""
    by_eds: bool = False


class Table(Generic[V]):
    """Forgets what two turns have not asked for."""

    def __init__(self) -> None:
        self._now: dict[bytes, V] = {}
        self._before: dict[bytes, V] = {}

    def get(self, raw: bytes) -> V | None:
        found = self._before.get(raw)
        if found is None:
            return self._now.get(raw)
        self._now[raw] = found
        return found

    def put(self, raw: bytes, value: V) -> V:
        self._now[raw] = value
        return value

    def turn(self) -> None:
        self._before, self._now = self._now, {}


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
