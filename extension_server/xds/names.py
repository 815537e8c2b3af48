"""The names that Envoy Gateway gives to xDS resources, parsed here and nowhere else (xDS chapter §1.7, §11).

Whatever does not look exactly like a generated name is not ours: the functions return None, they never raise.
"""

import functools
import re
from typing import Final, NamedTuple

_NAME: Final = r"httproute/(?P<namespace>[^/]+)/(?P<name>[^/]+)/rule/(?P<rule>0|[1-9][0-9]*)"
_CLUSTER: Final = re.compile(_NAME + r"(?:/backend/(?P<ref>0|[1-9][0-9]*))?(?:@[0-9a-f]+)?")
_ROUTE: Final = re.compile(_NAME + r"/match/(?:0|[1-9][0-9]*)/.+", re.DOTALL)
GENERATED: Final = "ai-gateway-generated"
"""Key of the annotation that every HTTPRoute of ours has; Envoy Gateway copies it into the metadata of each route."""
INVALID_BACKEND: Final = "invalid-backend-cluster"
"""Where weight of a backendRef goes that cannot be used; a cluster of this name does not exist."""
_REMEMBERED: Final = 1 << 16
"""Names come again with every translation, each several times: looking up is ten times faster than parsing."""
_OWN_LISTENERS: Final = ("envoy-gateway-proxy-ready-", "envoy-gateway-proxy-stats-")


class RuleName(NamedTuple):
    """One rule of one HTTPRoute."""

    namespace: str
    name: str
    rule: int


class ClusterName(NamedTuple):
    """A cluster of a rule, or of one of its backendRefs (`ref`)."""

    rule: RuleName
    ref: int | None = None


@functools.lru_cache(_REMEMBERED)
def cluster(name: str) -> ClusterName | None:
    """`httproute/<ns>/<name>/rule/<i>[/backend/<j>]`, also with the `@<hash>` of a live update (`generation`)."""
    found = _CLUSTER.fullmatch(name)
    if found is None:
        return None
    return ClusterName(_rule(found), None if found["ref"] is None else int(found["ref"]))


@functools.lru_cache(_REMEMBERED)
def route(name: str) -> RuleName | None:
    """`httproute/<ns>/<name>/rule/<i>/match/<j>/<host>`"""
    found = _ROUTE.fullmatch(name)
    return None if found is None else _rule(found)


def _rule(found: re.Match[str]) -> RuleName:
    return RuleName(found["namespace"], found["name"], int(found["rule"]))


def serves_clients(listener: str) -> bool:
    """False for Envoy Gateway's own readiness and statistics listeners."""
    return not listener.startswith(_OWN_LISTENERS)


def cluster_name(rule: RuleName, ref: int | None = None) -> str:
    name = f"httproute/{rule.namespace}/{rule.name}/rule/{rule.rule}"
    return name if ref is None else f"{name}/backend/{ref}"


def region(rule: RuleName, ref: int) -> str:
    """`locality.region` of a backendRef, in any cluster."""
    return cluster_name(rule, ref)


def route_name(rule: RuleName, match: int, host: str) -> str:
    return f"httproute/{rule.namespace}/{rule.name}/rule/{rule.rule}/match/{match}/{host.replace('.', '_')}"


def plain(cluster_name: str) -> str:
    """Envoy Gateway's name of a cluster that has one of ours."""
    return cluster_name.partition("@")[0]


def generation(name: str, content_hash: str) -> str:
    """Name for a cluster whose content changed while requests may still use the old content."""
    return f"{plain(name)}@{content_hash}"
