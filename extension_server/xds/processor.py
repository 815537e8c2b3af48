"""What both ext_proc filters have in common: names, the service that they call, and what the service may change."""

from typing import Final

from extension_server.xds import pool
from filters.contract.config import LEVEL_HEADER, METADATA_NAMESPACE, STATIC_METADATA_NAMESPACE

FILTER: Final = "envoy.filters.http.ext_proc/aigateway"
REQUEST_CLUSTER: Final = "ai-gateway-extproc-uds"
ATTEMPT_CLUSTER: Final = "ai-gateway-extproc-uds-attempt"
"""A cluster of its own: Envoy 1.38 can crash when both levels share one under back-pressure."""

MESSAGE_TIMEOUT: Final = 10.0
"""Seconds for one answer of the filter; the same as the peer's."""
STREAM_RETRIES: Final = 15
"""A new filter process serves 0.3 to 0.6 s after the old one ended, or some seconds on a busy machine. Between tries,
Envoy waits a random part of 1 s, then of 2, 4, 8 and 10 s, as for every gRPC service, so MESSAGE_TIMEOUT ends the tries
(3 were too few: tests/envoy/test_plan_rules.py, rule 5). A back-off of our own costs 10 µs of every request, for the
parsing of it. A filter that is not there at all is not waited for: `service_clusters`."""
RETRY_ON: Final = "reset,unavailable"
"""A process that ended (also before the connection stood), and one that is draining."""

MUTATION_RULES: Final[pool.Fields] = {
    # `:path`, `host`: the provider's. Without it a changed host is dropped silently.
    "allow_all_routing": {"value": True},
    # `x-envoy-original-path`, which access logs read.
    "allow_envoy": {"value": True},
}


def grpc_service(cluster: str, level: str) -> pool.Fields:
    """`level` is what the service finds in LEVEL_HEADER."""
    return {
        "envoy_grpc": {"cluster_name": cluster},
        "initial_metadata": [{"key": LEVEL_HEADER, "value": level}],
        "retry_policy": {"num_retries": {"value": STREAM_RETRIES}, "retry_on": RETRY_ON},
    }


NAMESPACES: Final = (METADATA_NAMESPACE, STATIC_METADATA_NAMESPACE)
"""Dynamic metadata that the service may write: what users read (costs, model), and the id of the exchange."""
