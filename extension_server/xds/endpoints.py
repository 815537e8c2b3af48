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
        if cluster.HasField("load_assignment"):
            mark(cluster.load_assignment, rule, name)
        elif (backend := _only_backend(rule, name)) is not None:
            # Endpoints come by EDS, where the cluster's own mark is all that can be set here.
            cluster.metadata.filter_metadata[STATIC_METADATA_NAMESPACE].fields[BACKEND_KEY].string_value = backend.name


def mark(assignment: Message, rule: CompiledRule, name: names.ClusterName) -> None:
    """Marks the endpoints of a ClusterLoadAssignment, in a cluster or by EDS. Those of backends that cannot be told
    stay unmarked: the filter refuses attempts there."""
    for locality in assignment.endpoints:
        backend = _backend(rule, name, locality)
        if backend is not None:
            _mark(locality, backend)


def _backend(rule: CompiledRule, name: names.ClusterName, locality: Message) -> CompiledBackend | None:
    of_region = names.cluster(locality.locality.region)
    if of_region is not None and of_region.rule == name.rule and of_region.ref is not None:
        return next((backend for backend in rule.backends if backend.ref == of_region.ref), None)
    return _only_backend(rule, name)


def _only_backend(rule: CompiledRule, name: names.ClusterName) -> CompiledBackend | None:
    """The backend of a cluster that serves one; None when that cannot be told."""
    if name.ref is not None:
        return next((backend for backend in rule.backends if backend.ref == name.ref), None)
    return rule.backends[0] if len(rule.backends) == 1 else None


def _mark(locality: Message, backend: CompiledBackend) -> None:
    locality.priority = backend.priority
    for endpoint in locality.lb_endpoints:
        fields = endpoint.metadata.filter_metadata[STATIC_METADATA_NAMESPACE].fields
        fields[BACKEND_KEY].string_value = backend.name
        if backend.host:
            fields[HOST_KEY].string_value = backend.host
