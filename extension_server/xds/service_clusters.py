"""The two clusters that lead to the filter process: one per ext_proc level (see `processor.ATTEMPT_CLUSTER`).

A filter that is away for a moment is waited for, one that is missing is not. Both are a socket that nobody listens on,
and Envoy would try it until `processor.MESSAGE_TIMEOUT` ends each request. So it also connects once a second of its own
accord: a filter that never was there is missing at once, one that was there after the time that a request waits for it.
Then requests are refused as they come (`local_replies`). The cluster of attempts needs none of this: the request's
comes first.
"""

from typing import Any, Final

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
PROBE: Final = 1.0
"""Seconds between two connections that only look whether somebody listens. A busy filter is not missing: the kernel
takes the connection."""
MISSING_AFTER: Final = round(processor.MESSAGE_TIMEOUT / PROBE)
"""Probes in a row that fail, for a filter that was there."""
BUFFER_LIMIT: Final = 50 * 1024 * 1024
"""The largest body that the default listener limit lets through."""

_LEAST_REQUEST: Final = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"
_PROBED: Final[pool.Fields] = {
    "health_checks": [
        {
            "interval": pool.duration(PROBE),
            # 60 s by default, for clusters without requests: so long a new filter would not be seen.
            "no_traffic_interval": pool.duration(PROBE),
            "timeout": pool.duration(PROBE),
            "unhealthy_threshold": {"value": MISSING_AFTER},
            "healthy_threshold": {"value": 1},
            "tcp_health_check": {},
        }
    ],
    # By default Envoy takes missing ones all the same when most are missing.
    "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
}


def patch(resources: Resources, mediation: Mediation) -> None:
    """Appends both, to Gateways with AI routes only."""
    if not ai_configurations(resources, mediation):
        return
    existing = {cluster.name for cluster in resources.clusters}
    for name, probed in ((processor.REQUEST_CLUSTER, True), (processor.ATTEMPT_CLUSTER, False)):
        if name not in existing:
            resources.clusters.append(_cluster(name, mediation.sockets, **(_PROBED if probed else {})))


def _cluster(name: str, sockets: tuple[str, ...], **more: Any) -> Message:
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
        **more,
    )
