"""Our own kinds: AIGatewayRoute, AIServiceBackend, BackendSecurityPolicy, GatewayConfig (`aigateway.envoyproxy.io`).

v1beta1 is the storage version; v1alpha1 differs only in BackendSecurityPolicy (`BackendSecurityPolicyV1alpha1`).
Constraints, defaults and messages are API surface (API chapter §1.3-1.6, §1.10): never weaken or reword them.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from extension_server.api.base import (
    KIND_OR_EMPTY_PATTERN,
    Count,
    DateTime,
    Duration,
    Group,
    HeaderName,
    Hostname,
    ListKey,
    Model,
    Namespace,
    NonEmpty,
    Object,
    Rule,
    SectionName,
    Unstated,
)
from extension_server.api.container import EnvVar, ResourceRequirements, SecurityContext, VolumeMount
from extension_server.api.gateway import (
    BackendObjectReference,
    HTTPHeaderMatch,
    HTTPRouteTimeouts,
    LocalPolicyTargetReference,
    ParentReference,
    SecretObjectReference,
)
from extension_server.api.oidc import OIDC
from filters.contract.config import CostType, SchemaName

GROUP: Final = "aigateway.envoyproxy.io"
V1BETA1: Final = f"{GROUP}/v1beta1"
V1ALPHA1: Final = f"{GROUP}/v1alpha1"
INFERENCE_GROUP: Final = "inference.networking.k8s.io"
INFERENCE_POOL: Final = "InferencePool"
GATEWAY_CONFIG_ANNOTATION: Final = "aigateway.envoyproxy.io/gateway-config"
NOT_FOUND_RULE: Final = "route-not-found"

_ApiVersion = Literal["aigateway.envoyproxy.io/v1beta1", "aigateway.envoyproxy.io/v1alpha1"]
_DEFAULT_VERSION: Final = "aigateway.envoyproxy.io/v1beta1"


# ---- shared parts


class HTTPHeader(Model):
    name: HeaderName
    value: Annotated[str, Field(min_length=1, max_length=4096)]


class HTTPHeaderMutation(Model):
    set: Annotated[tuple[HTTPHeader, ...], Field(max_length=16), ListKey("name")] = ()
    remove: Annotated[tuple[str, ...], Field(max_length=16), ListKey()] = ()


class HTTPBodyField(Model):
    path: NonEmpty
    value: str


class HTTPBodyMutation(Model):
    set: Annotated[tuple[HTTPBodyField, ...], Field(max_length=16), ListKey("path")] = ()
    remove: Annotated[tuple[str, ...], Field(max_length=16), ListKey()] = ()


class LLMRequestCost(Model):
    metadata_key: str
    type: CostType
    cel: str | None = None


# ---- AIGatewayRoute


class AIGatewayRouteBackendRef(Model):
    name: NonEmpty
    namespace: Namespace | None = None
    group: Group | None = None
    kind: Annotated[str, Field(max_length=63, pattern=KIND_OR_EMPTY_PATTERN)] | None = None
    model_name_override: Annotated[str, Unstated()] = ""
    weight: Count = 1
    priority: Count = 0
    header_mutation: HTTPHeaderMutation | None = None
    body_mutation: HTTPBodyMutation | None = None

    cel_rules = (
        Rule(
            "A6",
            "!has(self.group) && !has(self.kind) || (has(self.group) && has(self.kind))",
            "group and kind must be specified together",
            lambda ref: (ref.group is None) == (ref.kind is None),
        ),
        Rule(
            "A7",
            f"!has(self.group) || (self.group == '{INFERENCE_GROUP}' && has(self.kind) && "
            f"self.kind == '{INFERENCE_POOL}')",
            "only InferencePool from inference.networking.k8s.io group is supported",
            lambda ref: ref.group is None or (ref.group, ref.kind) == (INFERENCE_GROUP, INFERENCE_POOL),
        ),
    )


class AIGatewayRouteMatch(Model):
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Field(max_length=16), ListKey("name")] = ()


def _refs_of_one_sort(rule: "AIGatewayRouteRule") -> bool:
    refs = rule.backend_refs
    return all(ref.group is None and ref.kind is None for ref in refs) or all(
        ref.group is not None and ref.kind is not None for ref in refs
    )


def _one_pool_only(rule: "AIGatewayRouteRule") -> bool:
    pools = any(ref.group is not None and ref.kind is not None for ref in rule.backend_refs)
    return not pools or len(rule.backend_refs) == 1


class AIGatewayRouteRule(Model):
    name: SectionName | None = None
    matches: Annotated[tuple[AIGatewayRouteMatch, ...], Field(max_length=128)] = ()
    backend_refs: Annotated[tuple[AIGatewayRouteBackendRef, ...], Field(max_length=128)] = ()
    timeouts: HTTPRouteTimeouts | None = None
    stream_idle_timeout: Duration | None = None
    models_owned_by: str = "Envoy AI Gateway"
    models_created_at: DateTime | None = None

    cel_rules = (
        Rule(
            "A3",
            f"!has(self.name) || self.name != '{NOT_FOUND_RULE}'",
            f"rule name {NOT_FOUND_RULE} is reserved",
            lambda rule: rule.name != NOT_FOUND_RULE,
        ),
        Rule(
            "A4",
            "!has(self.backendRefs) || size(self.backendRefs) == 0 || "
            "self.backendRefs.all(ref, !has(ref.group) && !has(ref.kind)) || "
            "self.backendRefs.all(ref, has(ref.group) && has(ref.kind))",
            "cannot mix InferencePool and AIServiceBackend references in the same rule",
            _refs_of_one_sort,
        ),
        Rule(
            "A5",
            "!has(self.backendRefs) || size(self.backendRefs) == 0 || "
            "!self.backendRefs.exists(ref, has(ref.group) && has(ref.kind)) || size(self.backendRefs) == 1",
            "only one InferencePool backend is allowed per rule",
            _one_pool_only,
        ),
    )


ONLY_GATEWAYS: Final = Rule(
    "A1",
    "self.all(match, match.kind == 'Gateway')",
    "only Gateway is supported",
    lambda refs: all(ref.kind == "Gateway" for ref in refs),
)


def _unique_names(rules: tuple[AIGatewayRouteRule, ...]) -> bool:
    names = [rule.name for rule in rules if rule.name is not None]
    return len(names) == len(set(names))


UNIQUE_RULE_NAMES: Final = Rule(
    "A2",
    "self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && b.name == a.name))",
    "rule name must be unique within the route",
    _unique_names,
)


class AIGatewayRouteSpec(Model):
    parent_refs: Annotated[tuple[ParentReference, ...], Field(max_length=16), ONLY_GATEWAYS] = ()
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[AIGatewayRouteRule, ...], Field(max_length=15), UNIQUE_RULE_NAMES]
    llm_request_costs: Annotated[tuple[LLMRequestCost, ...], Field(max_length=36)] = ()


class AIGatewayRoute(Object):
    api_version: _ApiVersion = _DEFAULT_VERSION
    kind: Literal["AIGatewayRoute"] = "AIGatewayRoute"
    spec: AIGatewayRouteSpec | None = None


# ---- AIServiceBackend


class VersionedAPISchema(Model):
    name: SchemaName
    prefix: str | None = None
    version: str | None = None


class EnvoyGatewayBackendRef(BackendObjectReference):
    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "S1",
            "has(self.kind) && self.kind == 'Backend' && has(self.group) && self.group == 'gateway.envoyproxy.io'",
            "BackendRef must be a Backend resource of Envoy Gateway. "
            "See https://github.com/envoyproxy/ai-gateway/issues/902 for more details.",
            lambda ref: (ref.group, ref.kind) == ("gateway.envoyproxy.io", "Backend"),
        ),
        *BackendObjectReference.cel_rules,
    )


class AIServiceBackendSpec(Model):
    schema_: VersionedAPISchema = Field(alias="schema")
    backend_ref: EnvoyGatewayBackendRef
    header_mutation: HTTPHeaderMutation | None = None
    body_mutation: HTTPBodyMutation | None = None


class AIServiceBackend(Object):
    api_version: _ApiVersion = _DEFAULT_VERSION
    kind: Literal["AIServiceBackend"] = "AIServiceBackend"
    spec: AIServiceBackendSpec | None = None


# ---- BackendSecurityPolicy


class APIKeySource(Model):
    """`apiKey`, `azureAPIKey`, `anthropicAPIKey`: a Secret with the key `apiKey`."""

    secret_ref: SecretObjectReference


class OIDCExchangeToken(Model):
    oidc: OIDC
    grant_type: str | None = None
    aud: str | None = None


class AWSOIDCExchangeToken(OIDCExchangeToken):
    aws_role_arn: NonEmpty


class AWSCredentialsFile(Model):
    secret_ref: SecretObjectReference
    profile: str = "default"


class AWSCredentials(Model):
    region: NonEmpty
    credentials_file: AWSCredentialsFile | None = None
    oidc_exchange_token: AWSOIDCExchangeToken | None = None


class AzureCredentials(Model):
    client_id: NonEmpty = Field(alias="clientID")
    tenant_id: NonEmpty = Field(alias="tenantID")
    client_secret_ref: SecretObjectReference | None = None
    oidc_exchange_token: OIDCExchangeToken | None = None

    cel_rules = (
        Rule(
            "B8",
            "(has(self.clientSecretRef) && !has(self.oidcExchangeToken)) || "
            "(!has(self.clientSecretRef) && has(self.oidcExchangeToken))",
            "Exactly one of clientSecretRef or oidcExchangeToken must be specified",
            lambda azure: (azure.client_secret_ref is None) != (azure.oidc_exchange_token is None),
        ),
    )


class GCPCredentialsFile(Model):
    secret_ref: SecretObjectReference


class GCPServiceAccountImpersonation(Model):
    service_account_name: NonEmpty


class GCPWorkloadIdentityFederation(Model):
    project_id: NonEmpty = Field(alias="projectID")
    workload_identity_pool_name: NonEmpty
    workload_identity_provider_name: NonEmpty
    oidc_exchange_token: OIDCExchangeToken
    service_account_impersonation: GCPServiceAccountImpersonation | None = None


class _GCPCredentials(Model):
    project_name: NonEmpty
    region: NonEmpty
    credentials_file: GCPCredentialsFile | None = None
    workload_identity_federation_config: GCPWorkloadIdentityFederation | None = None


class GCPCredentials(_GCPCredentials):
    cel_rules = (
        Rule(
            "B9",
            "!(has(self.credentialsFile) && has(self.workloadIdentityFederationConfig))",
            "At most one of credentialsFile or workloadIdentityFederationConfig may be specified",
            lambda gcp: gcp.credentials_file is None or gcp.workload_identity_federation_config is None,
        ),
    )


class GCPCredentialsV1alpha1(_GCPCredentials):
    cel_rules = (
        Rule(
            "B9",
            "(has(self.credentialsFile) && !has(self.workloadIdentityFederationConfig)) || "
            "(!has(self.credentialsFile) && has(self.workloadIdentityFederationConfig))",
            "Exactly one of GCPWorkloadIdentityFederationConfig or GCPCredentialsFile must be specified",
            lambda gcp: (gcp.credentials_file is None) != (gcp.workload_identity_federation_config is None),
        ),
    )


class FromRequestHeaders(Model):
    header: str | None = None
    fallback_to_configured: bool = True


class FromDynamicMetadata(Model):
    namespace: NonEmpty
    key: str | None = None
    fallback_to_configured: bool = True


class CredentialOverride(Model):
    min_properties: ClassVar[int] = 1
    max_properties: ClassVar[int | None] = 1

    from_request_headers: FromRequestHeaders | None = None
    from_dynamic_metadata: FromDynamicMetadata | None = None


_TARGETS: Final = ((GROUP, "AIServiceBackend"), (INFERENCE_GROUP, INFERENCE_POOL))

ONLY_BACKENDS: Final = Rule(
    "B7",
    f"self.all(ref, (ref.group == '{GROUP}' && ref.kind == 'AIServiceBackend') || "
    f"(ref.group == '{INFERENCE_GROUP}' && ref.kind == '{INFERENCE_POOL}'))",
    "targetRefs must reference AIServiceBackend or InferencePool resources",
    lambda refs: all((ref.group, ref.kind) in _TARGETS for ref in refs),
)

CREDENTIAL_FIELDS: Final = {
    "APIKey": "apiKey",
    "AWSCredentials": "awsCredentials",
    "AzureAPIKey": "azureAPIKey",
    "AzureCredentials": "azureCredentials",
    "GCPCredentials": "gcpCredentials",
    "AnthropicAPIKey": "anthropicAPIKey",
}
"""`spec.type` → the one credential block that goes with it."""


def _only_field_of(type_: str, field: str) -> Callable[[Any], bool]:
    def holds(spec: "SecurityPolicySpec") -> bool:
        return spec.type != type_ or spec.credential_blocks == {field}

    return holds


def _type_rule(number: int, type_: str, field: str) -> Rule:
    others = " && ".join(f"!has(self.{other})" for other in CREDENTIAL_FIELDS.values() if other != field)
    return Rule(
        f"B{number}",
        f"self.type == '{type_}' ? (has(self.{field}) && {others}) : true",
        f"When type is {type_}, only {field} field should be set",
        _only_field_of(type_, field),
    )


class SecurityPolicySpec(Model):
    """What both versions share; each adds its `gcp_credentials`."""

    type: Literal["APIKey", "AWSCredentials", "AzureAPIKey", "AzureCredentials", "GCPCredentials", "AnthropicAPIKey"]
    target_refs: Annotated[tuple[LocalPolicyTargetReference, ...], Field(max_length=16), ONLY_BACKENDS] = ()
    api_key: APIKeySource | None = None
    azure_api_key: APIKeySource | None = Field(default=None, alias="azureAPIKey")
    anthropic_api_key: APIKeySource | None = Field(default=None, alias="anthropicAPIKey")
    aws_credentials: AWSCredentials | None = None
    azure_credentials: AzureCredentials | None = None

    cel_rules = tuple(
        _type_rule(number, type_, field) for number, (type_, field) in enumerate(CREDENTIAL_FIELDS.items(), start=1)
    )

    @property
    def credential_blocks(self) -> set[str]:
        """Names (as written) of the credential blocks that are set."""
        fields = type(self).model_fields
        written = {name: info.alias or name for name, info in fields.items()}
        present = {written[name] for name in written if getattr(self, name) is not None}
        return present & set(CREDENTIAL_FIELDS.values())


class BackendSecurityPolicySpec(SecurityPolicySpec):
    max_properties: ClassVar[int | None] = 4

    gcp_credentials: GCPCredentials | None = None
    credential_override: CredentialOverride | None = None


class BackendSecurityPolicySpecV1alpha1(SecurityPolicySpec):
    max_properties: ClassVar[int | None] = 3

    gcp_credentials: GCPCredentialsV1alpha1 | None = None


class AnyBackendSecurityPolicy(Object):
    """BackendSecurityPolicy of either version."""

    kind: Literal["BackendSecurityPolicy"] = "BackendSecurityPolicy"
    spec: SecurityPolicySpec | None = None


class BackendSecurityPolicy(AnyBackendSecurityPolicy):
    api_version: Literal["aigateway.envoyproxy.io/v1beta1"] = "aigateway.envoyproxy.io/v1beta1"
    spec: BackendSecurityPolicySpec | None = None


class BackendSecurityPolicyV1alpha1(AnyBackendSecurityPolicy):
    """v1alpha1: three properties at most, no `credentialOverride`, and GCP wants exactly one credential source."""

    api_version: Literal["aigateway.envoyproxy.io/v1alpha1"] = "aigateway.envoyproxy.io/v1alpha1"
    spec: BackendSecurityPolicySpecV1alpha1 | None = None


# ---- GatewayConfig

_IMAGE_CEL: Final = r"^[a-zA-Z0-9._-]+(:[0-9]+)?(/[a-zA-Z0-9._/-]+)?(:[a-zA-Z0-9._-]+)?(@sha256:[a-z0-9]+)?$"
_REPOSITORY_CEL: Final = r"^[a-zA-Z0-9._-]+(:[0-9]+)?[a-zA-Z0-9._/-]+$"


def _matching(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern.removesuffix("$") + r"\Z", re.ASCII)
    return lambda text: compiled.match(text) is not None


IMAGE: Final = Rule(
    "G2",
    f"self.matches(r'{_IMAGE_CEL}')",
    "Image must include a tag and allowed characters only (e.g., 'repo:tag').",
    _matching(_IMAGE_CEL),
)
IMAGE_REPOSITORY: Final = Rule(
    "G3",
    f"self.matches(r'{_REPOSITORY_CEL}')",
    "ImageRepository must contain only allowed characters and must not include a tag.",
    _matching(_REPOSITORY_CEL),
)


class ExtProcKubernetes(Model):
    env: tuple[EnvVar, ...] = ()
    image: Annotated[str, IMAGE] | None = None
    image_repository: Annotated[str, IMAGE_REPOSITORY] | None = None
    resources: ResourceRequirements | None = None
    security_context: SecurityContext | None = None
    volume_mounts: tuple[VolumeMount, ...] = ()

    cel_rules = (
        Rule(
            "G1",
            "!has(self.image) || !has(self.imageRepository)",
            "Either image or imageRepository can be set.",
            lambda container: container.image is None or container.image_repository is None,
        ),
    )


class ExtProc(Model):
    kubernetes: ExtProcKubernetes | None = None


class ForwardProxy(Model):
    address: NonEmpty


class GatewayConfigSpec(Model):
    ext_proc: ExtProc | None = None
    forward_proxy: ForwardProxy | None = None
    global_llm_request_costs: Annotated[tuple[LLMRequestCost, ...], ListKey("metadata_key")] = Field(
        default=(), alias="globalLLMRequestCosts"
    )


class GatewayConfig(Object):
    api_version: _ApiVersion = _DEFAULT_VERSION
    kind: Literal["GatewayConfig"] = "GatewayConfig"
    spec: GatewayConfigSpec | None = None
