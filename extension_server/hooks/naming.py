"""Clusters of AI rules are named by where they lead: `httproute/<ns>/<name>/rule/<i>@<hash>`.

Envoy finds a cluster by its name at the moment of routing. Under Envoy Gateway's names, a rule whose backend changes
keeps the name of its cluster, and there is a moment in which a request that was translated and signed for one provider
meets the other (docs/adr/0015). Statistics keep the plain name. A cluster whose endpoints come by EDS does not say
where it leads, and keeps its name.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from extension_server.hooks.shells import shell
from extension_server.xds import names, wire

_NAME: Final = 1
_ALT_STAT_NAME: Final = 28
_LOAD_ASSIGNMENT: Final = 33


def name_of(raw: bytes, label: str) -> str:
    """What a cluster that Envoy Gateway calls `label` is to be called. Raises DecodeError."""
    opened = shell("Cluster").FromString(raw)
    if not opened.HasField("load_assignment"):
        return label
    digest = hashlib.sha256()
    for locality in opened.load_assignment.endpoints:
        for endpoint in locality.lb_endpoints:
            host = shell("LbEndpoint").FromString(endpoint).endpoint
            # The backendRef too: with `attempt`, the endpoint of one must not pass for that of another.
            for part in (locality.locality.region.encode(), host.address, host.hostname.encode()):
                digest.update(wire.field(1, part))
    return names.generation(label, digest.hexdigest()[:8])


def renamed(raw: bytes, label: str, name: str) -> bytes:
    """Raises DecodeError."""
    if name == label:
        return raw
    old, new = wire.field(_NAME, label.encode()), wire.field(_NAME, name.encode())
    plain = b"" if shell("Cluster").FromString(raw).alt_stat_name else wire.field(_ALT_STAT_NAME, label.encode())
    # The last of several values counts, and messages that come twice are merged.
    named = new + raw.removeprefix(old) if raw.startswith(old) else raw + new
    return named + wire.field(_LOAD_ASSIGNMENT, new) + plain


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
