"""Listeners: one per port, with one connection manager per plain-text port or HTTPS host."""

from typing import Any, Final

from aigw.standalone.base_xds import access_log, security, tls
from aigw.standalone.base_xds.world import DEFAULT_BUFFER_LIMIT, World, refuse
from extension_server.api import envoy_gateway as eg
from extension_server.api import gateway as gw
from extension_server.api.base import quantity
from extension_server.xds import pool
from extension_server.xds.pool import Fields, Message
from extension_server.xds.resources import HCM_FILTER

_ROUTER: Final = "envoy.extensions.filters.http.router.v3.Router"


def build(world: World, files: tls.Files, default_log: eg.AccessLog, address: str) -> list[Message]:
    """Raises NotServable."""
    return [_listener(world, files, default_log, address, port) for port in world.ports]


def _listener(world: World, files: tls.Files, default_log: eg.AccessLog, address: str, port: int) -> Message:
    listeners = world.ports[port]
    first = listeners[0]
    if any(listener.protocol != first.protocol for listener in listeners):
        index = world.gateway.spec.listeners.index(listeners[-1])
        message = f"port {port} is both HTTP and HTTPS"
        raise refuse(world.gateway, f"spec.listeners[{index}].protocol", "ProtocolConflict", message)
    log = access_log.build(world, default_log)
    name = world.listener_name(first)
    fields: dict[str, Any] = {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "per_connection_buffer_limit_bytes": {"value": _shared_buffer_limit(world, listeners)},
        "max_connections_to_accept_per_socket_event": {"value": 1},
        # Two gateways on one port would silently share its traffic.
        "enable_reuse_port": {"value": False},
    }
    if first.protocol == "HTTP":
        fields["default_filter_chain"] = {"name": name, "filters": [_manager(world, listeners, log, f"http-{port}")]}
    else:
        fields["filter_chains"] = [_tls_chain(world, files, listener, log) for listener in listeners]
        fields["listener_filters"] = [_tls_inspector()]
    return pool.message(pool.LISTENER, **fields)


def _tls_chain(world: World, files: tls.Files, listener: gw.Listener, log: list[Fields]) -> Fields:
    chain: Fields = {
        "name": world.listener_name(listener),
        "filters": [_manager(world, (listener,), log, f"https-{listener.port}")],
        "transport_socket": tls.downstream(world, files, listener),
    }
    if listener.hostname:
        chain["filter_chain_match"] = {"server_names": [listener.hostname]}
    return chain


def _tls_inspector() -> Fields:
    type_ = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
    return {"name": "envoy.filters.listener.tls_inspector", "typed_config": pool.packed(type_)}


def _shared_buffer_limit(world: World, listeners: tuple[gw.Listener, ...]) -> int:
    """The port's: Envoy knows one limit for all of its listeners."""
    limits = {listener.name: _buffer_limit(world, listener) for listener in listeners}
    if len(set(limits.values())) > 1:
        index = world.gateway.spec.listeners.index(listeners[-1])
        texts = ", ".join(f"{name} {limit}" for name, limit in limits.items())
        message = f"listeners of one port must have one connection.bufferLimit (ClientTrafficPolicy): {texts}"
        raise refuse(world.gateway, f"spec.listeners[{index}]", "BufferLimitConflict", message)
    return limits[listeners[0].name]


def _buffer_limit(world: World, listener: gw.Listener) -> int:
    policy = world.policy_of_listener(eg.ClientTrafficPolicy, listener)
    limit = policy.spec.connection.buffer_limit if policy and policy.spec.connection else None
    if policy is None or limit is None:
        return DEFAULT_BUFFER_LIMIT
    try:
        return quantity(limit)
    except ValueError as exc:
        raise refuse(policy, "spec.connection.bufferLimit", "Invalid", str(exc)) from exc


def _manager(world: World, listeners: tuple[gw.Listener, ...], log: list[Fields], stat_prefix: str) -> Fields:
    router = {"name": "envoy.filters.http.router", "typed_config": pool.packed(_ROUTER, suppress_envoy_headers=True)}
    manager = pool.packed(
        pool.HTTP_CONNECTION_MANAGER,
        stat_prefix=stat_prefix,
        rds={
            "route_config_name": world.listener_name(listeners[0]),
            "config_source": {"ads": {}, "resource_api_version": "V3"},
        },
        http_filters=[*security.http_filters(world, listeners), router],
        http2_protocol_options={
            "max_concurrent_streams": {"value": 100},
            "initial_stream_window_size": {"value": 65536},
            "initial_connection_window_size": {"value": 1048576},
        },
        access_log=log,
        use_remote_address={"value": True},
        normalize_path={"value": True},
        merge_slashes=True,
        server_header_transformation="PASS_THROUGH",
        common_http_protocol_options={"headers_with_underscores_action": "REJECT_REQUEST"},
        path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT",
    )
    return {"name": HCM_FILTER, "typed_config": manager}
