"""`compile_gateway`: the resources of one Gateway → everything that follows from them. Pure; same input, same output.

In: a Snapshot (order does not matter), the Gateway, the key of the tokens. Out: `Compiled`. Never raises for what a
resource says: that is a finding, and the rule concerned fails closed while the others keep working. Called by
standalone mode on every change of its file and by the controller on every change of an object of the Gateway.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from extension_server.api import aigateway
from extension_server.api.aigateway import AIGatewayRoute, AIGatewayRouteSpec, GatewayConfig
from extension_server.api.base import Object
from extension_server.api.gateway import Gateway, HTTPRoute
from extension_server.compile import attachment, costs, precedence, routes
from extension_server.compile.attachment import Attachment, Place
from extension_server.compile.backends import BackendResolver, policies_by_target
from extension_server.compile.precedence import Candidate
from extension_server.compile.result import Compiled, CompiledRule, Finding, ObjectRef
from extension_server.compile.rules import RuleCompiler, RulePart
from extension_server.compile.snapshot import Snapshot, ref_of
from extension_server.credentials.policy import AwsEnvironment
from filters.contract import config
from filters.contract.config import Cost, FilterConfig, Listener, Model, VirtualHost


@dataclass(frozen=True, slots=True, kw_only=True)
class _RoutePart:
    route: AIGatewayRoute
    spec: AIGatewayRouteSpec
    attachment: Attachment
    rules: tuple[RulePart, ...]
    objects: tuple[Object, ...]
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _Host:
    """What gathers on one virtual host."""

    candidates: list[Candidate] = field(default_factory=list)
    models: list[tuple[Candidate, Model]] = field(default_factory=list)


def compile_gateway(
    resources: Snapshot,
    gateway: ObjectRef,
    *,
    token_key: bytes,
    root_prefix: str = "/",
    user_filters: Collection[str] = (),
    aws_environment: AwsEnvironment | None = None,
    created: int = 0,
) -> Compiled:
    """`user_filters`: names of RouteConfigurations whose listener has a filter of the user's after ours.
    `created`: Unix time that models of routes without an age are listed with. Raises LookupError when `resources` have
    no such Gateway."""
    found = resources.get(Gateway, gateway.namespace, gateway.name)
    if found is None:
        raise LookupError(f"{gateway} not found")
    common, findings = _common_costs(resources, found)
    conflicts = (
        _error(found, f"spec.listeners[{index}]", "Conflicted", why) for index, why in attachment.conflicts(found)
    )
    resolver = BackendResolver(
        resources=resources, policies=policies_by_target(resources), aws_environment=aws_environment
    )
    parts = [
        _route_part(resources, found, route, resolver, common, token_key, root_prefix, user_filters)
        for route in _routes_of(resources, found)
    ]
    served = [part for part in parts if part.attachment.places]
    filter_config = FilterConfig(
        gateway=f"{found.namespace}/{found.name}",
        listeners=_listeners(served, created),
        rules=tuple(rule.rule for part in served for rule in part.rules),
        backends=tuple(backend for part in served for rule in part.rules for backend in rule.backends),
        root_prefix=root_prefix,
    )
    document = config.encode(filter_config)
    return Compiled(
        gateway=ref_of(found),
        objects=tuple(object_ for part in parts for object_ in part.objects),
        rules=tuple(_compiled_rules(parts)),
        fallbacks=tuple(
            (ObjectRef("HTTPRoute", part.route.namespace, part.route.name), len(part.rules)) for part in parts
        ),
        filter_config=filter_config,
        document=document,
        config_hash=config.content_hash(document),
        findings=sorted_findings((*findings, *conflicts, *(finding for part in parts for finding in part.findings))),
    )


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each once, by object, field and text."""
    return tuple(
        sorted(dict.fromkeys(findings), key=lambda each: (each.object, each.field, each.severity, each.message))
    )


def _routes_of(resources: Snapshot, gateway: Gateway) -> list[AIGatewayRoute]:
    return [
        route
        for route in resources.all(AIGatewayRoute)
        if route.metadata.deletion_timestamp is None
        and route.spec is not None
        and any(attachment.refers_to(reference, route.namespace, gateway) for reference in route.spec.parent_refs)
    ]


def _common_costs(resources: Snapshot, gateway: Gateway) -> tuple[tuple[Cost, ...], tuple[Finding, ...]]:
    """Costs of the GatewayConfig that the Gateway's annotation names."""
    name = gateway.metadata.annotations.get(aigateway.GATEWAY_CONFIG_ANNOTATION)
    if not name:
        return (), ()
    found = resources.get(GatewayConfig, gateway.namespace, name)
    if found is None:
        where = f"metadata.annotations[{aigateway.GATEWAY_CONFIG_ANNOTATION}]"
        message = f"GatewayConfig {gateway.namespace}/{name} not found; create it or remove the annotation"
        return (), (_error(gateway, where, "GatewayConfigNotFound", message),)
    common = costs.of_config(found)
    findings = list(common.findings)
    if found.spec is not None and found.spec.forward_proxy is not None:
        message = "a forward proxy is not supported yet; remove it, connections to backends would bypass it"
        findings.append(_error(found, "spec.forwardProxy", "NotSupported", message))
    return common.costs, tuple(findings)


def _route_part(
    resources: Snapshot,
    gateway: Gateway,
    route: AIGatewayRoute,
    resolver: BackendResolver,
    common: tuple[Cost, ...],
    token_key: bytes,
    root_prefix: str,
    user_filters: Collection[str],
) -> _RoutePart:
    spec = route.spec
    assert spec is not None
    attached = attachment.attach(gateway, route.namespace, spec.parent_refs, spec.hostnames)
    own = costs.of_route(route)
    compiler = RuleCompiler(
        gateway=f"{gateway.namespace}/{gateway.name}",
        route=route,
        resolver=resolver,
        costs=costs.merged(own.costs, common),
        token_key=token_key,
        user_filters=any(place.configuration in user_filters for place in attached.places),
    )
    rules: list[RulePart] = []
    matches = 0
    for index, rule in enumerate(spec.rules):
        rules.append(compiler.compile(index, rule, matches))
        matches += max(len(rule.matches), 1)
    refused = (
        _error(route, f"spec.parentRefs[{index}]", "NotAllowedByListeners", f"{why}; the route is not served there")
        for index, why in attached.refused
    )
    return _RoutePart(
        route=route,
        spec=spec,
        attachment=attached,
        rules=tuple(rules),
        objects=routes.objects(route, [rule.generated for rule in rules], root_prefix),
        findings=(
            *refused,
            *own.findings,
            *_name_conflict(resources, route),
            *(finding for rule in rules for finding in rule.findings),
        ),
    )


def _name_conflict(resources: Snapshot, route: AIGatewayRoute) -> tuple[Finding, ...]:
    """An HTTPRoute of the user's must not be taken over."""
    existing = resources.get(HTTPRoute, route.namespace, route.name)
    if existing is None or existing.metadata.annotations.get(routes.MARKER_ANNOTATION) == "true":
        return ()
    message = f"HTTPRoute {route.namespace}/{route.name} exists already and is not generated; rename one of the two"
    return (_error(route, "metadata.name", "Conflicted", message),)


def _listeners(parts: Iterable[_RoutePart], created: int) -> tuple[Listener, ...]:
    hosts: dict[Place, _Host] = {}
    for part in parts:
        for place in part.attachment.places:
            _add(hosts.setdefault(place, _Host()), part, created)
    names = sorted({place.configuration for place in hosts})
    return tuple(
        Listener(
            name=name,
            virtual_hosts=tuple(
                VirtualHost(
                    domains=(place.host,),
                    matches=precedence.ordered(hosts[place].candidates),
                    models=_models(hosts[place].models),
                )
                for place in sorted(hosts, key=lambda place: place.host)
                if place.configuration == name
            ),
        )
        for name in names
    )


def _add(host: _Host, part: _RoutePart, created: int) -> None:
    age = part.route.metadata.creation_timestamp
    for index, (rule, source) in enumerate(zip(part.rules, part.spec.rules, strict=True)):
        for position, match in enumerate(rule.matches):
            candidate = Candidate(
                match=match,
                age=precedence.age_of(age),
                route=(part.route.namespace, part.route.name),
                rule=index,
                index=position,
            )
            host.candidates.append(candidate)
            if match.model is not None and rule.ready:
                when = source.models_created_at or age
                model = Model(
                    id=match.model,
                    owned_by=source.models_owned_by,
                    created=created if when is None else int(when.timestamp()),
                )
                host.models.append((candidate, model))


def _models(models: list[tuple[Candidate, Model]]) -> tuple[Model, ...]:
    """By id; of several rules that name one model, the one that Envoy tries first speaks for it."""
    by_id: dict[str, Model] = {}
    for _, model in sorted(models, key=lambda pair: pair[0].rank):
        by_id.setdefault(model.id, model)
    return tuple(by_id[id_] for id_ in sorted(by_id))


def _compiled_rules(parts: Iterable[_RoutePart]) -> Iterable[CompiledRule]:
    return (rule.compiled for part in parts for rule in part.rules)


def _error(object_: Object, where: str, reason: str, message: str) -> Finding:
    return Finding(severity="error", object=ref_of(object_), field=where, reason=reason, message=message)
