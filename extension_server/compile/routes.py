"""AIGatewayRoute → the Gateway API objects that Envoy Gateway (or standalone's writer) turns into Envoy routes.

One HTTPRoute of the route's name, with a rule per AI rule and a last one that fails closed; and the two
HTTPRouteFilters that its rules refer to (API chapter §2.3). Each AI rule's matches also demand the rule's token in
RULE_HEADER, which only our filter sets: without the filter every request meets the last rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extension_server.api import envoy_gateway
from extension_server.api.aigateway import NOT_FOUND_RULE, AIGatewayRoute, AIGatewayRouteRule
from extension_server.api.base import Object, ObjectMeta, OwnerReference, seconds
from extension_server.api.envoy_gateway import (
    CustomResponseBody,
    DirectResponse,
    HostnameRewrite,
    HTTPRouteFilter,
    HTTPRouteFilterSpec,
    URLRewrite,
)
from extension_server.api.gateway import (
    HTTPBackendRef,
    HTTPHeaderMatch,
    HTTPPathMatch,
    HTTPRoute,
    HTTPRouteFilterReference,
    HTTPRouteMatch,
    HTTPRouteRule,
    HTTPRouteSpec,
    HTTPRouteTimeouts,
    LocalObjectReference,
)
from filters.contract import jsonlib
from filters.contract.config import RULE_HEADER

MARKER_ANNOTATION: Final = "gateway.envoyproxy.io/ai-gateway-generated"
PRIORITY_ANNOTATION: Final = "gateway.envoyproxy.io/backend-ref-priority"
DEFAULT_TIMEOUT: Final = "60s"
"""Envoy's own 15 s would cut most answers of language models"""
_NOT_COPIED: Final = "kubectl.kubernetes.io/"

FAIL_CLOSED_STATUS: Final = 503
FAIL_CLOSED_BODY: Final = jsonlib.encode(
    {
        "type": "error",
        "error": {
            "type": "ServiceUnavailable",
            "code": "not_mediated",
            "message": "This request was not mediated by the AI gateway: its filter did not run, or runs another "
            "configuration. In Kubernetes, check that Envoy Gateway calls the AI gateway's extension server and that "
            "the filter sidecar is ready; with `aigw run`, look at the log. A retry helps during a rollout.",
        },
    }
).decode()


@dataclass(frozen=True, slots=True)
class GeneratedRule:
    """What one AI rule becomes."""

    rule: AIGatewayRouteRule
    token: str
    backend_refs: tuple[HTTPBackendRef, ...]
    """empty: the rule fails closed"""


def rewrite_filter_name(route: str) -> str:
    return f"ai-eg-host-rewrite-{route}"


def not_found_filter_name(route: str) -> str:
    return f"ai-eg-route-not-found-response-{route}"


def objects(route: AIGatewayRoute, rules: Sequence[GeneratedRule], root_prefix: str) -> tuple[Object, ...]:
    """The two filters and the HTTPRoute; AI rule i is rule i of the HTTPRoute, the fallback is the last."""
    rewrite = HTTPRouteFilter(
        metadata=_metadata(route, rewrite_filter_name(route.name)),
        spec=HTTPRouteFilterSpec(url_rewrite=URLRewrite(hostname=HostnameRewrite(type="Backend"))),
    )
    closed = HTTPRouteFilter(
        metadata=_metadata(route, not_found_filter_name(route.name)),
        spec=HTTPRouteFilterSpec(
            direct_response=DirectResponse(
                status_code=FAIL_CLOSED_STATUS,
                content_type="application/json",
                body=CustomResponseBody(type="Inline", inline=FAIL_CLOSED_BODY),
            )
        ),
    )
    return (rewrite, closed, _http_route(route, rules, root_prefix))


def _http_route(route: AIGatewayRoute, rules: Sequence[GeneratedRule], root_prefix: str) -> HTTPRoute:
    assert route.spec is not None
    fallback = HTTPRouteRule(
        name=NOT_FOUND_RULE,
        matches=(HTTPRouteMatch(path=HTTPPathMatch(value=root_prefix)),),
        filters=(_reference(not_found_filter_name(route.name)),),
    )
    copied = {key: text for key, text in route.metadata.annotations.items() if not key.startswith(_NOT_COPIED)}
    priorities = ",".join(
        f"{index}:{ref.name}:{ref.priority}" for index, rule in enumerate(rules) for ref in rule.rule.backend_refs
    )
    return HTTPRoute(
        metadata=_metadata(
            route,
            route.name,
            labels=dict(route.metadata.labels),
            annotations={**copied, PRIORITY_ANNOTATION: priorities, MARKER_ANNOTATION: "true"},
        ),
        spec=HTTPRouteSpec(
            parent_refs=route.spec.parent_refs,
            hostnames=route.spec.hostnames,
            rules=(*(_rule(route, rule) for rule in rules), fallback),
        ),
    )


def _rule(route: AIGatewayRoute, generated: GeneratedRule) -> HTTPRouteRule:
    token = HTTPHeaderMatch(name=RULE_HEADER, type="Exact", value=generated.token)
    if not generated.backend_refs:
        return HTTPRouteRule(
            name=generated.rule.name,
            matches=(HTTPRouteMatch(headers=(token,)),),
            filters=(_reference(not_found_filter_name(route.name)),),
        )
    # The path is `/`, not the root prefix: the filter has put the provider's path in place when these are tried.
    return HTTPRouteRule(
        name=generated.rule.name,
        matches=tuple(HTTPRouteMatch(headers=(token, *match.headers)) for match in generated.rule.matches)
        or (HTTPRouteMatch(headers=(token,)),),
        filters=(_reference(rewrite_filter_name(route.name)),),
        backend_refs=generated.backend_refs,
        timeouts=_timeouts(generated.rule.timeouts),
    )


def _timeouts(wanted: HTTPRouteTimeouts | None) -> HTTPRouteTimeouts:
    if wanted is None:
        return HTTPRouteTimeouts(request=DEFAULT_TIMEOUT)
    if wanted.request is not None:
        return wanted
    attempt = wanted.backend_request
    # An HTTPRoute whose attempt may last longer than the whole is refused.
    longer = attempt is not None and seconds(attempt) > seconds(DEFAULT_TIMEOUT)
    return HTTPRouteTimeouts(request=attempt if longer else DEFAULT_TIMEOUT, backend_request=attempt)


def _reference(name: str) -> HTTPRouteFilterReference:
    return HTTPRouteFilterReference(
        type="ExtensionRef",
        extension_ref=LocalObjectReference(
            group=envoy_gateway.GROUP, kind=envoy_gateway.HTTP_ROUTE_FILTER_KIND, name=name
        ),
    )


def _metadata(
    route: AIGatewayRoute,
    name: str,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> ObjectMeta:
    owner = route.metadata.uid
    return ObjectMeta(
        name=name,
        namespace=route.namespace,
        labels=labels or {},
        annotations=annotations or {},
        owner_references=(
            OwnerReference(
                api_version=route.api_version,
                kind=route.kind,
                name=route.name,
                uid=owner,
                controller=True,
                block_owner_deletion=True,
            ),
        )
        if owner
        else (),
    )
