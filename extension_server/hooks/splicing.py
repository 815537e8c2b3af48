"""Patches single routes and clusters in their serialized form.

By the rules of protobuf, bytes appended to a message merge into it: maps get entries, lists get members. What our
patches add to a route or cluster that they have not seen before is only such additions, and the same for many; so it is
made once, by the patch itself on an empty message, and appended. The resource as it came stays bit for bit, and nothing
of it is decoded. Anything else (a resource that was patched before, that holds what an addition would replace, or that
wants more than additions) is decoded and goes through the patches themselves. Both ways give equal messages
(tests/unit/extension_server/hooks/test_agreement.py).
"""

import functools
from typing import Final

from extension_server.compile.result import CompiledRule
from extension_server.hooks.elements import Element
from extension_server.hooks.shells import shell
from extension_server.xds import attempts, endpoints, patches, pool, processor, routes, shared_clusters
from extension_server.xds.names import ClusterName, RuleName
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import STATIC_METADATA_NAMESPACE

_LB_ENDPOINT: Final = "envoy.config.endpoint.v3.LbEndpoint"
_NAMESPACE: Final = STATIC_METADATA_NAMESPACE.encode()
"""in a resource's bytes: it may have metadata of ours"""
_OPTIONS: Final = pool.HTTP_PROTOCOL_OPTIONS.encode()
_FILTER: Final = processor.FILTER.encode()
_REMEMBERED: Final = 1 << 16


def rule_route(raw: bytes, configuration: str, rule: CompiledRule, mediation: Mediation) -> bytes:
    """A route of an AI rule that `is_unsafe` says nothing against. Raises what the patches raise."""
    if rule.stream_idle_timeout is None and not rule.authority and _NAMESPACE not in raw:
        return raw + _rule_addition(rule.route)
    return _patched_route(raw, configuration, mediation)


def takes_addition(raw: bytes) -> bool:
    """Whether `fallback_addition` can be appended to a generated last route."""
    return _FILTER not in raw


def fallback_route(raw: bytes, configuration: str, mediation: Mediation) -> bytes:
    """A generated last route that does not take the addition. Raises what the patches raise."""
    return _patched_route(raw, configuration, mediation)


def fallback_addition(stub: pool.Message, mediation: Mediation) -> bytes:
    """What the patches add to a fallback; `stub` is a RouteConfiguration that holds only one, with only its name."""
    patches.apply(Resources(routes=[stub]), mediation)
    (route,) = stub.virtual_hosts[0].routes
    route.ClearField("name")
    return pool.serialized(route)


def is_unsafe(raw: bytes, name: RuleName, rule: CompiledRule) -> bool:
    """See `shared_clusters`. Raises DecodeError."""
    return rule.plan == "attempt" and shared_clusters.is_unsafe(Element(raw, pool.ROUTE).decode(), name, rule)


def rule_cluster(raw: bytes, name: ClusterName, rule: CompiledRule, mediation: Mediation) -> bytes:
    """A cluster of an AI rule. Raises what the patches raise."""
    if _NAMESPACE in raw or (rule.plan == "attempt" and _OPTIONS in raw):
        element = Element(raw, pool.CLUSTER)
        patches.apply(Resources(clusters=[element.decode()]), mediation)
        return element.encode()
    suffix = _attempt_addition() if rule.plan == "attempt" else b""
    opened = None if endpoints.alone(rule) else shell("Cluster").FromString(raw)
    if opened is None or not opened.HasField("load_assignment"):
        backend = endpoints.only_backend(rule, name)
        return raw + suffix + (b"" if backend is None else _cluster_addition(backend.name))
    for locality in opened.load_assignment.endpoints:
        backend = endpoints.backend_of(rule, name, locality.locality.region)
        if backend is not None:
            addition = _endpoint_addition(backend.name, backend.host)
            locality.priority = backend.priority
            for index, endpoint in enumerate(locality.lb_endpoints):
                locality.lb_endpoints[index] = endpoint + addition
    return bytes(opened.SerializeToString(deterministic=True)) + suffix


def is_eds(raw: bytes) -> bool:
    """Whether the endpoints of a cluster come by EDS. Raises DecodeError."""
    return not shell("Cluster").FromString(raw).HasField("load_assignment")


def _patched_route(raw: bytes, configuration: str, mediation: Mediation) -> bytes:
    route = pool.message_class(pool.ROUTE).FromString(raw)
    alone = pool.message(pool.ROUTE_CONFIGURATION, name=configuration, virtual_hosts=[{"routes": [route]}])
    patches.apply(Resources(routes=[alone]), mediation)
    (patched,) = alone.virtual_hosts[0].routes
    return raw if patched == route else pool.serialized(patched)


@functools.lru_cache(_REMEMBERED)
def _rule_addition(route: str) -> bytes:
    """Depends on the name of the AIGatewayRoute alone."""
    blank = pool.message(pool.ROUTE)
    routes.name_route(blank, route)
    return pool.serialized(blank)


@functools.lru_cache(_REMEMBERED)
def _endpoint_addition(backend: str, host: str) -> bytes:
    blank = pool.message(_LB_ENDPOINT)
    endpoints.mark_endpoint(blank, backend, host)
    return pool.serialized(blank)


@functools.lru_cache(_REMEMBERED)
def _cluster_addition(backend: str) -> bytes:
    blank = pool.message(pool.CLUSTER)
    endpoints.mark_cluster(blank, backend)
    return pool.serialized(blank)


@functools.cache
def _attempt_addition() -> bytes:
    blank = pool.message(pool.CLUSTER)
    attempts.patch_cluster(blank)
    return pool.serialized(blank)
