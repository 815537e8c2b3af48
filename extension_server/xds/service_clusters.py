"""The two clusters that lead to the filter process: one per ext_proc level (see `processor.ATTEMPT_CLUSTER`)."""

from typing import Final

from extension_server.xds import pool, processor
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources, ai_configurations

MAX_REQUESTS: Final = 100_000
"""Each request in flight holds a stream for its whole life; Envoy's default of 1024 would be a wall."""
STREAM_WINDOW: Final = 16 * 1024 * 1024
CONNECTION_WINDOW: Final = 256 * 1024 * 1024
"""What the filter announces too: a window smaller than a body costs a round trip per window."""
MAX_STREAMS: Final = 10_000
MAX_QUEUED_FRAMES: Final = 1_000_000
"""Envoy's guards against a peer that does not read, 10,000 frames and 1,000 control frames, cut the connection with all
requests on it. A busy filter reads late, and streams in pieces or a crowd that hangs up (one RST_STREAM each) are that
many frames in no time. How much may wait is bounded by windows and BUFFER_LIMIT in bytes."""
BUFFER_LIMIT: Final = 50 * 1024 * 1024
"""The largest body that the default listener limit lets through."""

_LEAST_REQUEST: Final = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"


def patch(resources: Resources, mediation: Mediation) -> None:
    """Appends both, to Gateways with AI routes only."""
    if not ai_configurations(resources, mediation):
        return
    existing = {cluster.name for cluster in resources.clusters}
    for name in (processor.REQUEST_CLUSTER, processor.ATTEMPT_CLUSTER):
        if name not in existing:
            resources.clusters.append(_cluster(name, mediation.sockets))


def _cluster(name: str, sockets: tuple[str, ...]) -> Message:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": socket}}}} for socket in sockets]
    http2 = {
        "initial_stream_window_size": {"value": STREAM_WINDOW},
        "initial_connection_window_size": {"value": CONNECTION_WINDOW},
        "max_concurrent_streams": {"value": MAX_STREAMS},
        "max_outbound_frames": {"value": MAX_QUEUED_FRAMES},
        "max_outbound_control_frames": {"value": MAX_QUEUED_FRAMES},
    }
    return pool.message(
        pool.CLUSTER,
        name=name,
        type="STATIC",
        connect_timeout=pool.duration(10),
        per_connection_buffer_limit_bytes={"value": BUFFER_LIMIT},
        load_assignment={"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        # One socket per worker: a shared one balances badly.
        load_balancing_policy={
            "policies": [
                {
                    "typed_extension_config": {
                        "name": "envoy.load_balancing_policies.least_request",
                        "typed_config": pool.packed(_LEAST_REQUEST),
                    }
                }
            ]
        },
        circuit_breakers={
            "thresholds": [
                {
                    "max_connections": {"value": MAX_REQUESTS},
                    "max_pending_requests": {"value": MAX_REQUESTS},
                    "max_requests": {"value": MAX_REQUESTS},
                    "max_retries": {"value": MAX_REQUESTS},
                }
            ]
        },
        typed_extension_protocol_options={
            pool.HTTP_PROTOCOL_OPTIONS: pool.packed(
                pool.HTTP_PROTOCOL_OPTIONS, explicit_http_config={"http2_protocol_options": http2}
            )
        },
    )
