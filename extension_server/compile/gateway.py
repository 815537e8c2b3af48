"""`compile_gateway`: the resources of one Gateway → everything that follows from them. Pure; same input, same output.

In: a Snapshot (order does not matter), the Gateway, the key of the tokens. Out: `Compiled`. Never raises for what a
resource says: that is a finding, and the rule concerned fails closed while the others keep working. Called by
standalone mode on every change of its file. The controller compiles a route when something that it depends on changes
(`compile_route`) and only puts the parts together again (`assemble`).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

import msgspec

from extension_server.api import aigateway
from extension_server.api.aigateway import AIGatewayRoute, GatewayConfig
from extension_server.api.base import Object
from extension_server.api.gateway import Gateway
from extension_server.compile import attachment, costs, precedence, shadows
from extension_server.compile.attachment import Attachment, Place
from extension_server.compile.costs import Costs
from extension_server.compile.credentials import Credentials
from extension_server.compile.precedence import Candidate
from extension_server.compile.result import Compiled, Finding, ObjectRef
from extension_server.compile.route import RoutePart, Settings, compile_route, gateways_of
from extension_server.compile.snapshot import Resources, Snapshot, ref_of
from extension_server.credentials.policy import AwsEnvironment
from filters.contract import sections
from filters.contract.config import Cost, FilterConfig, Listener, Model, VirtualHost
from filters.contract.sections import RouteSection

_TELEMETRY: Final = "OTEL_"
"""what the names of OpenTelemetry's environment variables begin with"""


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
    """`user_filters`, `created`: see `Settings`. Raises LookupError when `resources` have no such Gateway."""
    found = resources.get(Gateway, gateway.namespace, gateway.name)
    if found is None:
        raise LookupError(f"{gateway} not found")
    settings = Settings(
        token_key=token_key,
        root_prefix=root_prefix,
        user_filters=user_filters,
        aws_environment=aws_environment,
        created=created,
    )
    credentials = Credentials(aws_environment)
    asking = credentials.asking(resources)
    parts = (compile_route(resources, route, settings, asking) for route in _routes_of(resources, gateway))
    return assemble(resources, found, [part for part in parts if part is not None], settings, credentials)


def assemble(
    resources: Resources,
    gateway: Gateway,
    parts: Sequence[RoutePart],
    settings: Settings,
    credentials: Credentials,
    *,
    with_objects: bool = True,
    previous: Compiled | None = None,
) -> Compiled:
    """`parts` of all routes that name the Gateway, by namespace and name. Of `resources` only its GatewayConfig is
    asked for. Without `with_objects`, `Compiled.objects` stays empty: who writes them has the parts. What is as in
    `previous` is not encoded again."""
    ref = ref_of(gateway)
    common, findings = common_costs(resources, gateway)
    conflicts = (
        _error(gateway, f"spec.listeners[{index}]", "Conflicted", why) for index, why in attachment.conflicts(gateway)
    )
    placed = [(part, attached) for part in parts if (attached := part.on(ref)) is not None and attached.places]
    served = [part for part, _ in placed]
    routes = {_section_name(part): _section(part, common) for part in served if part.rules}
    backends = tuple(chain.from_iterable(route.backends for route in routes.values()))
    hosts = _hosts(placed)
    shadowed = shadows.shadowed(hosts)
    filter_config = FilterConfig(
        gateway=f"{gateway.namespace}/{gateway.name}",
        listeners=_listeners(hosts),
        rules=tuple(chain.from_iterable(route.rules for route in routes.values())),
        backends=backends,
        root_prefix=settings.root_prefix,
        endpoint_prefixes=settings.endpoint_prefixes,
        credentials=credentials.values({backend.credential for backend in backends}),
    )
    return Compiled(
        gateway=ref,
        objects=tuple(object_ for part in parts for object_ in part.generated.objects()) if with_objects else (),
        rules=tuple(chain.from_iterable(part.compiled for part in parts)),
        fallbacks=tuple(chain.from_iterable(part.fallbacks for part in parts)),
        filter_config=filter_config,
        sections=sections.split(filter_config, previous.sections if previous else None, routes),
        findings=sorted_findings(
            (*findings, *conflicts, *shadowed, *(finding for part in parts for finding in part.findings))
        ),
        shadowed=shadowed,
    )


def with_credentials(compiled: Compiled, credentials: Credentials) -> Compiled:
    """The same with the values that credentials have now."""
    values = credentials.values(compiled.filter_config.credentials)
    filter_config = msgspec.structs.replace(compiled.filter_config, credentials=values)
    return replace(compiled, filter_config=filter_config, sections=compiled.sections.with_credentials(values))


def _section_name(part: RoutePart) -> str:
    return f"{sections.ROUTE}{part.route.metadata.namespace}/{part.route.metadata.name}"


def _section(part: RoutePart, common: tuple[Cost, ...]) -> RouteSection:
    """With the costs of the Gateway."""
    if not common:
        return part.section
    rules = (msgspec.structs.replace(rule, costs=costs.merged(rule.costs, common)) for rule in part.section.rules)
    return RouteSection(tuple(rules), part.section.backends)


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each once, by object, field and text."""
    return tuple(
        sorted(dict.fromkeys(findings), key=lambda each: (each.object, each.field, each.severity, each.message))
    )


def _routes_of(resources: Snapshot, gateway: ObjectRef) -> list[AIGatewayRoute]:
    return [
        route
        for route in resources.all(AIGatewayRoute)
        if route.metadata.deletion_timestamp is None and gateway in gateways_of(route)
    ]


def common_costs(resources: Resources, gateway: Gateway) -> tuple[tuple[Cost, ...], tuple[Finding, ...]]:
    """Costs of the GatewayConfig that the Gateway's annotation names."""
    name = gateway.metadata.annotations.get(aigateway.GATEWAY_CONFIG_ANNOTATION)
    if not name:
        return (), ()
    found = resources.get(GatewayConfig, gateway.namespace, name)
    if found is None:
        where = f"metadata.annotations[{aigateway.GATEWAY_CONFIG_ANNOTATION}]"
        message = f"GatewayConfig {gateway.namespace}/{name} not found; create it or remove the annotation"
        return (), (_error(gateway, where, "GatewayConfigNotFound", message),)
    checked = check_config(found)
    return checked.costs, checked.findings


def check_config(found: GatewayConfig) -> Costs:
    """The costs of a GatewayConfig and what is wrong with it."""
    common = costs.of_config(found)
    return Costs(common.costs, (*common.findings, *proxy_not_served(found), *_not_sent(found)))


def proxy_not_served(found: GatewayConfig) -> Iterator[Finding]:
    if found.spec is not None and found.spec.forward_proxy is not None:
        message = "a forward proxy is not supported yet; remove it, connections to backends bypass it"
        yield _error(found, "spec.forwardProxy", "NotSupported", message)


def _not_sent(found: GatewayConfig) -> Iterator[Finding]:
    """Files for earlier gateways set what their filter exports telemetry with."""
    kubernetes = found.spec.ext_proc.kubernetes if found.spec and found.spec.ext_proc else None
    names = [each.name for each in (kubernetes.env if kubernetes else ()) if each.name.startswith(_TELEMETRY)]
    if names:
        yield Finding(
            severity="warning",
            object=ref_of(found),
            field="spec.extProc.kubernetes.env",
            reason="NotUsed",
            message=f"no effect of {', '.join(names)}: the filter of this release sends no telemetry by itself; "
            "scrape /metrics of its port aigw-admin, and let Envoy write access logs and traces",
        )


def _hosts(parts: Iterable[tuple[RoutePart, Attachment]]) -> dict[Place, list[Candidate]]:
    """What each host serves, as Envoy tries it; hosts by name."""
    hosts: dict[Place, list[Candidate]] = {}
    for part, attached in parts:
        for place in attached.places:
            hosts.setdefault(place, []).extend(part.candidates)
    return {place: precedence.ordered(hosts[place]) for place in sorted(hosts, key=lambda place: place.host)}


def _listeners(hosts: Mapping[Place, Sequence[Candidate]]) -> tuple[Listener, ...]:
    names = sorted({place.configuration for place in hosts})
    return tuple(
        Listener(
            name=name,
            virtual_hosts=tuple(
                _virtual_host(place.host, candidates)
                for place, candidates in hosts.items()
                if place.configuration == name
            ),
        )
        for name in names
    )


def _virtual_host(domain: str, candidates: Sequence[Candidate]) -> VirtualHost:
    """`candidates` as Envoy tries them. Of several that name one model, the first speaks for it."""
    models: dict[str, Model] = {}
    for candidate in candidates:
        if candidate.model is not None:
            models.setdefault(candidate.model.id, candidate.model)
    return VirtualHost(
        domains=(domain,),
        matches=tuple(candidate.match for candidate in candidates),
        models=tuple(models[id_] for id_ in sorted(models)),
    )


def _error(object_: Object, where: str, reason: str, message: str) -> Finding:
    return Finding(severity="error", object=ref_of(object_), field=where, reason=reason, message=message)
