"""Single routes and clusters of a translation: what was found in them, and what was made of them for a rule.

Bytes have holes where Envoy Gateway's metadata was (`recall`). An item says for which rule it was made, so that a stale
one is never used.
"""

from dataclasses import dataclass
from typing import Final, Literal

from google.protobuf.message import DecodeError

from extension_server.compile.result import CompiledRule
from extension_server.hooks import naming, splicing
from extension_server.hooks.elements import name_of
from extension_server.hooks.recall import Opened
from extension_server.hooks.shells import shell
from extension_server.hooks.transition import Cluster as ClusterShown
from extension_server.hooks.transition import Entry
from extension_server.xds import names, route_table
from extension_server.xds.resources import HttpRoute
from filters.contract.config import STATIC_METADATA_NAMESPACE

_MARKER: Final = names.GENERATED.encode()
_PATCHED: Final = STATIC_METADATA_NAMESPACE.encode()
_NOTHING: Final = ClusterShown(b"", "")


Origin = Literal["rule", "last", "bare", "user"]
"""of a route: an AI rule, a generated last rule, one that lacks its addition, a rule of a user's own"""


@dataclass(frozen=True, slots=True)
class Routed:
    """What a route has become."""

    hollow: bytes
    clusters: tuple[str, ...] = ()
    """that it leads to"""
    entry: Entry | None = None
    """of the route alone, when it demands a token"""
    origin: Origin = "rule"


@dataclass(slots=True)
class Route:
    hollow: bytes
    metadata: tuple[bytes, ...] = ()
    """that its holes were filled with when it was first met"""
    label: str = ""
    """its name"""
    name: names.RuleName | None = None
    """the rule that its name tells"""
    token: str | None = None
    """that it demands"""
    targets: tuple[str, ...] = ()
    """clusters that it leads to, by Envoy Gateway's names"""
    last: bool = False
    """it looks like the last one of an HTTPRoute that was generated"""
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

    @classmethod
    def opened(cls, opened: Opened) -> "Route":
        raw = opened.hollow
        try:
            label = str(shell("Route").FromString(raw).name)
            token, targets = route_table.token_of(raw), naming.targets(raw)
        except DecodeError:
            # No Envoy takes it.
            return cls(*opened)
        # A route of a rule demands a token, leads to clusters while its backends can be used, or was patched before.
        generated = _MARKER in raw or any(_MARKER in each for each in opened.metadata)
        last = token is None and not targets and generated and _PATCHED not in raw
        bare = Routed(raw, origin="bare") if last and splicing.takes_addition(raw) else None
        return cls(*opened, label, names.route(label), token, targets, last, bare)

    def become(self, hollow: bytes, clusters: tuple[str, ...] = (), origin: Origin = "rule") -> Routed:
        """Itself, as it is to be answered."""
        if self.token is None:
            return Routed(hollow, clusters, None, origin)
        return Routed(hollow, clusters, Entry(route_table.entry(self.token, [hollow]), clusters, self.metadata), origin)


@dataclass(slots=True)
class Cluster:
    hollow: bytes
    metadata: tuple[bytes, ...]
    """that its holes were filled with when it was first met"""
    label: str
    """Envoy Gateway's name"""
    name: names.ClusterName | None
    """what that tells"""
    rule: CompiledRule | None = None
    """that `patched` was made for"""
    patched: bytes = b""
    """with holes"""
    called: str = ""
    """its name then"""
    shown: ClusterShown = _NOTHING
    by_eds: bool = False
    """all backends of its rule are in it, and come by EDS"""

    @classmethod
    def opened(cls, opened: Opened) -> "Cluster":
        label = name_of(opened.hollow)
        return cls(*opened, label, names.cluster(label))
