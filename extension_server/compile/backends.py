"""One backendRef of a rule → the backend that the data plane uses, or the reasons why there is none."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from extension_server.api import aigateway, envoy_gateway, gateway
from extension_server.api.aigateway import (
    AIGatewayRoute,
    AIGatewayRouteBackendRef,
    AIServiceBackend,
    AIServiceBackendSpec,
    AnyBackendSecurityPolicy,
    SecurityPolicySpec,
    VersionedAPISchema,
)
from extension_server.compile import mutations
from extension_server.compile.credentials import CredentialSource, Identity, Unusable
from extension_server.compile.grants import Side, granted, refusal
from extension_server.compile.result import Finding
from extension_server.compile.snapshot import Resources, ref_of
from filters.contract import config
from filters.contract.config import Schema
from filters.contract.schemas import SERVED

MAX_WEIGHT: Final = 1_000_000
"""Gateway API's limit for the weight of a backendRef; ours allows any int32"""
_PREFIXED: Final = ("OpenAI", "Anthropic")
DEFAULT_PREFIX: Final = "v1"
_NO_POOLS: Final = (
    "InferencePools are not served by this release, so this rule answers 503; use an AIServiceBackend with a Backend "
    "for the pool's Service instead"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A backendRef that can be used."""

    ref: int
    weight: int
    priority: int
    backend: config.Backend
    http_ref: gateway.HTTPBackendRef
    signs: bool
    """requests are signed for the host"""
    authority: str
    """what they are signed for, when not every endpoint has that name for Envoy to put into requests"""
    endpoints: tuple[str, ...]
    """canonical texts of the endpoints, part of what a rule's token stands for"""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendResolver:
    """Looks everything up in one state of the world."""

    resources: Resources
    credentials: CredentialSource

    def resolve(self, route: AIGatewayRoute, rule: int, index: int, ref: AIGatewayRouteBackendRef) -> Resolved:
        """Raises Unusable."""
        field = f"spec.rules[{rule}].backendRefs[{index}]"

        def problem(member: str, reason: str, message: str) -> Unusable:
            return Unusable(_error(route, f"{field}.{member}", reason, message))

        if (pool := pool_not_served(route, field, ref)) is not None:
            raise Unusable(pool)
        if ref.weight > MAX_WEIGHT:
            message = f"must not be more than {MAX_WEIGHT} (limit of HTTPRoute); divide all weights of the rule"
            raise problem("weight", "InvalidWeight", message)
        service, spec = self._service(route, ref, field)
        backend = self._backend(route, service, spec)
        credential = self._credential(service)
        host = _host(backend)
        if credential is not None and credential.signs and len(_hostnames(backend)) > 1:
            raise Unusable(
                _error(
                    backend,
                    "spec.endpoints",
                    "AmbiguousHost",
                    f"requests are signed for one host name, but the endpoints have several "
                    f"({', '.join(_hostnames(backend))}); use one Backend per host name",
                )
            )
        headers = mutations.headers(ref.header_mutation, spec.header_mutation)
        return Resolved(
            ref=index,
            weight=ref.weight,
            priority=ref.priority,
            backend=config.Backend(
                name=f"{route.namespace}/{ref.name}/route/{route.name}/rule/{rule}/ref/{index}",
                short_name=f"{service.namespace}/{service.name}",
                schema=_schema(spec.schema_),
                host=host,
                model_override=ref.model_name_override,
                credential=credential.name if credential else "",
                header_mutation=headers.mutation,
                body_mutation=mutations.body(ref.body_mutation, spec.body_mutation),
            ),
            signs=credential is not None and credential.signs,
            authority=_authority(backend, credential),
            http_ref=_http_ref(route, service, spec, ref.weight),
            endpoints=tuple(endpoint.model_dump_json() for endpoint in backend.spec.endpoints),
            findings=(
                *(
                    _warning(
                        route,
                        f"{field}.headerMutation",
                        "ReservedHeader",
                        f"header {name} belongs to the gateway; the mutation of it is left out",
                    )
                    for name in headers.reserved
                ),
                *_version_unused(service, spec.schema_),
                *not_served(service, spec.schema_, "warning"),
            ),
        )

    def _service(
        self, route: AIGatewayRoute, ref: AIGatewayRouteBackendRef, field: str
    ) -> tuple[AIServiceBackend, AIServiceBackendSpec]:
        namespace = ref.namespace or route.namespace
        source = Side(aigateway.GROUP, "AIGatewayRoute", route.namespace)
        target = Side(aigateway.GROUP, "AIServiceBackend", namespace)
        if not granted(self.resources, source, target, ref.name):
            raise Unusable(_error(route, f"{field}.namespace", "RefNotPermitted", refusal(source, target, ref.name)))
        service = self.resources.get(AIServiceBackend, namespace, ref.name)
        if service is None:
            message = self._missing(AIServiceBackend, namespace, ref.name)
            raise Unusable(_error(route, f"{field}.name", "BackendNotFound", message))
        if service.spec is None:
            raise Unusable(_no_spec(service))
        return service, service.spec

    def _backend(
        self, route: AIGatewayRoute, service: AIServiceBackend, spec: AIServiceBackendSpec
    ) -> envoy_gateway.Backend:
        name, namespace = spec.backend_ref.name, spec.backend_ref.namespace or service.namespace
        source = Side(gateway.GROUP, "HTTPRoute", route.namespace)
        target = Side(envoy_gateway.GROUP, "Backend", namespace)
        if not granted(self.resources, source, target, name):
            raise Unusable(
                _error(service, "spec.backendRef.namespace", "RefNotPermitted", refusal(source, target, name))
            )
        return self._referenced(service, namespace, name)

    def _referenced(self, service: AIServiceBackend, namespace: str, name: str) -> envoy_gateway.Backend:
        backend = self.resources.get(envoy_gateway.Backend, namespace, name)
        if backend is None:
            message = self._missing(envoy_gateway.Backend, namespace, name)
            raise Unusable(_error(service, "spec.backendRef.name", "BackendNotFound", message))
        return backend

    def _missing(self, kind: type[AIServiceBackend] | type[envoy_gateway.Backend], namespace: str, name: str) -> str:
        where = f"{kind.__name__} {namespace}/{name}"
        problem = self.resources.problem(kind, namespace, name)
        if problem is not None:
            return f"{where} cannot be used: {problem}"
        return f"{where} not found; create it or correct the name"

    def check_backend(self, service: AIServiceBackend) -> tuple[Finding, ...]:
        """What is wrong with an AIServiceBackend by itself, whoever refers to it."""
        spec = service.spec
        if spec is None:
            return (_no_spec(service),)
        namespace = spec.backend_ref.namespace or service.namespace
        try:
            self._referenced(service, namespace, spec.backend_ref.name)
            self._credential(service)
            unusable: tuple[Finding, ...] = ()
        except Unusable as exc:
            unusable = exc.findings
        return (*unusable, *_version_unused(service, spec.schema_), *not_served(service, spec.schema_, "error"))

    def check_policy(self, policy: AnyBackendSecurityPolicy) -> tuple[Finding, ...]:
        """What is wrong with a BackendSecurityPolicy by itself, whatever it targets."""
        if policy.spec is None:
            return (_error(policy, "spec", "Invalid", "has no spec; set type and the credential that goes with it"),)
        about_targets = (*self._check_targets(policy, policy.spec), *pools_not_served(policy))
        try:
            self.credentials.identity(policy)
        except Unusable as exc:
            return (*exc.findings, *about_targets)
        return about_targets

    def _check_targets(self, policy: AnyBackendSecurityPolicy, spec: SecurityPolicySpec) -> Iterator[Finding]:
        """Of AIServiceBackends: one that others target, too, is served by none of them."""
        for index, target in enumerate(spec.target_refs):
            if (target.group, target.kind) != (aigateway.GROUP, "AIServiceBackend"):
                continue
            field, where = f"spec.targetRefs[{index}].name", f"AIServiceBackend {policy.namespace}/{target.name}"
            policies = self.resources.policies_of((policy.namespace, target.name))
            others = ", ".join(each.name for each in policies if each.name != policy.name)
            if others:
                message = f"{where} is targeted by {others}, too; requests for it answer 503 until only one policy does"
                yield _error(policy, field, "Conflicted", message)
            elif self.resources.get(AIServiceBackend, policy.namespace, target.name) is None:
                message = f"{where} not found; the policy has no effect there before it is created"
                yield _warning(policy, field, "TargetNotFound", message)

    def _credential(self, service: AIServiceBackend) -> Identity | None:
        if unread := self.resources.unread_policies_of((service.namespace, service.name)):
            message = (
                f"BackendSecurityPolicy {unread[0]} targets this backend and cannot be read, so requests for it answer "
                "503 until it can; its status says what is wrong"
            )
            raise Unusable(_error(service, "", "NotRead", message))
        policies = self.resources.policies_of((service.namespace, service.name))
        if not policies:
            return None
        if len(policies) > 1:
            names = ", ".join(policy.name for policy in policies)
            message = (
                f"multiple BackendSecurityPolicies found for backend {service.name} ({names}); requests for it answer "
                "503 until only one of them targets it"
            )
            raise Unusable(_error(service, "", "Conflicted", message))
        return self.credentials.identity(policies[0])


def _no_spec(service: AIServiceBackend) -> Finding:
    return _error(service, "spec", "Invalid", "has no spec; set schema and backendRef")


def _error(
    object_: AIGatewayRoute | AIServiceBackend | AnyBackendSecurityPolicy | envoy_gateway.Backend,
    field: str,
    reason: str,
    message: str,
) -> Finding:
    return Finding(severity="error", object=ref_of(object_), field=field, reason=reason, message=message)


def _warning(
    object_: AIGatewayRoute | AIServiceBackend | AnyBackendSecurityPolicy, field: str, reason: str, message: str
) -> Finding:
    return Finding(severity="warning", object=ref_of(object_), field=field, reason=reason, message=message)


def not_served(
    service: AIServiceBackend, schema: VersionedAPISchema, severity: Literal["error", "warning"]
) -> Iterator[Finding]:
    """An error of the backend. Of a rule it is a warning: its place is kept, and clients get a 422 that says so."""
    if schema.name not in SERVED:
        message = (
            f"{schema.name} is not served yet: requests for this backend are answered with 422; served are "
            f"{', '.join(sorted(SERVED))}"
        )
        yield Finding(
            severity=severity, object=ref_of(service), field="spec.schema.name", reason="NotSupported", message=message
        )


def pool_not_served(route: AIGatewayRoute, field: str, ref: AIGatewayRouteBackendRef) -> Finding | None:
    """`field`: of the backendRef."""
    return None if ref.group is None else _error(route, f"{field}.kind", "NotSupported", _NO_POOLS)


def pools_not_served(policy: AnyBackendSecurityPolicy) -> Iterator[Finding]:
    """Targets that get no credential. A warning: other targets do."""
    for index, target in enumerate(policy.spec.target_refs if policy.spec else ()):
        if target.group != aigateway.GROUP:
            message = f"{target.kind}s are not served by this release; the policy has no effect on {target.name}"
            yield _warning(policy, f"spec.targetRefs[{index}].kind", "NotSupported", message)


def _version_unused(service: AIServiceBackend, schema: VersionedAPISchema) -> Iterator[Finding]:
    """Before there was `prefix`, `version` held the path of OpenAI-compatible providers; old files still do."""
    version = (schema.version or "").strip("/")
    if schema.name in _PREFIXED and schema.prefix is None and version not in ("", DEFAULT_PREFIX):
        message = (
            f"is not used with schema {schema.name}; for a path other than /{DEFAULT_PREFIX} set prefix: {version}"
        )
        yield _warning(service, "spec.schema.version", "NotUsed", message)


def _schema(schema: VersionedAPISchema) -> Schema:
    if schema.name in _PREFIXED:
        return Schema(name=schema.name, prefix=(schema.prefix or "").strip("/") or DEFAULT_PREFIX)
    return Schema(name=schema.name, version=schema.version or "")


def _hostnames(backend: envoy_gateway.Backend) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(endpoint.fqdn.hostname for endpoint in backend.spec.endpoints if endpoint.fqdn is not None)
    )


def _host(backend: envoy_gateway.Backend) -> str:
    """The one host name of the endpoints; empty when there is none, or no single one."""
    hosts = _hostnames(backend)
    return hosts[0] if len(hosts) == 1 else ""


def _authority(backend: envoy_gateway.Backend, credential: Identity | None) -> str:
    if credential is None or not credential.signs or all(endpoint.fqdn for endpoint in backend.spec.endpoints):
        return ""
    return _host(backend) or credential.signed_host


def _http_ref(
    route: AIGatewayRoute, service: AIServiceBackend, spec: AIServiceBackendSpec, weight: int
) -> gateway.HTTPBackendRef:
    namespace = spec.backend_ref.namespace or service.namespace
    return gateway.HTTPBackendRef(
        group=spec.backend_ref.group,
        kind=spec.backend_ref.kind,
        name=spec.backend_ref.name,
        namespace=None if namespace == route.namespace else namespace,
        port=spec.backend_ref.port,
        weight=weight,
    )
