"""Puts the listener-level ext_proc filter into every connection manager that serves AI routes.

It is disabled there; the generated last route switches it on (`fallback.py`). Where it stands is read from the actual
chain (users can reorder it): after everything that authenticates a client and after the buffer limit, before filters
that act on the request as the gateway has routed it.
"""

from collections.abc import Sequence
from typing import Final

from extension_server.xds import pool, processor
from extension_server.xds.resources import Mediation, Resources, ai_connection_managers

_PREFIX: Final = "envoy.filters.http."
_BEFORE_US: Final = (
    "custom_response",
    "health_check",
    "fault",
    "cors",
    "csrf",
    "header_mutation",
    "ext_authz",
    "api_key_auth",
    "basic_auth",
    "oauth2",
    "jwt_authn",
    "stateful_session",
    "buffer",
)
"""Envoy Gateway's ranks up to the buffer (xDS chapter §2.2): what decides whether a client may be here at all, and how
much it may send. A responseOverride (custom_response, which comes first) must not pull us ahead of authentication."""
_AUTHORIZATION: Final = "rbac"
"""Of the later ranks, the one that also keeps clients out (SecurityPolicy.authorization, which may read a JWT). The
loopback guard of dynamic forward proxies is another instance and looks at the upstream."""
_LOOPBACK_GUARD: Final = "envoy.filters.http.rbac.dfp_loopback_deny"

_CONFIGURATION: Final = {
    "grpc_service": processor.grpc_service(processor.REQUEST_CLUSTER, "listener"),
    "metadata_options": {"receiving_namespaces": {"untyped": processor.NAMESPACES}},
    "processing_mode": {
        "request_header_mode": "SEND",
        # BUFFERED is the only mode with which a retry sends the body once (envoyproxy/envoy #36119, #45470).
        "request_body_mode": "BUFFERED",
        "request_trailer_mode": "SKIP",
        "response_header_mode": "SEND",
        # The filter asks for bodies that it needs, per response.
        "response_body_mode": "NONE",
        "response_trailer_mode": "SKIP",
    },
    "message_timeout": pool.duration(processor.MESSAGE_TIMEOUT),
    # Not with send_body_without_waiting_for_header_response: Envoy 1.38 ignores mode overrides then, and every answer
    # would go to the client untranslated.
    "allow_mode_override": True,
    "mutation_rules": processor.MUTATION_RULES,
}


def patch(resources: Resources, mediation: Mediation) -> None:
    for network_filter, manager in ai_connection_managers(resources, mediation):
        # Upstreams behind TLS see `https` even when the client spoke plain HTTP.
        manager.scheme_header_transformation.match_upstream = True
        filters = [*manager.http_filters]
        if all(existing.name != processor.FILTER for existing in filters):
            ours = pool.message(
                pool.HTTP_FILTER,
                name=processor.FILTER,
                disabled=True,
                typed_config=pool.packed(pool.EXTERNAL_PROCESSOR, **_CONFIGURATION),
            )
            filters.insert(position([existing.name for existing in filters]), ours)
            del manager.http_filters[:]
            manager.http_filters.extend(filters)
        pool.replace(network_filter.typed_config, manager)


def position(chain: Sequence[str]) -> int:
    """Index for our filter in a chain of HTTP filter names (the last one is the router)."""
    ahead = [index for index, name in enumerate(chain) if _keeps_clients_out(name)]
    return ahead[-1] + 1 if ahead else 0


def _keeps_clients_out(name: str) -> bool:
    if not name.startswith(_PREFIX) or name == _LOOPBACK_GUARD:
        return False
    # `custom_response/backendtrafficpolicy/default/p`: one instance per policy has the policy in its name.
    kind = name.removeprefix(_PREFIX).partition("/")[0]
    return kind in _BEFORE_US or kind == _AUTHORIZATION
