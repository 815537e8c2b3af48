"""Routes and clusters that come one after the other in every translation, and what they have become together.

While nothing changes that a run depends on, its answer is a template: what came in the holes this time is put back, and
nothing is done for any single one. The lists here tell whether it is so; lists of one class are in step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extension_server.compile.result import CompiledRule
from extension_server.hooks import holes, messages
from extension_server.hooks.holes import Template
from extension_server.hooks.items import Cluster, Route, Routed
from extension_server.hooks.recall import Run
from extension_server.hooks.transition import Cluster as ClusterShown
from extension_server.hooks.transition import Entry
from extension_server.xds import names, wire

_NO_RULE: Final = names.RuleName("", "", -1)


@dataclass(frozen=True, slots=True)
class RoutesMade:
    rules: Sequence[CompiledRule | None]
    """that the routes with `Routes.tokens` were made for"""
    clusters: Sequence[str]
    """that they lead to instead of `Routes.targets`"""
    exposed: bool
    """behind a filter of a user's that runs after ours"""
    routed: Sequence[Routed]
    """of each route"""
    entries: Mapping[str, Entry]
    """by token"""
    has_users: bool
    """there are routes of users among them"""


class Routes:
    """A run of routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes: Final = routes
        told = [(each, each.token) for each in routes if each.token is not None]
        self.tokens: Final = [token for _, token in told]
        self.distinct: Final = frozenset(self.tokens)
        self.tokens_of: Final = {each.name: token for each, token in told if each.name is not None}
        self.targets: Final = [target for each, _ in told for target in each.targets]
        self.bare: Final = frozenset(each.http_route for each in routes if each.bare is not None)
        """HTTPRoutes of bare last routes"""
        self.others: Final = [
            each.name for each in routes if each.token is None and each.bare is None and each.name is not None
        ]
        """names of the rules of other routes without a token"""
        self.made: RoutesMade | None = None
        """what they have become, while nothing stands against any of them"""
        self._rendered: tuple[RoutesMade, object, Template, Template] | None = None

    def rendered(
        self,
        run: "Run[Route, Routes]",
        made: RoutesMade,
        *,
        apart: frozenset[str],
        number: int,
        suffix: bytes,
        own: Callable[[bytes], bytes] | None,
    ) -> tuple[bytes, bytes]:
        """The entries of tokens that are not `apart`, and the routes without a token as fields of this number.
        `suffix`: appended to bare ones. `own`: makes a last route one that stands beside routes of users."""
        tail = holes.appendix(len(suffix)) or suffix
        key = (apart, number, tail, own is None)
        known = self._rendered
        if known is None or known[0] is not made or known[1] != key:
            told, untold = [], []
            for place, (route, routed) in enumerate(zip(self.routes, made.routed, strict=True)):
                first = run.first[place]
                if routed.entry is not None:
                    if route.token not in apart:
                        told.append((routed.entry.hollow, first))
                    continue
                hollow = routed.hollow
                if routed.origin == "bare":
                    hollow += tail
                elif own is not None and routed.origin == "last":
                    hollow = own(hollow)
                untold.append((wire.field(number, hollow), first))
            known = self._rendered = (made, key, Template(told), Template(untold))
        values = (*run.metadata, suffix)
        return known[2].filled(values), known[3].filled(values)


@dataclass(frozen=True, slots=True)
class ClustersMade:
    tokens: Sequence[str]
    """that the routes of the clusters' rules demand; empty for none"""
    rules: Sequence[CompiledRule | None]
    """that clusters were made for"""
    unruled: Sequence[names.RuleName]
    """names of rules that there are not"""
    template: Template
    """the clusters as fields of the answer"""
    called: Sequence[str]
    """their names in the answer"""
    shown: Mapping[str, ClusterShown]
    """by these names, those of rules"""
    new_names: Mapping[str, str]
    """Envoy Gateway's name of a cluster → ours, where they differ"""
    unmarked: Sequence[CompiledRule]
    """see `Mediated.unmarked`"""


class Clusters:
    """A run of clusters."""

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self.clusters: Final = clusters
        self.rule_names: Final = [each.name.rule if each.name is not None else _NO_RULE for each in clusters]
        self.made: ClustersMade | None = None
        """what they have become, while nothing stands against any of them"""


def template(run: Run[Cluster, Clusters], hollows: Sequence[bytes]) -> Template:
    """Clusters of a run as fields of the answer."""
    number = messages.ANSWERED["clusters"]
    return Template([(wire.field(number, each), run.first[place]) for place, each in enumerate(hollows)])
