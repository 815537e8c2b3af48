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
from filters.contract.config import CostType
from filters.contract.schemas import SchemaName

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
    """Headers that are set; what was there before is replaced."""
    remove: Annotated[tuple[str, ...], Field(max_length=16), ListKey()] = ()
    """Headers that are removed, in any spelling."""


class HTTPBodyField(Model):
    path: NonEmpty
    """A member at the top of the JSON body. No path: dots are part of the name."""
    value: str
    """JSON text; what is no JSON is taken as a string."""


class HTTPBodyMutation(Model):
    set: Annotated[tuple[HTTPBodyField, ...], Field(max_length=16), ListKey("path")] = ()
    """Members that are set."""
    remove: Annotated[tuple[str, ...], Field(max_length=16), ListKey()] = ()
    """Members that are removed."""


class LLMRequestCost(Model):
    metadata_key: str
    """Key of the number in the dynamic metadata `io.envoy.ai_gateway`: rate limits and access logs name it."""
    type: CostType
    """What the number is."""
    cel: str | None = None
    """With type CEL: an expression over model, backend, input_tokens, output_tokens, total_tokens and their kin."""


# ---- AIGatewayRoute


class AIGatewayRouteBackendRef(Model):
    name: NonEmpty
    """Name of an AIServiceBackend, or of an InferencePool where group and kind say so."""
    namespace: Namespace | None = None
    """Namespace of the backend, if it is another one; a ReferenceGrant there must allow it."""
    group: Group | None = None
    """Absent, or inference.networking.k8s.io."""
    kind: Annotated[str, Field(max_length=63, pattern=KIND_OR_EMPTY_PATTERN)] | None = None
    """Absent, or InferencePool."""
    model_name_override: Annotated[str, Unstated()] = ""
    """Model that is asked of the provider, instead of the one that the client asks for."""
    weight: Count = 1
    """Share of the traffic, relative to the other references."""
    priority: Count = 0
    """0 is used first; higher numbers when lower ones fail."""
    header_mutation: HTTPHeaderMutation | None = None
    """Changes to the headers of requests; they come after those of the backend."""
    body_mutation: HTTPBodyMutation | None = None
    """Changes to the bodies of requests; they come after those of the backend."""

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
    """Headers that a request must carry, all of them. The model is in `x-ai-eg-model`."""


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
    """Name that policies can refer to, as sectionName."""
    matches: Annotated[tuple[AIGatewayRouteMatch, ...], Field(max_length=128)] = ()
    """Requests that the rule is for: any of them. Absent: every request."""
    backend_refs: Annotated[tuple[AIGatewayRouteBackendRef, ...], Field(max_length=128)] = ()
    """Where requests go."""
    timeouts: HTTPRouteTimeouts | None = None
    """Time limits; without `request` it is 60s."""
    stream_idle_timeout: Duration | None = None
    """How long the provider may stay silent before the attempt is given up."""
    models_owned_by: str = "Envoy AI Gateway"
    """`owned_by` of the rule's models in the list of models."""
    models_created_at: DateTime | None = None
    """`created` of the rule's models in the list of models; absent: when the route was made."""

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
    """Gateways that serve the route."""
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    """Hosts that the route is for; absent: every host of the listener."""
    rules: Annotated[tuple[AIGatewayRouteRule, ...], Field(max_length=15), UNIQUE_RULE_NAMES]
    """The more exact match wins; among equals, the first."""
    llm_request_costs: Annotated[tuple[LLMRequestCost, ...], Field(max_length=36)] = ()
    """What is counted of every request of the route."""


class AIGatewayRoute(Object):
    """Which models a Gateway serves, and where requests for them go."""

    api_version: _ApiVersion = _DEFAULT_VERSION
    kind: Literal["AIGatewayRoute"] = "AIGatewayRoute"
    spec: AIGatewayRouteSpec | None = None


# ---- AIServiceBackend


class VersionedAPISchema(Model):
    name: SchemaName
    """The API that the provider speaks."""
    prefix: str | None = None
    """OpenAI and Anthropic: what stands before the path of a request; absent: v1."""
    version: str | None = None
    """AzureOpenAI: its api-version. AWSAnthropic and GCPAnthropic: the version of Anthropic's API."""


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
    """How the provider is spoken to."""
    backend_ref: EnvoyGatewayBackendRef
    """The Backend of Envoy Gateway that holds the provider's address."""
    header_mutation: HTTPHeaderMutation | None = None
    """Changes to the headers of requests."""
    body_mutation: HTTPBodyMutation | None = None
    """Changes to the bodies of requests."""


class AIServiceBackend(Object):
    """A provider: where it is and which API it speaks."""

    api_version: _ApiVersion = _DEFAULT_VERSION
    kind: Literal["AIServiceBackend"] = "AIServiceBackend"
    spec: AIServiceBackendSpec | None = None


# ---- BackendSecurityPolicy


class APIKeySource(Model):
    """`apiKey`, `azureAPIKey`, `anthropicAPIKey`: a Secret with the key `apiKey`."""

    secret_ref: SecretObjectReference
    """Secret whose key `apiKey` is the API key."""


class OIDCExchangeToken(Model):
    oidc: OIDC
    """Where the token comes from."""
    grant_type: str | None = None
    """Not used."""
    aud: str | None = None
    """Not used."""


class AWSOIDCExchangeToken(OIDCExchangeToken):
    aws_role_arn: NonEmpty
    """Role that the token is exchanged for."""


class AWSCredentialsFile(Model):
    secret_ref: SecretObjectReference
    """Secret whose key `credentials` is a credentials file."""
    profile: str = "default"
    """Profile in the file."""


class AWSCredentials(Model):
    region: NonEmpty
    """Region that requests are signed for."""
    credentials_file: AWSCredentialsFile | None = None
    """Keys in a file. Without credentialsFile and oidcExchangeToken: AWS's default chain."""
    oidc_exchange_token: AWSOIDCExchangeToken | None = None
    """A token that is exchanged for keys."""


class AzureCredentials(Model):
    client_id: NonEmpty = Field(alias="clientID")
    """Id of the application."""
    tenant_id: NonEmpty = Field(alias="tenantID")
    """Id of the tenant."""
    client_secret_ref: SecretObjectReference | None = None
    """Secret whose key `client-secret` is the application's secret."""
    oidc_exchange_token: OIDCExchangeToken | None = None
    """A token in place of the secret."""

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
    """Secret whose key `service_account.json` is the key of a service account."""


class GCPServiceAccountImpersonation(Model):
    service_account_name: NonEmpty
    """What stands before the @ in its name."""


class GCPWorkloadIdentityFederation(Model):
    project_id: NonEmpty = Field(alias="projectID")
    """Number or id of the pool's project."""
    workload_identity_pool_name: NonEmpty
    workload_identity_provider_name: NonEmpty
    oidc_exchange_token: OIDCExchangeToken
    """The token that is exchanged."""
    service_account_impersonation: GCPServiceAccountImpersonation | None = None
    """Act as this service account."""


class _GCPCredentials(Model):
    project_name: NonEmpty
    """Project in the path of requests."""
    region: NonEmpty
    """Location in the path of requests."""
    credentials_file: GCPCredentialsFile | None = None
    """Key of a service account. Without one of the two: Google's default credentials."""
    workload_identity_federation_config: GCPWorkloadIdentityFederation | None = None
    """A token that is exchanged for Google's."""


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
    """Name of the header, with AWS the start of its names; absent: the one that goes with the type."""
    fallback_to_configured: bool = True
    """Without the header: use the configured credential. False: refuse the request."""


class FromDynamicMetadata(Model):
    namespace: NonEmpty
    """Namespace of the dynamic metadata."""
    key: str | None = None
    """Key in it; absent: the one that goes with the type."""
    fallback_to_configured: bool = True
    """Without the metadata: use the configured credential. False: refuse the request."""


class CredentialOverride(Model):
    min_properties: ClassVar[int] = 1
    max_properties: ClassVar[int | None] = 1

    from_request_headers: FromRequestHeaders | None = None
    """The client brings it."""
    from_dynamic_metadata: FromDynamicMetadata | None = None
    """A filter before brings it."""


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
    """Sort of credential; the field that goes with it must be set, and no other of them."""
    target_refs: Annotated[tuple[LocalPolicyTargetReference, ...], Field(max_length=16), ONLY_BACKENDS] = ()
    """Backends and pools of the same namespace that the credential is for."""
    api_key: APIKeySource | None = None
    """With type APIKey: sent as a bearer token."""
    azure_api_key: APIKeySource | None = Field(default=None, alias="azureAPIKey")
    """With type AzureAPIKey."""
    anthropic_api_key: APIKeySource | None = Field(default=None, alias="anthropicAPIKey")
    """With type AnthropicAPIKey."""
    aws_credentials: AWSCredentials | None = None
    """With type AWSCredentials."""
    azure_credentials: AzureCredentials | None = None
    """With type AzureCredentials."""

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
    """With type GCPCredentials."""
    credential_override: CredentialOverride | None = None
    """A credential of the request in place of the configured one."""


class BackendSecurityPolicySpecV1alpha1(SecurityPolicySpec):
    max_properties: ClassVar[int | None] = 3

    gcp_credentials: GCPCredentialsV1alpha1 | None = None
    """With type GCPCredentials."""


class AnyBackendSecurityPolicy(Object):
    """BackendSecurityPolicy of either version."""

    kind: Literal["BackendSecurityPolicy"] = "BackendSecurityPolicy"
    spec: SecurityPolicySpec | None = None


class BackendSecurityPolicy(AnyBackendSecurityPolicy):
    """How the gateway signs in to providers."""

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
    """Environment of the container; a name that the controller sets too is overridden."""
    image: Annotated[str, IMAGE] | None = None
    """Image of the container."""
    image_repository: Annotated[str, IMAGE_REPOSITORY] | None = None
    """Repository of the image; tag and digest stay."""
    resources: ResourceRequirements | None = None
    security_context: SecurityContext | None = None
    """In place of the default one, as a whole."""
    volume_mounts: tuple[VolumeMount, ...] = ()
    """Of volumes that the EnvoyProxy defines."""

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
    """The container."""


class ForwardProxy(Model):
    address: NonEmpty
    """host:port of an HTTP proxy that takes CONNECT."""


class GatewayConfigSpec(Model):
    ext_proc: ExtProc | None = None
    """The filter beside Envoy."""
    forward_proxy: ForwardProxy | None = None
    """Proxy on the way to the providers."""
    global_llm_request_costs: Annotated[tuple[LLMRequestCost, ...], ListKey("metadata_key")] = Field(
        default=(), alias="globalLLMRequestCosts"
    )
    """What is counted of every request of the Gateways; a route's own entry of the same key wins."""


class GatewayConfig(Object):
    """Settings of the Gateways whose annotation `aigateway.envoyproxy.io/gateway-config` names it."""

    api_version: _ApiVersion = _DEFAULT_VERSION
    kind: Literal["GatewayConfig"] = "GatewayConfig"
    spec: GatewayConfigSpec | None = None
