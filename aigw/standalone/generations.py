"""Live updates without a failed request: clusters whose content changes get a new name beside the old one.

A request keeps the route table that it began with, and the filter has translated it for the backend of that table. If
the cluster of that name were replaced meanwhile, the request would meet another provider. So: write all clusters, old
and new; wait until Envoy has them; switch the routes; drop the old clusters when nobody can hold their routes any more.

Pure; whoever runs Envoy calls `prepare`, then `settle`.
"""

import hashlib
from dataclasses import dataclass, field

from extension_server.xds import names, pool
from extension_server.xds.pool import Message
from extension_server.xds.resources import Resources, routes_of


@dataclass(slots=True)
class Generations:
    """The clusters that Envoy has, by the name that it knows them by."""

    alive: dict[str, Message] = field(default_factory=dict)
    _current: dict[str, str] = field(default_factory=dict)
    """plain name → name of the newest"""
    _content: dict[str, bytes] = field(default_factory=dict)
    """name of an alive cluster → its content under its plain name"""

    def prepare(self, wanted: Resources) -> frozenset[str]:
        """Takes over `wanted.clusters`, renames them where needed, in `wanted.routes` too.

        Afterwards `alive` holds old and new clusters. Returns the names that `settle` is to be given when the old ones
        are out of use.
        """
        before = frozenset(self.alive)
        renamed: dict[str, str] = {}
        plain_names = {cluster.name for cluster in wanted.clusters}
        for plain in [plain for plain in self._current if plain not in plain_names]:
            del self._current[plain]
        for cluster in wanted.clusters:
            plain = cluster.name
            content = pool.serialized(cluster)
            name = self._name(plain, content)
            self._content[name] = content
            self._current[plain] = renamed[plain] = name
            cluster.name = name
            if name != plain:
                if cluster.HasField("load_assignment"):
                    cluster.load_assignment.cluster_name = name
                cluster.alt_stat_name = plain
            self.alive[name] = cluster
        for configuration in wanted.routes:
            for route in routes_of(configuration):
                _rename(route, renamed)
        return before - frozenset(renamed.values())

    def copy(self) -> "Generations":
        """To go back to when Envoy refuses what `prepare` made."""
        return Generations(dict(self.alive), dict(self._current), dict(self._content))

    def settle(self, retired: frozenset[str]) -> None:
        """Drops clusters that `prepare` found out of use, unless a later configuration uses them again."""
        used = set(self._current.values())
        for name in retired - used:
            self.alive.pop(name, None)
            self._content.pop(name, None)

    def _name(self, plain: str, content: bytes) -> str:
        current = self._current.get(plain)
        if current is not None and self._content.get(current) == content:
            return current
        # Clusters that listeners refer to (log collectors, keys of JWTs, the filter process) are replaced in place: no
        # request is translated for them.
        if plain not in self.alive or names.cluster(plain) is None:
            return plain
        return names.generation(plain, hashlib.sha256(content).hexdigest()[:8])


def _rename(route: Message, renamed: dict[str, str]) -> None:
    if not route.HasField("route"):
        return
    action = route.route
    if action.cluster:
        action.cluster = renamed.get(action.cluster, action.cluster)
    for weighted in action.weighted_clusters.clusters:
        weighted.name = renamed.get(weighted.name, weighted.name)
