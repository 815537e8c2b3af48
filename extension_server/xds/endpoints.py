"""AI clusters: tells which backend each endpoint is, and in which order backends are tried.

Localities are paired with backendRefs by their region, never by their position (Envoy Gateway leaves out backendRefs
of weight 0). With zone preference localities have no region; such a cluster is one backendRef's alone and says so in
its name.
"""

from typing import Final

from extension_server.compile.result import CompiledBackend, CompiledRule
from extension_server.xds import names
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import STATIC_METADATA_NAMESPACE

BACKEND_KEY: Final = "per_route_rule_backend_name"
HOST_KEY: Final = "upstream_host"


def patch(resources: Resources, mediation: Mediation) -> None:
    for cluster in resources.clusters:
        name = names.cluster(cluster.name)
        rule = mediation.rule(name.rule) if name is not None else None
        if name is None or rule is None:
            continue
        if cluster.HasField("load_assignment") and not alone(rule):
            mark(cluster.load_assignment, rule, name)
        elif (backend := only_backend(rule, name)) is not None:
            mark_cluster(cluster, backend.name)


def alone(rule: CompiledRule) -> bool:
    """Whether the cluster's own mark says it all: nobody chooses among its endpoints."""
    return rule.plan == "single" and len(rule.backends) == 1 and rule.backends[0].priority == 0


def mark(assignment: Message, rule: CompiledRule, name: names.ClusterName) -> None:
    """Marks the endpoints of a ClusterLoadAssignment, in a cluster or by EDS. Those of backends that cannot be told
    stay unmarked: the filter refuses attempts there."""
    for locality in assignment.endpoints:
        backend = backend_of(rule, name, locality.locality.region)
        if backend is not None:
            locality.priority = backend.priority
            for endpoint in locality.lb_endpoints:
                mark_endpoint(endpoint, backend.name, backend.host)


def mark_endpoint(endpoint: Message, backend: str, host: str) -> None:
    fields = endpoint.metadata.filter_metadata[STATIC_METADATA_NAMESPACE].fields
    fields[BACKEND_KEY].string_value = backend
    if host:
        fields[HOST_KEY].string_value = host


def mark_cluster(cluster: Message, backend: str) -> None:
    """For a cluster of one backend, or whose endpoints come by EDS: its own mark is all that can be set here."""
    cluster.metadata.filter_metadata[STATIC_METADATA_NAMESPACE].fields[BACKEND_KEY].string_value = backend


def backend_of(rule: CompiledRule, name: names.ClusterName, region: str) -> CompiledBackend | None:
    """The backend behind a locality; None when that cannot be told."""
    of_region = names.cluster(region)
    if of_region is not None and of_region.rule == name.rule and of_region.ref is not None:
        return next((backend for backend in rule.backends if backend.ref == of_region.ref), None)
    return only_backend(rule, name)


def only_backend(rule: CompiledRule, name: names.ClusterName) -> CompiledBackend | None:
    """The backend of a cluster that serves one; None when that cannot be told."""
    if name.ref is not None:
        return next((backend for backend in rule.backends if backend.ref == name.ref), None)
    return rule.backends[0] if len(rule.backends) == 1 else None
