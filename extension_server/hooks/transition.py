"""From one configuration of a Gateway to the next without a request in between that meets halves of both.

The fallback route names the configuration that the filter serves requests with (docs/adr/0004), and each rule's route
demands the token of one state of that rule. A translation may come while some HTTPRoutes have been written and others
have not, bring a cluster that Envoy has yet to warm up, or be faster than a filter. Then the previous configuration
stays named: its routes and clusters, as they were answered last, are kept beside the new ones, and Envoy Gateway is
made to translate again soon. Pure; time is passed in. The memory is this process's alone: without it (after a start)
the newest is named at once.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

WARM: Final = 1.0
"""Seconds that Envoy has to resolve the names of a new cluster before requests are sent there."""
BUSY: Final = 1.0
"""Seconds that a filter is given to build a configuration that it has got."""
LIMIT: Final = 5.0
"""Seconds after which a new configuration is named in any case: an HTTPRoute may never be written."""
GRACE: Final = 30.0
"""Seconds that a cluster is kept for requests that are on their way to it."""

Place = tuple[str, str]
"""RouteConfiguration and virtual host"""


@dataclass(frozen=True, slots=True)
class Entry:
    """The routes with one token in one virtual host, as they were answered (`route_table.entry`)."""

    raw: bytes
    clusters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cluster:
    raw: bytes
    plain: str
    """Envoy Gateway's name"""


@dataclass(frozen=True, slots=True)
class Decision:
    config_hash: str
    """to name"""
    again: float = 0.0
    """seconds after which Envoy Gateway is to translate again; 0: nothing is due"""
    behind: bool = False
    """there are routes of a newer state than the newest known"""


@dataclass(slots=True)
class Shown:
    """What the last answer about a Gateway held."""

    config_hash: str = ""
    tokens: frozenset[str] = frozenset()
    """of the named configuration"""
    entries: Mapping[Place, Mapping[str, Entry]] = field(default_factory=dict)
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    _at: float = 0.0
    _pending: float | None = None
    """since when a newer configuration waits"""
    _warming: dict[str, float] = field(default_factory=dict)
    """cluster that takes the place of another → since when Envoy has it"""
    _kept_entries: dict[tuple[Place, str], float] = field(default_factory=dict)
    """what was kept → when a translation held it last"""
    _kept_clusters: dict[str, float] = field(default_factory=dict)

    def decide(
        self,
        config_hash: str,
        tokens: frozenset[str],
        present: frozenset[str],
        clusters: Mapping[str, Cluster],
        now: float,
        *,
        runs: bool = True,
    ) -> Decision:
        """`tokens`: of the newest configuration. `present`, `clusters`: what the translation holds. `runs`: the filters
        have the newest configuration."""
        behind = not present <= tokens and not present <= tokens | self.tokens
        if not self.config_hash or config_hash == self.config_hash:
            self._pending = None
            return Decision(config_hash, behind=behind)
        if self._pending is None:
            self._pending = now
        rest = self._pending + LIMIT - now
        # Without any token there is nothing that could be served meanwhile.
        missing = bool(present) and not (tokens - self.tokens) <= present
        cold = max(self._cold(clusters, now), 0.0 if runs else BUSY)
        if rest <= 0 or not (missing or cold > 0):
            self._pending = None
            return Decision(config_hash, behind=behind)
        return Decision(self.config_hash, again=rest if missing else min(cold, rest), behind=behind)

    def _cold(self, clusters: Mapping[str, Cluster], now: float) -> float:
        """Seconds until every cluster that takes the place of another can be used."""
        waits = [since + WARM - now for name, since in self._warming.items() if name in clusters]
        if self._replacing(clusters):
            waits.append(WARM)
        return max(waits, default=0.0)

    def _replacing(self, clusters: Mapping[str, Cluster]) -> list[str]:
        """New clusters that take the place of others."""
        new = clusters.keys() - self.clusters.keys()
        if not new:
            return []
        plain = {each.plain for each in self.clusters.values()}
        return [name for name in sorted(new) if clusters[name].plain in plain]

    def kept_entries(
        self, place: Place, tokens: frozenset[str], present: Collection[str], now: float
    ) -> dict[str, Entry]:
        """Routes of the last answer that the named configuration (with `tokens`) needs and the translation lacks."""
        return {
            token: entry
            for token, entry in self.entries.get(place, {}).items()
            if token not in present
            and token in tokens
            and now - self._kept_entries.get((place, token), self._at) <= LIMIT
        }

    def kept_clusters(self, needed: Collection[str], present: Collection[str], now: float) -> dict[str, Cluster]:
        """Clusters of the last answer that kept routes lead to, or requests on their way."""
        return {
            name: each
            for name, each in self.clusters.items()
            if name not in present and (name in needed or now - self._kept_clusters.get(name, self._at) <= GRACE)
        }

    def after(
        self,
        decision: Decision,
        tokens: frozenset[str],
        entries: Mapping[Place, Mapping[str, Entry]],
        kept_entries: Mapping[Place, Mapping[str, Entry]],
        clusters: Mapping[str, Cluster],
        kept_clusters: Mapping[str, Cluster],
        now: float,
    ) -> None:
        """Remembers an answer. `tokens`: of the newest configuration."""
        if decision.config_hash != self.config_hash:
            self.config_hash, self.tokens = decision.config_hash, tokens
        self._warming = {
            **{name: since for name, since in self._warming.items() if now - since < WARM},
            **dict.fromkeys(self._replacing(clusters), now),
        }
        self._kept_entries = {
            (place, token): self._kept_entries.get((place, token), self._at)
            for place, found in kept_entries.items()
            for token in found
        }
        self._kept_clusters = {name: self._kept_clusters.get(name, self._at) for name in kept_clusters}
        self.entries = (
            {place: {**found, **kept_entries.get(place, {})} for place, found in entries.items()}
            if self._kept_entries
            else entries
        )
        self.clusters = {**kept_clusters, **clusters} if kept_clusters else clusters
        self._at = now
