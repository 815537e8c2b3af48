"""Everything about the rules of a file that a person may ask: who serves, with what, under which policies."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from aigw.commands import exchange, matching, translate
from aigw.commands.exchange import Backends, Filters
from aigw.commands.redaction import Redactor
from aigw.commands.report import Problem
from aigw.standalone.base_xds.world import World
from aigw.standalone.validate import Served
from extension_server.api import envoy_gateway as eg
from extension_server.api import gateway as gw
from extension_server.api.aigateway import (
    AIGatewayRoute,
    AIGatewayRouteBackendRef,
    AIServiceBackend,
    SecurityPolicySpec,
)
from extension_server.api.base import Object
from extension_server.compile import attachment
from extension_server.compile.result import CompiledRule, ObjectRef
from extension_server.xds import names
from extension_server.xds.pool import Message
from extension_server.xds.resources import routes_of
from filters.contract.config import AwsCredential, Backend, HeaderCredential


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSource:
    """Where the credential comes from; never what it is."""

    type: str
    """of the policy; empty: the client's own credentials go through"""
    policy: str = ""
    secret: str = ""
    """`Secret namespace/name`, or what else it is read from"""
    header: str = ""
    """in which it is sent"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFacts:
    backend: str
    """AIServiceBackend, `namespace/name`"""
    weight: int
    priority: int
    used: bool
    """False: weight 0, or the reference cannot be used"""
    endpoints: tuple[str, ...]
    schema: str
    model_override: str
    path: str
    """upstream `:path` of a plain request; empty: not known, see `refusal`"""
    stream_path: str
    refusal: str
    credential: CredentialSource
    header_mutation: dict[str, str | None]
    """header → value, None: removed"""
    body_mutation: dict[str, str | None]
    problems: tuple[Problem, ...]
    """of the reference, the AIServiceBackend, and what that refers to"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    rule: str
    """`<ns>/<route>/rule/<i>`"""
    hosts: tuple[str, ...]
    """`<host> on <listener>`"""
    matches: tuple[str, ...]
    plan: str
    reason: str
    backends: tuple[BackendFacts, ...]
    costs: tuple[str, ...]
    timeouts: dict[str, str]
    retries: dict[str, str]
    policies: tuple[str, ...]
    served: bool
    """False: requests for it are answered with 503; with no hosts, no listener takes the route"""
    problems: tuple[Problem, ...]
    """of the rule itself"""


def of_rules(
    served: Served, filters: Filters, redactor: Redactor, problems: tuple[Problem, ...] = ()
) -> tuple[RuleFacts, ...]:
    """Every rule of every route of the Gateway, by route. `problems`: of the whole file."""
    collector = _Collector(served, filters, redactor, problems)
    return tuple(collector.rules())


def listeners(world: World) -> dict[str, tuple[gw.Listener, ...]]:
    """Name in the filter's configuration → the Gateway's listeners that share it."""
    found: dict[str, list[gw.Listener]] = {}
    configurations = attachment.configuration_names(world.gateway)
    for listener in world.gateway.spec.listeners:
        found.setdefault(configurations[listener.name], []).append(listener)
    return {name: tuple(each) for name, each in found.items()}


def host_names(served: Served) -> dict[str, str]:
    """Backend of the filter's configuration → host name that Envoy writes into the request."""
    snapshot = served.loaded.snapshot
    found = {}
    for backend in served.world.compiled.filter_config.backends:
        service = snapshot.get(AIServiceBackend, *backend.short_name.split("/", 1))
        target = None if service is None else _backend_of(served, service)
        first = target.spec.endpoints[0] if target is not None and target.spec.endpoints else None
        found[backend.name] = backend.host or (first.fqdn.hostname if first is not None and first.fqdn else "")
    return found


class _Collector:
    def __init__(self, served: Served, filters: Filters, redactor: Redactor, problems: tuple[Problem, ...]) -> None:
        self._served = served
        self._problems: dict[str, list[Problem]] = {}
        for each in problems:
            self._problems.setdefault(each.object, []).append(each)
        self._world = served.world
        self._filters = filters
        self._redactor = redactor
        self._asked = Backends(filters.config)
        self._matches = matching.rule_matches(filters.config)
        self._configs = {backend.name: backend for backend in filters.config.backends}
        self._costs = {rule.name: rule.costs for rule in filters.config.rules}
        self._backends = {rule.name: rule.backends for rule in filters.config.rules}
        self._hosts = self._hosts_of_rules()
        xds = translate.patched(served)
        self._routes = {
            name: route
            for configuration in (xds.routes if xds is not None else ())
            for route in routes_of(configuration)
            if (name := names.route(route.name)) is not None
        }

    def rules(self) -> Iterator[RuleFacts]:
        groups: dict[tuple[str, int], list[CompiledRule]] = {}
        for compiled in self._world.compiled.rules:
            groups.setdefault((compiled.route, compiled.rule), []).append(compiled)
        for (route, index), parts in sorted(groups.items()):
            found = self._served.loaded.snapshot.get(AIGatewayRoute, *route.split("/", 1))
            assert found is not None, "compiled from it"
            yield self._rule(found, index, parts)

    def _rule(self, route: AIGatewayRoute, index: int, parts: list[CompiledRule]) -> RuleFacts:
        name = f"{route.namespace}/{route.name}/rule/{index}"
        assert route.spec is not None, "it has rules"
        usable = {backend.name: backend.priority for part in parts for backend in part.backends}
        matches = self._matches.get(name, [])
        generated = parts[0]
        envoys = self._routes.get(
            names.RuleName(generated.http_route.namespace, generated.http_route.name, generated.http_rule)
        )
        return RuleFacts(
            rule=name,
            hosts=tuple(self._hosts.get(name, ())),
            matches=tuple(matches),
            plan=generated.plan,
            reason=generated.reason,
            backends=tuple(
                self._backend(route, name, position, ref, usable)
                for position, ref in enumerate(route.spec.rules[index].backend_refs)
            ),
            costs=tuple(f"{cost.metadata_key} = {cost.cel or cost.type}" for cost in self._costs.get(name, ())),
            timeouts=_timeouts(envoys),
            retries=_retries(envoys),
            policies=tuple(self._policies(generated)),
            served=bool(self._backends.get(name)),
            problems=tuple(self._of_rule(route, index)),
        )

    def _of_rule(self, route: AIGatewayRoute, index: int) -> Iterator[Problem]:
        field = f"spec.rules[{index}]"
        for each in self._inside(route, field):
            if not each.field.startswith(f"{field}.backendRefs["):
                yield each

    def _of_backend(
        self, route: AIGatewayRoute, field: str, service: str, parts: Iterable[Object]
    ) -> Iterator[Problem]:
        """`field`: of the reference to the AIServiceBackend `service`, which `parts` belong to."""
        objects = {service: None, **dict.fromkeys(map(_title, parts)), **dict.fromkeys(self._refused_policies(service))}
        said: list[str] = []
        for each in (
            *self._inside(route, field),
            *(problem for name in objects for problem in self._problems.get(name, ())),
        ):
            # That the object cannot be used is said with the reason, where it is referred to.
            if not any(each.message in earlier for earlier in said):
                yield each
            said.append(each.message)

    def _inside(self, route: AIGatewayRoute, field: str) -> Iterator[Problem]:
        """Problems of a field of the route, and of what is below it."""
        for each in self._problems.get(_title(route), ()):
            if each.field == field or each.field.startswith(f"{field}."):
                yield each

    def _hosts_of_rules(self) -> dict[str, dict[str, None]]:
        found: dict[str, dict[str, None]] = {}
        for listener in self._filters.config.listeners:
            for host in listener.virtual_hosts:
                for match in host.matches:
                    places = found.setdefault(match.rule, {})
                    places.update((f"{domain} on {listener.name}", None) for domain in host.domains)
        return found

    def _backend(
        self,
        route: AIGatewayRoute,
        rule: str,
        position: int,
        ref: AIGatewayRouteBackendRef,
        usable: Mapping[str, int],
    ) -> BackendFacts:
        namespace = ref.namespace or route.namespace
        index = rule.rpartition("/")[2]
        name = f"{route.namespace}/{ref.name}/route/{route.name}/rule/{index}/ref/{position}"
        # In plan `single` one stands for all: what is asked for below is the same for each of them.
        stands = self._backends.get(rule) or ()
        config = self._configs.get(name) or (self._configs.get(stands[0]) if name in usable and stands else None)
        service = None
        if ref.group is None:
            service = self._served.loaded.snapshot.get(AIServiceBackend, namespace, ref.name)
        target = None if service is None else _backend_of(self._served, service)
        parts = () if service is None else self._parts(service, target)
        path, refusal = self._path(rule, config, stream=False)
        stream_path, _ = self._path(rule, config, stream=True)
        return BackendFacts(
            backend=f"{namespace}/{ref.name}",
            weight=ref.weight,
            priority=usable.get(name, ref.priority),
            used=name in usable,
            endpoints=() if target is None else tuple(_endpoints(self._world, target)),
            schema=_schema(service),
            model_override=ref.model_name_override or "",
            path=path,
            stream_path=stream_path,
            refusal=refusal,
            credential=self._credential(service, config),
            header_mutation={} if config is None else self._mutation(config.header_mutation),
            body_mutation={} if config is None else self._mutation(config.body_mutation),
            problems=tuple(
                self._of_backend(
                    route,
                    f"spec.rules[{index}].backendRefs[{position}]",
                    str(ObjectRef("AIServiceBackend", namespace, ref.name)),
                    parts,
                )
            ),
        )

    def _refused_policies(self, service: str) -> Iterator[str]:
        """Policies for the backend that cannot be used: it is shown without its credential."""
        for ref, content in self._served.loaded.refused.items():
            spec = content.get("spec")
            targets = spec.get("targetRefs") if isinstance(spec, dict) else None
            for target in targets if ref.kind == "BackendSecurityPolicy" and isinstance(targets, list) else ():
                name = target.get("name") if isinstance(target, dict) else None
                if str(ObjectRef("AIServiceBackend", ref.namespace, str(name))) == service:
                    yield str(ref)

    def _parts(self, service: AIServiceBackend, target: eg.Backend | None) -> Iterator[Object]:
        yield from self._served.loaded.snapshot.policies_of((service.namespace, service.name))
        if target is not None:
            yield target
            tls = self._world.tls_policy(target)
            if tls is not None:
                yield tls

    def _mutation(self, mutation: object) -> dict[str, str | None]:
        removed: tuple[str, ...] = getattr(mutation, "remove", ())
        wanted: tuple[tuple[str, str], ...] = getattr(mutation, "set", ())
        return {
            **dict.fromkeys(removed),
            **{name: self._redactor.named(name, value) for name, value in wanted},
        }

    def _path(self, rule: str, config: Backend | None, *, stream: bool) -> tuple[str, str]:
        """(path, why there is none) of a plain request for a model that the rule names."""
        return ("", "") if config is None else self._asked.path(config.name, self._example_model(rule), stream=stream)

    def _example_model(self, rule: str) -> str:
        for listener in self._filters.config.listeners:
            for host in listener.virtual_hosts:
                for match in host.matches:
                    if match.rule == rule and match.model is not None:
                        return match.model
        return exchange.SAMPLE_MODEL

    def _credential(self, service: AIServiceBackend | None, config: Backend | None) -> CredentialSource:
        policies = (
            () if service is None else self._served.loaded.snapshot.policies_of((service.namespace, service.name))
        )
        if not policies or policies[0].spec is None:
            return CredentialSource(type="")
        policy, spec = policies[0], policies[0].spec
        match self._filters.config.credentials.get(config.credential) if config is not None else None:
            case HeaderCredential(name=header):
                sent = header
            case AwsCredential(region=region):
                sent = f"authorization (AWS SigV4, region {region})"
            case None:
                sent = ""
        return CredentialSource(
            type=spec.type,
            policy=f"{policy.namespace}/{policy.name}",
            secret=_secret(spec, policy.namespace),
            header=sent,
        )

    def _policies(self, rule: CompiledRule) -> Iterator[str]:
        world = self._world
        for listener in world.gateway.spec.listeners:
            for attached_rules in world.rules(listener).values():
                for attached in attached_rules:
                    ref = ObjectRef("HTTPRoute", attached.route.namespace, attached.route.name)
                    if (ref, attached.index) != (rule.http_route, rule.http_rule):
                        continue
                    found = (
                        world.policy_of_rule(eg.BackendTrafficPolicy, attached, listener),
                        world.policy_of_rule(eg.SecurityPolicy, attached, listener),
                        world.policy_of_listener(eg.ClientTrafficPolicy, listener),
                    )
                    yield from (_title(policy) for policy in found if policy is not None)
                    return


def _title(object_: Object) -> str:
    return f"{object_.kind} {object_.namespace}/{object_.name}"


def _backend_of(served: Served, service: AIServiceBackend) -> eg.Backend | None:
    if service.spec is None:
        return None
    reference = service.spec.backend_ref
    return served.loaded.snapshot.get(eg.Backend, reference.namespace or service.namespace, reference.name)


def _endpoints(world: World, backend: eg.Backend) -> Iterator[str]:
    tls = " (TLS)" if world.tls_policy(backend) is not None or backend.spec.tls is not None else ""
    for endpoint in backend.spec.endpoints:
        if endpoint.fqdn is not None:
            yield f"{endpoint.fqdn.hostname}:{endpoint.fqdn.port}{tls}"
        elif endpoint.ip is not None:
            yield f"{endpoint.ip.address}:{endpoint.ip.port}{tls}"


def _schema(service: AIServiceBackend | None) -> str:
    if service is None or service.spec is None:
        return ""
    schema = service.spec.schema_
    more = [f"prefix {schema.prefix}" if schema.prefix else "", f"version {schema.version}" if schema.version else ""]
    return ", ".join([schema.name, *filter(None, more)])


def _secret(spec: SecurityPolicySpec, namespace: str) -> str:
    source = spec.api_key or spec.azure_api_key or spec.anthropic_api_key
    reference = source.secret_ref if source is not None else None
    if spec.aws_credentials is not None:
        file = spec.aws_credentials.credentials_file
        if file is None:
            return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment"
        reference = file.secret_ref
    return "" if reference is None else f"Secret {reference.namespace or namespace}/{reference.name}"


def _timeouts(route: Message | None) -> dict[str, str]:
    if route is None or not route.HasField("route"):
        return {}
    action = route.route
    found = {}
    if action.HasField("timeout"):
        found["request"] = _seconds(action.timeout)
    if action.HasField("idle_timeout"):
        found["idle"] = _seconds(action.idle_timeout)
    if action.retry_policy.HasField("per_try_timeout"):
        found["attempt"] = _seconds(action.retry_policy.per_try_timeout)
    if action.retry_policy.HasField("per_try_idle_timeout"):
        found["attempt idle"] = _seconds(action.retry_policy.per_try_idle_timeout)
    return found


def _seconds(duration: Message) -> str:
    seconds = duration.seconds + duration.nanos / 1_000_000_000
    return "none" if seconds == 0 else f"{seconds:g}s"


def _retries(route: Message | None) -> dict[str, str]:
    if route is None or not route.HasField("route") or not route.route.HasField("retry_policy"):
        return {}
    policy = route.route.retry_policy
    found = {"attempts": str(policy.num_retries.value if policy.HasField("num_retries") else 1), "on": policy.retry_on}
    if policy.retriable_status_codes:
        found["statuses"] = ", ".join(map(str, policy.retriable_status_codes))
    return found
