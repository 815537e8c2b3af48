"""One backendRef of a rule → the backend that the data plane uses, or the reasons why there is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from extension_server.api import aigateway, core, envoy_gateway, gateway
from extension_server.api.aigateway import (
    AIGatewayRoute,
    AIGatewayRouteBackendRef,
    AIServiceBackend,
    AIServiceBackendSpec,
    AnyBackendSecurityPolicy,
    VersionedAPISchema,
)
from extension_server.compile import mutations
from extension_server.compile.grants import Side, granted, refusal
from extension_server.compile.result import Finding
from extension_server.compile.snapshot import Snapshot, ref_of
from extension_server.credentials.policy import AwsEnvironment, CredentialProblem, CredentialReader
from filters.contract import config
from filters.contract.config import AwsCredential, Credential, Schema

MAX_WEIGHT: Final = 1_000_000
"""Gateway API's limit for the weight of a backendRef; ours allows any int32"""
_PREFIXED: Final = ("OpenAI", "Anthropic")
DEFAULT_PREFIX: Final = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A backendRef that can be used."""

    ref: int
    weight: int
    priority: int
    backend: config.Backend
    http_ref: gateway.HTTPBackendRef
    endpoints: tuple[str, ...]
    """canonical texts of the endpoints, part of what a rule's token stands for"""
    findings: tuple[Finding, ...] = ()


class Unusable(Exception):
    """The backendRef cannot be used; its rule must fail closed."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(map(str, findings)))
        self.findings = findings


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendResolver:
    """Looks everything up in one snapshot."""

    resources: Snapshot
    policies: Mapping[tuple[str, str], tuple[AnyBackendSecurityPolicy, ...]]
    """(namespace, name) of an AIServiceBackend → the policies that target it (`policies_by_target`)"""
    aws_environment: AwsEnvironment | None = None

    def resolve(self, route: AIGatewayRoute, rule: int, index: int, ref: AIGatewayRouteBackendRef) -> Resolved:
        """Raises Unusable."""
        field = f"spec.rules[{rule}].backendRefs[{index}]"

        def problem(member: str, reason: str, message: str) -> Unusable:
            return Unusable(_error(route, f"{field}.{member}", reason, message))

        if ref.group is not None:
            raise problem("kind", "NotSupported", "InferencePool backends are not supported yet")
        if ref.weight > MAX_WEIGHT:
            raise problem("weight", "InvalidWeight", f"must not be more than {MAX_WEIGHT} (limit of HTTPRoute)")
        service, spec = self._service(route, ref, field)
        backend = self._backend(route, service, spec)
        credential = self._credential(service)
        host = _host(backend)
        if isinstance(credential, AwsCredential) and len(_hostnames(backend)) > 1:
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
                credential=credential,
                header_mutation=headers.mutation,
                body_mutation=mutations.body(ref.body_mutation, spec.body_mutation),
            ),
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
            message = f"AIServiceBackend {namespace}/{ref.name} not found; create it or correct the name"
            raise Unusable(_error(route, f"{field}.name", "BackendNotFound", message))
        if service.spec is None:
            raise Unusable(_error(service, "spec", "Invalid", "has no spec; set schema and backendRef"))
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
        backend = self.resources.get(envoy_gateway.Backend, namespace, name)
        if backend is None:
            message = f"Backend {namespace}/{name} not found; create it or correct the name"
            raise Unusable(_error(service, "spec.backendRef.name", "BackendNotFound", message))
        return backend

    def _credential(self, service: AIServiceBackend) -> Credential | None:
        policies = self.policies.get((service.namespace, service.name), ())
        if not policies:
            return None
        if len(policies) > 1:
            names = ", ".join(policy.name for policy in policies)
            message = f"multiple BackendSecurityPolicies found for backend {service.name} ({names}); keep one"
            raise Unusable(_error(service, "", "Conflicted", message))
        policy = policies[0]
        assert policy.spec is not None  # it has a targetRef
        reader = CredentialReader(
            secret_of=lambda namespace, name: self.resources.get(core.Secret, namespace, name),
            granted=lambda namespace, name: granted(
                self.resources,
                Side(aigateway.GROUP, "BackendSecurityPolicy", policy.namespace),
                Side("", "Secret", namespace),
                name,
            ),
            aws_environment=self.aws_environment,
        )
        try:
            return reader.read(policy.spec, policy.namespace)
        except CredentialProblem as exc:
            raise Unusable(_error(policy, exc.field, exc.reason, exc.message)) from exc


def policies_by_target(resources: Snapshot) -> dict[tuple[str, str], tuple[AnyBackendSecurityPolicy, ...]]:
    """(namespace, name) of each AIServiceBackend that some policy targets → these policies, by name."""
    found: dict[tuple[str, str], dict[str, AnyBackendSecurityPolicy]] = {}
    for policy in resources.all(AnyBackendSecurityPolicy):
        for target in policy.spec.target_refs if policy.spec else ():
            if (target.group, target.kind) == (aigateway.GROUP, "AIServiceBackend"):
                found.setdefault((policy.namespace, target.name), {})[policy.name] = policy
    return {target: tuple(policies.values()) for target, policies in found.items()}


def _error(
    object_: AIGatewayRoute | AIServiceBackend | AnyBackendSecurityPolicy | envoy_gateway.Backend,
    field: str,
    reason: str,
    message: str,
) -> Finding:
    return Finding(severity="error", object=ref_of(object_), field=field, reason=reason, message=message)


def _warning(object_: AIGatewayRoute | AIServiceBackend, field: str, reason: str, message: str) -> Finding:
    return Finding(severity="warning", object=ref_of(object_), field=field, reason=reason, message=message)


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
