"""AIGatewayRoute → the Gateway API objects that Envoy Gateway (or standalone's writer) turns into Envoy routes.

One HTTPRoute of the route's name, with a rule per AI rule and a last one that fails closed; and the two
HTTPRouteFilters that its rules refer to (API chapter §2.3). Each AI rule's matches also demand the rule's token in
RULE_HEADER, which only our filter sets: without the filter every request meets the last rule.

What does not fit into one HTTPRoute goes on in others. The order between them does not matter: the filter picks the
rule, and the token leads to it wherever it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from extension_server.api import envoy_gateway
from extension_server.api.aigateway import (
    NOT_FOUND_RULE,
    AIGatewayRoute,
    AIGatewayRouteBackendRef,
    AIGatewayRouteRule,
)
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
from extension_server.compile.result import ObjectRef
from filters.contract import jsonlib
from filters.contract.config import RULE_HEADER

MARKER_ANNOTATION: Final = "gateway.envoyproxy.io/ai-gateway-generated"
PRIORITY_ANNOTATION: Final = "gateway.envoyproxy.io/backend-ref-priority"
DEFAULT_TIMEOUT: Final = "60s"
"""Envoy's own 15 s would cut most answers of language models"""
_NOT_COPIED: Final = "kubectl.kubernetes.io/"

MAX_RULES: Final = 16
MAX_MATCHES: Final = 64
"""of one rule"""
MAX_MATCHES_OF_ROUTE: Final = 128
"""limits of HTTPRoute (Gateway API 1.5); one rule with one match is the fallback's"""

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
    """What one AI rule, or a share of its traffic, becomes."""

    rule: AIGatewayRouteRule
    token: str
    backend_refs: tuple[HTTPBackendRef, ...]
    """empty: the rule fails closed"""
    refs: tuple[AIGatewayRouteBackendRef, ...]
    """what they were generated from"""


def rewrite_filter_name(route: str) -> str:
    return f"ai-eg-host-rewrite-{route}"


def not_found_filter_name(route: str) -> str:
    return f"ai-eg-route-not-found-response-{route}"


@dataclass(frozen=True, slots=True)
class Placement:
    """Generated rule `rule`, or a part of its matches, is rule `index` of the HTTPRoute."""

    rule: int
    http_route: ObjectRef
    index: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A rule of an HTTPRoute, before it is one."""

    rule: int
    matches: slice
    """of the rule's"""


@dataclass(frozen=True, slots=True)
class Generated:
    """What is generated for a route. The objects are made when they are asked for, which is half of the work of
    compiling a route, and only who writes them does."""

    route: AIGatewayRoute
    rules: tuple[GeneratedRule, ...]
    root_prefix: str
    spread: tuple[tuple[str, tuple[_Piece, ...]], ...]
    """names of the HTTPRoutes, and what is in each"""

    @property
    def placements(self) -> Iterator[Placement]:
        for name, pieces in self.spread:
            ref = ObjectRef("HTTPRoute", self.route.namespace, name)
            yield from (Placement(piece.rule, ref, index) for index, piece in enumerate(pieces))

    @property
    def fallbacks(self) -> Iterator[tuple[ObjectRef, int]]:
        """(HTTPRoute, index of its last rule)"""
        return ((ObjectRef("HTTPRoute", self.route.namespace, name), len(pieces)) for name, pieces in self.spread)

    def objects(self) -> tuple[Object, ...]:
        """The two filters and the HTTPRoutes."""
        if not self.spread:
            return ()
        route = self.route
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
        http_routes = (_http_route(route, name, self.rules, pieces, self.root_prefix) for name, pieces in self.spread)
        return (rewrite, closed, *http_routes)


def generate(
    route: AIGatewayRoute, rules: Sequence[GeneratedRule], root_prefix: str, names: Iterator[str]
) -> Generated:
    """`names`: one for each HTTPRoute, as many as it takes."""
    spread = tuple((name, tuple(pieces)) for pieces, name in zip(_spread(rules), names, strict=False))
    return Generated(route, tuple(rules), root_prefix, spread)


def _spread(rules: Sequence[GeneratedRule]) -> list[list[_Piece]]:
    """The pieces of each HTTPRoute; the first one is there even without rules."""
    spread: list[list[_Piece]] = [[]]
    for index, rule in enumerate(rules):
        count = (len(rule.rule.matches) if rule.backend_refs else 0) or 1
        for start in range(0, count, MAX_MATCHES):
            piece = _Piece(index, slice(start, min(start + MAX_MATCHES, count)))
            # Pieces of one AI rule never meet in one HTTPRoute: they have the same name.
            if not _fits(spread[-1], piece) or any(rules[each.rule].rule is rule.rule for each in spread[-1]):
                spread.append([])
            spread[-1].append(piece)
    return spread


def _fits(pieces: list[_Piece], piece: _Piece) -> bool:
    matches = sum(each.matches.stop - each.matches.start for each in (*pieces, piece))
    return len(pieces) < MAX_RULES - 1 and matches < MAX_MATCHES_OF_ROUTE


def _matches(generated: GeneratedRule) -> tuple[HTTPRouteMatch, ...]:
    token = HTTPHeaderMatch(name=RULE_HEADER, type="Exact", value=generated.token)
    alone = (HTTPRouteMatch(headers=(token,)),)
    if not generated.backend_refs:
        return alone
    # The path is `/`, not the root prefix: the filter has put the provider's path in place when these are tried.
    return tuple(HTTPRouteMatch(headers=(token, *match.headers)) for match in generated.rule.matches) or alone


def _http_route(
    route: AIGatewayRoute, name: str, rules: Sequence[GeneratedRule], pieces: Sequence[_Piece], root_prefix: str
) -> HTTPRoute:
    assert route.spec is not None
    fallback = HTTPRouteRule(
        name=NOT_FOUND_RULE,
        matches=(HTTPRouteMatch(path=HTTPPathMatch(value=root_prefix)),),
        filters=(_reference(not_found_filter_name(route.name)),),
    )
    copied = {key: text for key, text in route.metadata.annotations.items() if not key.startswith(_NOT_COPIED)}
    priorities = ",".join(
        f"{index}:{ref.name}:{ref.priority}" for index, piece in enumerate(pieces) for ref in rules[piece.rule].refs
    )
    return HTTPRoute(
        metadata=_metadata(
            route,
            name,
            labels=dict(route.metadata.labels),
            annotations={**copied, PRIORITY_ANNOTATION: priorities, MARKER_ANNOTATION: "true"},
        ),
        spec=HTTPRouteSpec(
            parent_refs=route.spec.parent_refs,
            hostnames=route.spec.hostnames,
            rules=(
                *(_rule(route, rules[piece.rule], _matches(rules[piece.rule])[piece.matches]) for piece in pieces),
                fallback,
            ),
        ),
    )


def _rule(route: AIGatewayRoute, generated: GeneratedRule, matches: tuple[HTTPRouteMatch, ...]) -> HTTPRouteRule:
    if not generated.backend_refs:
        return HTTPRouteRule(
            name=generated.rule.name, matches=matches, filters=(_reference(not_found_filter_name(route.name)),)
        )
    return HTTPRouteRule(
        name=generated.rule.name,
        matches=matches,
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
