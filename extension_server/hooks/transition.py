"""From one configuration of a Gateway to the next without a request in between that meets halves of both.

The fallback route names the configuration that the filter serves requests with (docs/adr/0004), and each rule's route
demands the token of one state of that rule. A translation may come while some HTTPRoutes have been written and others
have not, bring a cluster that Envoy has yet to warm up, or be faster than a filter. Then the previous configuration
stays named: its routes and clusters, as they were answered last, are kept beside the new ones, and Envoy Gateway is
made to translate again soon. When changes come faster than that, translations are always behind the newest: the named
one then moves on to the newest of those that are there as a whole. Pure; time is passed in. The memory is this
process's alone. Without it (after a start) the newest is named at once, unless the routes are of another state: what
filters and Envoy then have is not known here, and better than halves of both.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from extension_server.compile.result import CompiledRule
from extension_server.hooks import holes
from extension_server.xds.resources import HttpRoute

WARM: Final = 1.0
"""Seconds that Envoy has to resolve the names of a new cluster before requests are sent there."""
BUSY: Final = 1.0
"""Seconds that a filter is given to build a configuration that it has got."""
LIMIT: Final = 5.0
"""Seconds after which the configuration that lacks least is named when none is there as a whole: an HTTPRoute may never
be written. For as long, a route is kept that translations do not hold any more."""
EARLY: Final = 15.0
"""Seconds after a start for which nothing is answered to routes of another state than the newest. HTTPRoutes are not
changed before filters had the time to come back (`controller.writer`)."""
GRACE: Final = 30.0
"""Seconds that a cluster is kept for requests that are on their way to it."""

Place = tuple[str, str]
"""RouteConfiguration and virtual host"""


@dataclass(frozen=True, slots=True)
class Entry:
    """The routes with one token in one virtual host, as they were answered (`route_table.entry`)."""

    hollow: bytes
    clusters: tuple[str, ...]
    """that they lead to"""
    metadata: tuple[bytes, ...] = ()
    """that was in the holes"""

    @property
    def raw(self) -> bytes:
        return holes.filled(self.hollow, self.metadata)


@dataclass(frozen=True, slots=True)
class Cluster:
    """As it was answered."""

    hollow: bytes
    plain: str
    """Envoy Gateway's name"""
    metadata: tuple[bytes, ...] = ()
    """that was in the holes"""
    warm: float = WARM
    """seconds until it can be used, under a name that is new to Envoy"""

    @property
    def raw(self) -> bytes:
        return holes.filled(self.hollow, self.metadata)


@dataclass(frozen=True, slots=True)
class State:
    """A configuration of a Gateway: its hash, and the tokens of its rules."""

    config_hash: str
    tokens: frozenset[str]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A configuration that another has followed, as what differs between the two."""

    config_hash: str
    gone: Mapping[str, CompiledRule]
    """token → rule, of those that it has and its follower has not"""
    came: frozenset[str]
    """tokens that its follower has and it has not"""
    http_routes: frozenset[HttpRoute]
    """that it has and its follower has not"""


@dataclass(frozen=True, slots=True)
class Decision:
    named: State
    wanted: tuple[frozenset[str], ...]
    """tokens whose routes are to be kept when a translation lacks them"""
    again: float = 0.0
    """seconds after which Envoy Gateway is to translate again; 0: nothing is due"""
    behind: bool = False
    """there are routes of a newer state than the newest known"""
    early: bool = False
    """nothing is to be answered yet"""


@dataclass(slots=True)
class Shown:
    """What the last answer about a Gateway held."""

    named: State | None = None
    entries: Mapping[Place, Mapping[str, Entry]] = field(default_factory=dict)
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    _present: frozenset[str] = frozenset()
    """tokens of its translation"""
    _pending: float | None = None
    """since when newer configurations wait and none can be named"""
    _usable: dict[str, float] = field(default_factory=dict)
    """hash of a waiting configuration that is there as a whole → when Envoy can serve it"""
    _warming: dict[str, float] = field(default_factory=dict)
    """cluster that takes the place of another → when it can be used"""
    _kept_entries: dict[tuple[Place, str], float] = field(default_factory=dict)
    """what was kept → since when translations lack it"""
    _kept_clusters: dict[str, float] = field(default_factory=dict)

    def decide(
        self,
        newest: State,
        earlier: Sequence[Earlier],
        present: frozenset[str],
        clusters: Mapping[str, Cluster],
        now: float,
        *,
        runs: Callable[[str], bool],
    ) -> Decision:
        """`earlier`: what was the newest before, latest first. `present`, `clusters`: what the translation holds.
        `runs`: whether the filters have the configuration with a hash."""
        named = self.named
        if named is None and not present <= newest.tokens:
            self._pending = now if self._pending is None else self._pending
            if now - self._pending < EARLY:
                return Decision(newest, (), behind=True, early=True)
        # Without any token there is nothing that could be served meanwhile.
        if named is None or newest.config_hash == named.config_hash or not present:
            self._usable, self._pending = {}, None
            known = newest.tokens if named is None else newest.tokens | named.tokens
            return Decision(newest, (newest.tokens,), behind=not present <= known)
        waiting = [*_since(named.config_hash, earlier)]
        recent = frozenset[str]().union(*(each.gone for each in waiting))
        held = present | self._held(now)
        lacks = dict(_lacking(newest, waiting, named.tokens | held))
        if self._pending is None:
            self._pending = now
        rest = self._pending + LIMIT - now
        usable_at = now + self._cold(clusters, now)
        self._usable = {each: self._usable.get(each, usable_at) for each, missing in lacks.items() if not missing}
        behind = not present <= newest.tokens | named.tokens | recent
        waits = {each: max(at - now, 0.0 if rest <= 0 or runs(each) else BUSY) for each, at in self._usable.items()}
        chosen = next((each for each, wait in waits.items() if wait <= 0), "")
        if not waits and rest <= 0:
            chosen = min(lacks, key=lambda each: len(lacks[each]))
        if not chosen:
            again = min(waits.values(), default=rest)
            return Decision(named, (named.tokens, newest.tokens, recent), again=again, behind=behind)
        newer = dict(takewhile(lambda each: each[0] != chosen, waits.items()))
        now_named = _state(chosen, newest, waiting)
        if chosen == newest.config_hash:
            self._pending = None
            return Decision(now_named, (newest.tokens,), behind=behind)
        self._pending = now
        again = min(newer.values(), default=LIMIT)
        return Decision(now_named, (now_named.tokens, newest.tokens, recent), again=again, behind=behind)

    def _held(self, now: float) -> frozenset[str]:
        """Tokens whose routes the last answer held and this one may keep."""
        expired = {token for (_, token), since in self._kept_entries.items() if now - since > LIMIT}
        kept = {token for _, token in self._kept_entries} - expired
        return self._present | kept

    def _cold(self, clusters: Mapping[str, Cluster], now: float) -> float:
        """Seconds until every cluster that takes the place of another can be used."""
        waits = [at - now for at in self._warming.values()]
        waits += [clusters[name].warm for name in self._replacing(clusters)]
        return max(0.0, *waits) if waits else 0.0

    def _replacing(self, clusters: Mapping[str, Cluster]) -> list[str]:
        """New clusters that take the place of others."""
        new = clusters.keys() - self.clusters.keys()
        if not new:
            return []
        plain = {each.plain for each in self.clusters.values()}
        return [name for name in sorted(new) if clusters[name].plain in plain]

    def kept_entries(
        self, place: Place, wanted: Sequence[frozenset[str]], present: Collection[str], now: float
    ) -> dict[str, Entry]:
        """Routes of the last answer with one of the `wanted` tokens that the translation lacks."""
        return {
            token: entry
            for token, entry in self.entries.get(place, {}).items()
            if token not in present
            and now - self._kept_entries.get((place, token), now) <= LIMIT
            and any(token in tokens for tokens in wanted)
        }

    def kept_clusters(self, needed: Collection[str], present: Collection[str], now: float) -> dict[str, Cluster]:
        """Clusters of the last answer that kept routes lead to, or requests on their way."""
        return {
            name: each
            for name, each in self.clusters.items()
            if name not in present and (name in needed or now - self._kept_clusters.get(name, now) <= GRACE)
        }

    def after(
        self,
        decision: Decision,
        present: frozenset[str],
        entries: Mapping[Place, Mapping[str, Entry]],
        kept_entries: Mapping[Place, Mapping[str, Entry]],
        clusters: Mapping[str, Cluster],
        kept_clusters: Mapping[str, Cluster],
        now: float,
    ) -> None:
        """Remembers an answer."""
        self.named = decision.named
        self._present = present
        self._warming = {
            **{name: at for name, at in self._warming.items() if now < at},
            **{name: now + clusters[name].warm for name in self._replacing(clusters)},
        }
        self._kept_entries = {
            (place, token): self._kept_entries.get((place, token), now)
            for place, found in kept_entries.items()
            for token in found
        }
        self._kept_clusters = {name: self._kept_clusters.get(name, now) for name in kept_clusters}
        self.entries = (
            {place: {**found, **kept_entries.get(place, {})} for place, found in entries.items()}
            if self._kept_entries
            else entries
        )
        self.clusters = {**kept_clusters, **clusters} if kept_clusters else clusters


def _since(named: str, earlier: Sequence[Earlier]) -> Iterator[Earlier]:
    """Those that have come after the named one."""
    for each in earlier:
        if each.config_hash == named:
            return
        yield each


def _lacking(newest: State, waiting: Sequence[Earlier], served: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Hash of each configuration that waits, newest first, and the tokens that cannot be served for it."""
    missing = newest.tokens - served
    yield newest.config_hash, missing
    for each in waiting:
        missing = (missing - each.came) | (each.gone.keys() - served)
        yield each.config_hash, missing


def _state(config_hash: str, newest: State, waiting: Sequence[Earlier]) -> State:
    tokens = newest.tokens
    if config_hash == newest.config_hash:
        return newest
    for each in waiting:
        tokens = (tokens - each.came) | each.gone.keys()
        if each.config_hash == config_hash:
            break
    return State(config_hash, tokens)
