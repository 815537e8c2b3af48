"""Clusters: one per rule, one locality per backendRef, TLS per endpoint."""

import ipaddress
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from aigw.standalone.base_xds import routes, tls
from aigw.standalone.base_xds.world import AttachedRule, World
from extension_server.api import envoy_gateway as eg
from extension_server.api.base import seconds
from extension_server.xds import names, pool
from extension_server.xds.pool import Fields, Message

CONNECT_TIMEOUT: Final = 10.0
DNS_REFRESH: Final = 30.0
BUFFER_LIMIT: Final = 32768
MAX_RETRIES: Final = 1024

_LEAST_REQUEST: Final = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"
HTTP2: Final[Fields] = {
    "initial_stream_window_size": {"value": 65536},
    "initial_connection_window_size": {"value": 1048576},
}


class _Destination(NamedTuple):
    ref: int
    weight: int
    backend: eg.Backend
    socket: Fields | None
    """transport socket, or None for plain text"""


def build(world: World, files: tls.Files) -> list[Message]:
    """One cluster per rule with a backend, however many listeners and hosts it serves. Raises NotServable."""
    clusters: dict[str, Message] = {}
    for listener in world.gateway.spec.listeners:
        for rules in world.rules(listener).values():
            for attached in rules:
                name = names.RuleName(attached.route.namespace, attached.route.name, attached.index)
                if names.cluster_name(name) not in clusters:
                    destinations = [*_destinations(world, files, attached)]
                    if destinations:
                        policy = world.policy_of_rule(eg.BackendTrafficPolicy, attached, listener)
                        cluster = _cluster(name, attached, destinations, policy)
                        clusters[cluster.name] = cluster
    return [clusters[name] for name in sorted(clusters)]


def _destinations(world: World, files: tls.Files, attached: AttachedRule) -> Iterator[_Destination]:
    if any(_answers_itself(world, attached, index) for index in range(len(attached.rule.filters))):
        return
    for index, ref in enumerate(attached.rule.backend_refs):
        if ref.weight:
            backend = world.backend(attached, index)
            yield _Destination(index, ref.weight, backend, tls.upstream(world, files, backend))


def _answers_itself(world: World, attached: AttachedRule, index: int) -> bool:
    name = attached.rule.filters[index].extension_ref.name
    found = world.everything.get(eg.HTTPRouteFilter, attached.route.namespace, name)
    return found is not None and found.spec.direct_response is not None


def _cluster(
    rule: names.RuleName,
    attached: AttachedRule,
    destinations: list[_Destination],
    policy: eg.BackendTrafficPolicy | None,
) -> Message:
    name = names.cluster_name(rule)
    addresses = [address(endpoint)[0] for to in destinations for endpoint in to.backend.spec.endpoints]
    timeout = policy.spec.timeout if policy else None
    connect = timeout.tcp.connect_timeout if timeout and timeout.tcp else None
    fields: dict[str, Any] = {
        "connect_timeout": pool.duration(seconds(connect) if connect else CONNECT_TIMEOUT),
        "metadata": {"filter_metadata": {"envoy-gateway": pool.struct({"resources": [routes.resource(attached)]})}},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [_locality(rule, index, to) for index, to in enumerate(destinations)],
        },
        "transport_socket_matches": [
            {
                "name": _socket_name(rule, index),
                "match": pool.struct({"name": _socket_name(rule, index)}),
                "transport_socket": to.socket,
            }
            for index, to in enumerate(destinations)
            if to.socket is not None
        ],
    }
    fields |= _resolution(addresses)
    if all(to.socket is not None for to in destinations):
        # HTTP/2 where the provider offers it; ALPN wants a TLS socket as the cluster's own.
        fields["transport_socket"] = tls.dummy()
        options: Fields = {"auto_config": {"http_protocol_options": {}, "http2_protocol_options": HTTP2}}
    else:
        options = {}
    if timeout and timeout.http and timeout.http.connection_idle_timeout:
        idle = pool.duration(seconds(timeout.http.connection_idle_timeout))
        options["common_http_protocol_options"] = {"idle_timeout": idle}
        if "auto_config" not in options:
            options["explicit_http_config"] = {"http_protocol_options": {}}
    if options:
        fields["typed_extension_protocol_options"] = {
            pool.HTTP_PROTOCOL_OPTIONS: pool.packed(pool.HTTP_PROTOCOL_OPTIONS, **options)
        }
    return plain_cluster(name, **fields)


def plain_cluster(name: str, **fields: Any) -> Message:
    """A cluster with what Envoy Gateway gives to all of them."""
    return pool.message(
        pool.CLUSTER,
        **{
            "name": name,
            "connect_timeout": pool.duration(CONNECT_TIMEOUT),
            "per_connection_buffer_limit_bytes": {"value": BUFFER_LIMIT},
            "circuit_breakers": {"thresholds": [{"max_retries": {"value": MAX_RETRIES}}]},
            "dns_lookup_family": "V4_PREFERRED",
            "common_lb_config": {},
            "ignore_health_on_host_removal": True,
            "load_balancing_policy": {
                "policies": [
                    {
                        "typed_extension_config": {
                            "name": "envoy.load_balancing_policies.least_request",
                            "typed_config": pool.packed(
                                _LEAST_REQUEST, locality_lb_config={"locality_weighted_lb_config": {}}
                            ),
                        }
                    }
                ]
            },
            **fields,
        },
    )


def _resolution(addresses: list[str]) -> Fields:
    """STATIC for addresses alone; STRICT_DNS resolves an address to itself, so it serves mixtures too."""
    if all(_is_ip(address) for address in addresses):
        return {"type": "STATIC"}
    return {"type": "STRICT_DNS", "dns_refresh_rate": pool.duration(DNS_REFRESH), "respect_dns_ttl": True}


def _locality(rule: names.RuleName, index: int, to: _Destination) -> Fields:
    described = {"kind": "Backend", "namespace": to.backend.namespace, "name": to.backend.name}
    return {
        "locality": {"region": names.region(rule, to.ref)},
        "load_balancing_weight": {"value": to.weight},
        "priority": 1 if to.backend.spec.fallback else 0,
        "metadata": {"filter_metadata": {"envoy-gateway": pool.struct({"resources": [described]})}},
        "lb_endpoints": [_endpoint(rule, index, to, endpoint) for endpoint in to.backend.spec.endpoints],
    }


def _endpoint(rule: names.RuleName, index: int, to: _Destination, endpoint: eg.BackendEndpoint) -> Fields:
    host, port = address(endpoint)
    fields: Fields = {
        "endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}},
        "load_balancing_weight": {"value": 1},
    }
    if to.socket is not None:
        match = pool.struct({"name": _socket_name(rule, index)})
        fields["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": match}}
    return fields


def _socket_name(rule: names.RuleName, index: int) -> str:
    """`index` counts the destinations that are left, not the backendRefs."""
    return f"{names.cluster_name(rule)}/tls/{index}"


def address(endpoint: eg.BackendEndpoint) -> tuple[str, int]:
    if endpoint.fqdn is not None:
        return endpoint.fqdn.hostname, endpoint.fqdn.port
    assert endpoint.ip is not None, "rule E1 of the model"
    return endpoint.ip.address, endpoint.ip.port


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
