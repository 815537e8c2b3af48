"""`compile_route`: one AIGatewayRoute → its part of every Gateway that serves it. Pure; same input, same output.

The part is the same whichever Gateway asks: the HTTPRoutes, and with them the tokens of the rules, are shared by all
Gateways of the route. `gateway.assemble` puts the parts of a Gateway together.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from extension_server.api import aigateway
from extension_server.api.aigateway import AIGatewayRoute, AIGatewayRouteSpec
from extension_server.api.base import Object
from extension_server.api.envoy_gateway import HTTPRouteFilter
from extension_server.api.gateway import Gateway, HTTPRoute
from extension_server.compile import attachment, costs, precedence, routes
from extension_server.compile.attachment import Attachment
from extension_server.compile.backends import BackendResolver
from extension_server.compile.credentials import CredentialSource
from extension_server.compile.precedence import Candidate
from extension_server.compile.result import CompiledRule, Finding, ObjectRef
from extension_server.compile.routes import Generated
from extension_server.compile.rules import RuleCompiler, RulePart
from extension_server.compile.snapshot import Resources, ref_of
from extension_server.credentials.policy import AwsEnvironment
from filters.contract.config import FilterConfig, Model
from filters.contract.sections import RouteSection

MAX_NAME: Final = 253 - len(routes.not_found_filter_name(""))
"""Names of generated objects are longer than the route's."""
ENDPOINT_PREFIXES: Final = FilterConfig(gateway="").endpoint_prefixes
_OWNER: Final = "AIGatewayRoute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for all routes."""

    token_key: bytes
    root_prefix: str = "/"
    endpoint_prefixes: tuple[tuple[str, str], ...] = ENDPOINT_PREFIXES
    user_filters: Collection[str] = ()
    """names of RouteConfigurations whose listener has a filter of the user's after ours, besides those that Gateways
    are annotated with"""
    aws_environment: AwsEnvironment | None = None
    created: int = 0
    """Unix time that models of routes without an age are listed with"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePart:
    """Everything that one route contributes."""

    route: AIGatewayRoute
    spec: AIGatewayRouteSpec
    attachments: tuple[tuple[ObjectRef, Attachment], ...]
    """Gateway → where on it; Gateways that are not there are left out"""
    rules: tuple[RulePart, ...]
    generated: Generated
    compiled: tuple[CompiledRule, ...]
    """one entry for each place of each rule"""
    candidates: tuple[Candidate, ...]
    """every match of every rule"""
    findings: tuple[Finding, ...]
    fallbacks: tuple[tuple[ObjectRef, int], ...]
    """`generated.fallbacks`"""
    section: RouteSection
    """rules and backends, as filters get them where the Gateway adds no costs"""

    def on(self, gateway: ObjectRef) -> Attachment | None:
        for ref, attached in self.attachments:
            if ref == gateway:
                return attached
        return None


def gateways_of(route: AIGatewayRoute) -> tuple[ObjectRef, ...]:
    """The Gateways that the route names, each once."""
    parents = route.spec.parent_refs if route.spec else ()
    refs = (ObjectRef(each.kind, each.namespace or route.namespace, each.name) for each in parents)
    return tuple(dict.fromkeys(refs))


def compile_route(
    resources: Resources, route: AIGatewayRoute, settings: Settings, credentials: CredentialSource
) -> RoutePart | None:
    """None for a route without spec. Never raises for what a resource says: that is a finding."""
    spec = route.spec
    if spec is None:
        return None
    found = [(ref, resources.get(Gateway, ref.namespace, ref.name)) for ref in gateways_of(route)]
    gateways = [(ref, gateway) for ref, gateway in found if gateway is not None]
    attachments = tuple((ref, _attached(resources, route, spec, gateway)) for ref, gateway in gateways)
    refused = tuple(
        _error(route, f"spec.parentRefs[{index}]", "NotAllowedByListeners", f"not served by {gateway}: {why}")
        for gateway, attached in attachments
        for index, why in attached.refused
    )
    conflicts = tuple(_name_conflicts(resources, route))
    if conflicts:
        return _without_rules(route, spec, attachments, settings, (*refused, *conflicts))
    own = costs.of_route(route)
    seen = frozenset(settings.user_filters).union(*(attachment.user_filters(gateway) for _, gateway in gateways))
    compiler = RuleCompiler(
        route=route,
        resolver=BackendResolver(resources=resources, credentials=credentials),
        costs=own.costs,
        token_key=settings.token_key,
        user_filters=any(place.configuration in seen for _, attached in attachments for place in attached.places),
    )
    rules = tuple(compiler.compile(index, rule) for index, rule in enumerate(spec.rules))
    flat = [(made, compiled) for rule in rules for made, compiled in zip(rule.generated, rule.compiled, strict=True)]
    generated = routes.generate(route, [made for made, _ in flat], settings.root_prefix, _names(resources, route))
    return RoutePart(
        fallbacks=tuple(generated.fallbacks),
        section=RouteSection(
            tuple(rule.rule for rule in rules), tuple(backend for rule in rules for backend in rule.backends)
        ),
        route=route,
        spec=spec,
        attachments=attachments,
        rules=rules,
        generated=generated,
        compiled=tuple(
            replace(flat[placement.rule][1], http_route=placement.http_route, http_rule=placement.index)
            for placement in generated.placements
        ),
        candidates=tuple(_candidates(route, spec, rules, settings.created)),
        findings=(*refused, *own.findings, *(finding for rule in rules for finding in rule.findings)),
    )


def _attached(resources: Resources, route: AIGatewayRoute, spec: AIGatewayRouteSpec, gateway: Gateway) -> Attachment:
    # Labels are asked for where they count: whoever asked is compiled again when they change.
    labels = resources.labels(route.namespace) if attachment.selects(gateway) else None
    return attachment.attach(gateway, route.namespace, spec.parent_refs, spec.hostnames, labels)


def _without_rules(
    route: AIGatewayRoute,
    spec: AIGatewayRouteSpec,
    attachments: tuple[tuple[ObjectRef, Attachment], ...],
    settings: Settings,
    findings: tuple[Finding, ...],
) -> RoutePart:
    """Of a route that nothing can be generated for."""
    return RoutePart(
        route=route,
        spec=spec,
        attachments=attachments,
        rules=(),
        generated=Generated(route, (), settings.root_prefix, ()),
        compiled=(),
        candidates=(),
        findings=findings,
        fallbacks=(),
        section=RouteSection(),
    )


def _candidates(
    route: AIGatewayRoute, spec: AIGatewayRouteSpec, rules: Iterable[RulePart], created: int
) -> Iterator[Candidate]:
    born = route.metadata.creation_timestamp
    age = precedence.age_of(born)
    for number, (rule, source) in enumerate(zip(rules, spec.rules, strict=True)):
        for index, match in enumerate(rule.matches):
            model = None
            if match.model is not None and rule.ready:
                when = source.models_created_at or born
                model = Model(
                    id=match.model,
                    owned_by=source.models_owned_by,
                    created=created if when is None else int(when.timestamp()),
                )
            rank = precedence.rank(match, age=age, route=(route.namespace, route.name), rule=number, index=index)
            yield Candidate(match, rank, model)


def _names(resources: Resources, route: AIGatewayRoute) -> Iterator[str]:
    """`<route>`, `<route>-1`, …, without those that somebody else has or will have."""
    yield route.name
    for number in itertools.count(1):
        name = f"{route.name}-{number}"
        if resources.get(AIGatewayRoute, route.namespace, name) is None and not is_foreign(
            resources.get(HTTPRoute, route.namespace, name)
        ):
            yield name


def is_foreign(existing: Object | None) -> bool:
    """The object is there and was not generated by this gateway (of whatever age): it must not be taken over."""
    if existing is None:
        return False
    controllers = [owner for owner in existing.metadata.owner_references if owner.controller]
    if controllers:
        group = controllers[0].api_version.rpartition("/")[0]
        return (group, controllers[0].kind) != (aigateway.GROUP, _OWNER)
    return existing.metadata.annotations.get(routes.MARKER_ANNOTATION) != "true"


def _name_conflicts(resources: Resources, route: AIGatewayRoute) -> Iterator[Finding]:
    """An object of the user's must not be taken over."""
    if len(route.name) > MAX_NAME:
        message = f"is {len(route.name)} characters long; generated objects need longer names, use at most {MAX_NAME}"
        yield _error(route, "metadata.name", "NameTooLong", message)
        return
    wanted = (
        (HTTPRoute, route.name),
        (HTTPRouteFilter, routes.rewrite_filter_name(route.name)),
        (HTTPRouteFilter, routes.not_found_filter_name(route.name)),
    )
    for kind, name in wanted:
        if is_foreign(resources.get(kind, route.namespace, name)):
            message = (
                f"{kind.__name__} {route.namespace}/{name} exists already and is not generated, so the route is not "
                "served; rename one of the two"
            )
            yield _error(route, "metadata.name", "Conflicted", message)


def _error(route: AIGatewayRoute, where: str, reason: str, message: str) -> Finding:
    return Finding(severity="error", object=ref_of(route), field=where, reason=reason, message=message)
