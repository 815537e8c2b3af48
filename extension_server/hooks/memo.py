"""What was made of single routes and clusters the last time. Envoy Gateway sends everything at every translation, and
almost all of it is what it was: knowing a resource again (`recall`) costs a tenth of patching it.

An entry says for which rule it was made, so a stale one is never used. One memo per Gateway holds what its last
translation held: the request once more, and its answer.
"""

from dataclasses import dataclass, field
from typing import Final

from extension_server.compile.result import CompiledRule, ObjectRef
from extension_server.hooks.elements import name_of
from extension_server.hooks.recall import Table
from extension_server.hooks.shells import Routed
from extension_server.hooks.transition import Cluster as ClusterShown
from extension_server.hooks.transition import Shown
from extension_server.xds import names
from extension_server.xds.resources import HttpRoute

_NOTHING: Final = ClusterShown(b"", "")


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
    sole: Routed | None = None
    """`routed`, when it leads to one cluster and is not unsafe"""
    http_route: HttpRoute | None = field(init=False)

    def __post_init__(self) -> None:
        self.http_route = self.name[:2] if self.name is not None else None


@dataclass(slots=True)
class Cluster:
    label: str
    """Envoy Gateway's name"""
    rule_name: names.RuleName | None
    """the rule that its name tells"""
    rule: CompiledRule | None = None
    """that it was patched for"""
    name: str = ""
    """that it has then"""
    shown: ClusterShown = _NOTHING
    by_eds: bool = False
    """all backends of its rule are in it, and come by EDS"""

    @classmethod
    def opened(cls, raw: bytes) -> "Cluster":
        label = name_of(raw)
        name = names.cluster(label)
        return cls(label, name.rule if name is not None else None)


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
