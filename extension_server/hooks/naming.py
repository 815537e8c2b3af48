"""Clusters of AI rules are named by where they lead and what happens there: `httproute/<ns>/<name>/rule/<i>@<hash>`.

Envoy finds a cluster by its name at the moment of routing, and keeps the old one until what took its place is warm.
Under Envoy Gateway's names, a rule whose backend changes keeps the name of its cluster, and there is a moment in which
a request that was translated and signed for one provider meets the other; when its plan changes, requests that are to
be signed for each attempt would go out as they came (docs/adr/0015). Statistics keep the plain name. A cluster whose
endpoints come by EDS does not say where it leads: its name tells the plan alone.
"""

import functools
import hashlib
from collections.abc import Mapping
from typing import Final

from extension_server.hooks.shells import shell
from extension_server.xds import names, pool, wire
from filters.contract.config import Plan

EDS_WAIT: Final = 3.0
"""Seconds that Envoy waits for the endpoints of such a cluster under a new name; then it uses those that it has."""

_ATTEMPT: Final = hashlib.sha256(b"attempt").hexdigest()[:8]
_REMEMBERED: Final = 1 << 14
_NAME: Final = 1
_ALT_STAT_NAME: Final = 28
_LOAD_ASSIGNMENT: Final = 33


def name_of(raw: bytes, label: str, plan: Plan) -> str:
    """What a cluster that Envoy Gateway calls `label` is to be called. Raises DecodeError."""
    opened = shell("Cluster").FromString(raw)
    if not opened.HasField("load_assignment"):
        named = plan == "attempt" and opened.HasField("eds_cluster_config")
        return names.generation(label, _ATTEMPT) if named else label
    digest = hashlib.sha256()
    for locality in opened.load_assignment.endpoints:
        for endpoint in locality.lb_endpoints:
            host = shell("LbEndpoint").FromString(endpoint).endpoint
            # The backendRef too: with `attempt`, the endpoint of one must not pass for that of another.
            for part in (locality.locality.region.encode(), host.address, host.hostname.encode()):
                digest.update(wire.field(1, part))
    if plan == "attempt":
        digest.update(_ATTEMPT.encode())
    return names.generation(label, digest.hexdigest()[:8])


def renamed(raw: bytes, label: str, name: str) -> bytes:
    """Raises DecodeError."""
    if name == label:
        return raw
    opened = shell("Cluster").FromString(raw)
    old, new = wire.field(_NAME, label.encode()), wire.field(_NAME, name.encode())
    plain = b"" if opened.alt_stat_name else wire.field(_ALT_STAT_NAME, label.encode())
    # The last of several values counts, and messages that come twice are merged.
    named = new + raw.removeprefix(old) if raw.startswith(old) else raw + new
    if opened.HasField("load_assignment"):
        return named + wire.field(_LOAD_ASSIGNMENT, new) + plain
    asked = opened.eds_cluster_config.service_name or label
    return named + plain + _eds(str(asked))


@functools.lru_cache(_REMEMBERED)
def _eds(asked: str) -> bytes:
    """The endpoints are those of another name. Envoy may have them already, and is then told nothing new."""
    timeout = {"seconds": int(EDS_WAIT)}
    config = {"service_name": asked, "eds_config": {"initial_fetch_timeout": timeout}}
    return pool.serialized(pool.message(pool.CLUSTER, eds_cluster_config=config))


def targets(route: bytes) -> tuple[str, ...]:
    """The clusters that a route leads to. Raises DecodeError."""
    action = shell("Route").FromString(route).route
    found = [action.cluster, *(each.name for each in action.weighted_clusters.clusters)]
    return tuple(str(each) for each in found if each)


def led(route: bytes, new_names: Mapping[str, str]) -> bytes:
    """The route, leading to clusters by their new names. Raises DecodeError."""
    opened = shell("Route").FromString(route)
    action = opened.route
    if action.cluster in new_names:
        action.cluster = new_names[action.cluster]
    for each in action.weighted_clusters.clusters:
        each.name = new_names.get(each.name, each.name)
    return bytes(opened.SerializeToString(deterministic=True))
