"""AI routes: names the AIGatewayRoute, keeps internal headers from providers, ends silent streams, and puts the host
name that a request is signed for into it where endpoints have none.

The filter cannot do that in plan `single`: Envoy would look for the virtual host of that name and answer 404.
"""

from typing import Final

from extension_server.compile.result import CompiledRule
from extension_server.xds import names, pool
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources, routes_of
from filters.contract.config import ORIGINAL_PATH_HEADER, RULE_HEADER, STATIC_METADATA_NAMESPACE

ROUTE_NAME_KEY: Final = "aigw_route_name"
INTERNAL_HEADERS: Final = (RULE_HEADER, ORIGINAL_PATH_HEADER, "x-ai-eg-internal-req-id")
"""`x-ai-eg-model` stays: access logs and self-hosted models read it."""


def patch(resources: Resources, mediation: Mediation) -> None:
    for configuration in resources.routes:
        for route in routes_of(configuration):
            rule = mediation.rule(names.route(route.name))
            if rule is not None:
                patch_route(route, rule)


def patch_route(route: Message, rule: CompiledRule) -> None:
    """One route of an AI rule."""
    name_route(route, rule.route)
    if not route.HasField("route"):
        return
    if rule.authority:
        route.route.host_rewrite_literal = rule.authority
    if rule.stream_idle_timeout:
        timeout = pool.duration(rule.stream_idle_timeout)
        route.route.retry_policy.per_try_idle_timeout.seconds = timeout["seconds"]
        route.route.retry_policy.per_try_idle_timeout.nanos = timeout["nanos"]


def name_route(route: Message, ai_route: str) -> None:
    """What every route of an AI rule gets: the name of its AIGatewayRoute, and internal headers removed."""
    route.metadata.filter_metadata[STATIC_METADATA_NAMESPACE].fields[ROUTE_NAME_KEY].string_value = ai_route
    missing = [name for name in INTERNAL_HEADERS if name not in route.request_headers_to_remove]
    route.request_headers_to_remove.extend(missing)
