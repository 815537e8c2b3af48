"""Envoy Gateway's client authentication as MCPRoute embeds it: ExtAuth, APIKeyAuth, JWKS (API chapter §1.9.4-1.9.6).

Copied into the SecurityPolicy that is generated for the route. `envoy_gateway.py` has the parts of the same types that
standalone mode serves; here is everything that Envoy Gateway's own schema takes: nothing that people wrote is pruned.
"""

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from extension_server.api.base import Duration, Group, Int32, Kind, ListKey, Model, ObjectName, Rule, Unstated
from extension_server.api.cluster_settings import ClusterSettings
from extension_server.api.gateway import BackendObjectReference, LocalObjectReference, SecretObjectReference
from extension_server.api.oidc import BACKEND_RULES, EGBackendRef

# ---- where the service is


class BackendCluster(Model):
    """A service of the user's: `backendRef` (deprecated) or `backendRefs`, with settings of its cluster."""

    backend_ref: BackendObjectReference | None = None
    backend_refs: Annotated[tuple[EGBackendRef, ...], Field(max_length=16)] = ()
    backend_settings: ClusterSettings | None = None


_KINDS: Final = ("Service", "ServiceImport", "Backend")
_GROUPS: Final = ("", "multicluster.x-k8s.io", "gateway.envoyproxy.io")


class _ExtAuthService(BackendCluster):
    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "X5",
            "has(self.backendRef) || (has(self.backendRefs) && size(self.backendRefs) > 0)",
            "backendRef or backendRefs needs to be set",
            lambda service: service.backend_ref is not None or len(service.backend_refs) > 0,
        ),
        Rule(
            "X6",
            "has(self.backendRefs) ? self.backendRefs.all(f, f.kind == 'Service' || f.kind == 'ServiceImport' || "
            "f.kind == 'Backend') : true",
            "BackendRefs only supports Service, ServiceImport, and Backend kind.",
            lambda service: all(ref.kind in _KINDS for ref in service.backend_refs),
        ),
        Rule(
            "X7",
            "has(self.backendRefs) ? self.backendRefs.all(f, f.group == '' || f.group == 'multicluster.x-k8s.io' || "
            "f.group == 'gateway.envoyproxy.io') : true",
            "BackendRefs only supports Core, multicluster.x-k8s.io, and gateway.envoyproxy.io groups.",
            lambda service: all(ref.group in _GROUPS for ref in service.backend_refs),
        ),
    )


# ---- ExtAuth


class GRPCExtAuthService(_ExtAuthService):
    pass


class HTTPExtAuthService(_ExtAuthService):
    headers_to_backend: tuple[str, ...] = ()
    path: str | None = None
    path_override: str | None = None

    cel_rules = (
        *_ExtAuthService.cel_rules,
        Rule(
            "X8",
            "!(has(self.path) && has(self.pathOverride))",
            "only one of path or pathOverride can be specified",
            lambda service: service.path is None or service.path_override is None,
        ),
    )


class BodyToExtAuth(Model):
    max_request_bytes: Annotated[Int32, Field(ge=1)]


class ContextExtensionValueRef(Model):
    group: Group
    kind: Kind
    name: ObjectName
    key: str

    cel_rules = (
        Rule(
            "X4",
            "self.kind in ['ConfigMap', 'Secret'] && self.group in ['', 'v1']",
            "Only a reference to an object of kind ConfigMap or Secret belonging to default v1 API group is supported.",
            lambda ref: ref.kind in ("ConfigMap", "Secret") and ref.group in ("", "v1"),
        ),
    )


class ContextExtension(Model):
    name: str
    type: Literal["Value", "ValueRef"] = "Value"
    value: str | None = None
    value_ref: ContextExtensionValueRef | None = None

    cel_rules = (
        Rule(
            "X3",
            "(self.type == 'Value' && has(self.value) && !has(self.valueRef)) || "
            "(self.type == 'ValueRef' && !has(self.value) && has(self.valueRef))",
            "Exactly one of value or valueRef must be set with correct type.",
            lambda extension: (
                (extension.value is not None, extension.value_ref is not None)
                == ((True, False) if extension.type == "Value" else (False, True))
            ),
        ),
    )


# Those that Envoy knows (envoy.type.v3.StatusCode), from 400 up.
StatusOnError = Literal[
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424,
    426, 428, 429, 431, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
]  # fmt: skip


class ExtAuth(Model):
    """An authorization service that is asked about every request."""

    grpc: GRPCExtAuthService | None = None
    http: HTTPExtAuthService | None = None
    headers_to_ext_auth: tuple[str, ...] = ()
    body_to_ext_auth: BodyToExtAuth | None = None
    context_extensions: Annotated[tuple[ContextExtension, ...], ListKey("name")] = ()
    fail_open: bool = False
    include_route_metadata: bool | None = None
    recompute_route: bool | None = None
    status_on_error: StatusOnError | None = None
    timeout: Duration | None = None

    cel_rules = (
        Rule(
            "X1",
            "has(self.grpc) || has(self.http)",
            "one of grpc or http must be specified",
            lambda auth: auth.grpc is not None or auth.http is not None,
        ),
        Rule(
            "X2",
            "(has(self.grpc) && !has(self.http)) || (!has(self.grpc) && has(self.http))",
            "only one of grpc or http can be specified",
            lambda auth: (auth.grpc is None) != (auth.http is None),
        ),
    )


# ---- APIKeyAuth


class ExtractFrom(Model):
    headers: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()


class APIKeyAuth(Model):
    """Clients show an API key of a Secret (key of the Secret: client id)."""

    credential_refs: tuple[SecretObjectReference, ...]
    extract_from: tuple[ExtractFrom, ...]
    forward_client_id_header: str | None = Field(default=None, alias="forwardClientIDHeader")
    sanitize: Annotated[bool, Unstated()] = False


# ---- JWKS


class RemoteJWKS(BackendCluster):
    uri: Annotated[str, Field(min_length=1, max_length=253)]
    cache_duration: Duration = "300s"

    cel_rules = BACKEND_RULES


class LocalJWKS(Model):
    type: Literal["Inline", "ValueRef"] = "Inline"
    inline: str | None = None
    value_ref: LocalObjectReference | None = None

    cel_rules = (
        Rule(
            "J1",
            "(self.type == 'Inline' && has(self.inline) && !has(self.valueRef)) || "
            "(self.type == 'ValueRef' && !has(self.inline) && has(self.valueRef))",
            "Exactly one of inline or valueRef must be set with correct type.",
            lambda jwks: (
                (jwks.inline is not None, jwks.value_ref is not None)
                == ((True, False) if jwks.type == "Inline" else (False, True))
            ),
        ),
    )


def _remote(jwks: Any) -> bool:
    return jwks.remote_jwks is not None


def _local(jwks: Any) -> bool:
    return jwks.local_jwks is not None


class JWKS(Model):
    """Where the keys are that tokens are signed with; absent: found through the issuer's metadata."""

    remote_jwks: RemoteJWKS | None = Field(default=None, alias="remoteJWKS")
    local_jwks: LocalJWKS | None = Field(default=None, alias="localJWKS")

    cel_rules = (
        Rule(
            "M10",
            "has(self.remoteJWKS) || has(self.localJWKS)",
            "either remoteJWKS or localJWKS must be specified.",
            lambda jwks: _remote(jwks) or _local(jwks),
        ),
        Rule(
            "M11",
            "!(has(self.remoteJWKS) && has(self.localJWKS))",
            "remoteJWKS and localJWKS cannot both be specified.",
            lambda jwks: not (_remote(jwks) and _local(jwks)),
        ),
    )
