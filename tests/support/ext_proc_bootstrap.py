"""Envoy bootstraps for the transport tests: one listener, our ext_proc filter, an upstream that Envoy plays itself."""

from typing import Any

_EXT_PROC = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
BUFFER = 64 * 1024 * 1024


def ext_proc_bootstrap(
    port: int,
    sockets: list[str],
    *,
    answer: str = "hello",
    upstream_port: int | None = None,
    response_body: str = "BUFFERED",
    message_timeout: str = "20s",
    graceful: bool = False,
    ext_proc: bool = True,
) -> dict[str, Any]:
    """A listener on `port` whose requests pass an ext_proc server on `sockets`, then `upstream_port` (or `answer`).

    `graceful` lets Envoy end streams by half-close. Off by default, also in production: with it Envoy 1.38.3 crashes
    when a client hangs up before the stream has a connection.
    """
    return {
        "layered_runtime": {
            "layers": [
                {
                    "name": "static",
                    "static_layer": {"envoy.reloadable_features.ext_proc_graceful_grpc_close": graceful},
                }
            ]
        },
        "static_resources": {
            "listeners": [
                _listener(
                    "main", port, _filters(response_body, message_timeout) if ext_proc else [], upstream_port, answer
                )
            ],
            "clusters": [
                _ext_proc_cluster(sockets),
                *([_upstream(upstream_port)] if upstream_port is not None else []),
            ],
        },
    }


def _filters(response_body: str, message_timeout: str) -> list[dict[str, Any]]:
    return [
        {
            "name": "ext_proc",
            "typed_config": {
                "@type": _EXT_PROC,
                "grpc_service": {
                    "envoy_grpc": {"cluster_name": "ext_proc"},
                    # `envoy_grpc` has a member of the same name, which is for xDS streams only.
                    "retry_policy": {
                        "retry_on": "connect-failure,refused-stream,reset,unavailable",
                        "num_retries": 3,
                    },
                    "initial_metadata": [{"key": "x-ai-eg-level", "value": "listener"}],
                },
                "failure_mode_allow": False,
                "allow_mode_override": True,
                "message_timeout": message_timeout,
                "processing_mode": {
                    "request_header_mode": "SEND",
                    "request_body_mode": "BUFFERED",
                    "response_header_mode": "SEND",
                    "response_body_mode": response_body,
                    "request_trailer_mode": "SKIP",
                    "response_trailer_mode": "SKIP",
                },
            },
        }
    ]


def _listener(
    name: str, port: int, filters: list[dict[str, Any]], upstream_port: int | None, answer: str
) -> dict[str, Any]:
    action: dict[str, Any] = (
        {"direct_response": {"status": 200, "body": {"inline_string": answer}}}
        if upstream_port is None
        else {"route": {"cluster": "upstream", "timeout": "60s"}}
    )
    return {
        "name": name,
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": BUFFER,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "hcm",
                        "typed_config": {
                            "@type": _HCM,
                            "stat_prefix": name,
                            "route_config": {
                                "name": name,
                                "virtual_hosts": [
                                    {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}
                                ],
                            },
                            "http_filters": [*filters, {"name": "router", "typed_config": {"@type": _ROUTER}}],
                        },
                    }
                ]
            }
        ],
    }


def _ext_proc_cluster(sockets: list[str]) -> dict[str, Any]:
    maximum = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    return {
        "name": "ext_proc",
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": BUFFER,
        "circuit_breakers": {"thresholds": [{**maximum, "max_retries": 100_000}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _HTTP_OPTIONS,
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "initial_stream_window_size": 16 * 1024 * 1024,
                        "initial_connection_window_size": 256 * 1024 * 1024,
                    }
                },
            }
        },
        "load_assignment": {
            "cluster_name": "ext_proc",
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": path}}}} for path in sockets]},
            ],
        },
    }


def _upstream(port: int) -> dict[str, Any]:
    return {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "5s",
        "per_connection_buffer_limit_bytes": BUFFER,
        "circuit_breakers": {
            "thresholds": [{"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}]
        },
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
                    ]
                }
            ],
        },
    }
