"""Kinds of the Gateway API, as far as the compiler generates them or standalone mode serves them.

A field that is not here is one that standalone mode cannot serve: the loader says so and names Envoy Gateway. In a
cluster these objects are read by Envoy Gateway, and only the fields here by us. Source: Gateway API 1.5.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from extension_server.api.base import (
    Duration,
    Group,
    HeaderName,
    Hostname,
    Kind,
    ListKey,
    Model,
    Namespace,
    Object,
    ObjectName,
    Port,
    PreciseHostname,
    Rule,
    SectionName,
    seconds,
)

GROUP: Final = "gateway.networking.k8s.io"
V1: Final = f"{GROUP}/v1"


class ParentReference(Model):
    group: Group = GROUP
    kind: Kind = "Gateway"
    name: ObjectName
    namespace: Namespace | None = None
    port: Port | None = None
    section_name: SectionName | None = None


class SecretObjectReference(Model):
    group: Group = ""
    kind: Kind = "Secret"
    name: ObjectName
    namespace: Namespace | None = None


class LocalObjectReference(Model):
    group: Group
    kind: Kind
    name: ObjectName


class LocalPolicyTargetReference(Model):
    group: Group
    kind: Kind
    name: ObjectName


class PolicyTargetReference(Model):
    """LocalPolicyTargetReferenceWithSectionName."""

    group: Group
    kind: Kind
    name: ObjectName
    section_name: SectionName | None = None


class BackendObjectReference(Model):
    group: Group = ""
    kind: Kind = "Service"
    name: ObjectName
    namespace: Namespace | None = None
    port: Port | None = None

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "P1",
            "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
            "Must have port for Service reference",
            lambda ref: ref.port is not None or ref.group != "" or ref.kind != "Service",
        ),
    )


class HTTPHeaderMatch(Model):
    name: HeaderName
    type: Literal["Exact", "RegularExpression"] = "Exact"
    value: Annotated[str, Field(min_length=1, max_length=4096)]


def _backend_request_fits(timeouts: "HTTPRouteTimeouts") -> bool:
    if timeouts.request is None or timeouts.backend_request is None or seconds(timeouts.request) == 0:
        return True
    return seconds(timeouts.backend_request) <= seconds(timeouts.request)


class HTTPRouteTimeouts(Model):
    request: Duration | None = None
    backend_request: Duration | None = None

    cel_rules = (
        Rule(
            "A8",
            "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && "
            "duration(self.backendRequest) > duration(self.request))",
            "backendRequest timeout cannot be longer than request timeout",
            _backend_request_fits,
        ),
    )


# ---- GatewayClass


class ParametersReference(Model):
    group: Group
    kind: Kind
    name: ObjectName
    namespace: Namespace | None = None


class GatewayClassSpec(Model):
    controller_name: Annotated[str, Field(min_length=1, max_length=253)]
    description: Annotated[str, Field(max_length=64)] | None = None
    parameters_ref: ParametersReference | None = None


class GatewayClass(Object):
    namespaced = False
    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    kind: Literal["GatewayClass"] = "GatewayClass"
    spec: GatewayClassSpec


# ---- Gateway


class LabelSelectorRequirement(Model):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class LabelSelector(Model):
    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class RouteNamespaces(Model):
    from_: Literal["All", "Same", "Selector"] = Field(default="Same", alias="from")
    selector: LabelSelector | None = None
    """with `Selector`: labels of namespaces; none allows none"""


class RouteGroupKind(Model):
    group: Group = GROUP
    kind: Kind


class AllowedRoutes(Model):
    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: Annotated[tuple[RouteGroupKind, ...], Field(max_length=8)] = ()


class ListenerTLS(Model):
    mode: Literal["Terminate"] = "Terminate"
    certificate_refs: Annotated[tuple[SecretObjectReference, ...], Field(max_length=64)] = ()


class Listener(Model):
    name: SectionName
    hostname: Hostname | None = None
    port: Port
    protocol: Literal["HTTP", "HTTPS"]
    tls: ListenerTLS | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()


class LocalParametersReference(Model):
    group: Group
    kind: Kind
    name: ObjectName


class Infrastructure(Model):
    parameters_ref: LocalParametersReference | None = None


class GatewaySpec(Model):
    gateway_class_name: ObjectName
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64), ListKey("name")]
    infrastructure: Infrastructure | None = None


class Gateway(Object):
    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    kind: Literal["Gateway"] = "Gateway"
    spec: GatewaySpec


class StoredGatewaySpec(GatewaySpec):
    listeners: Annotated[tuple[Listener, ...], Field(max_length=64), ListKey("name")] = ()


class StoredGateway(Gateway):
    """A Gateway in a cluster, reduced to the listeners that routes of ours can attach to. There may be none."""

    spec: StoredGatewaySpec


# ---- HTTPRoute


class HTTPPathMatch(Model):
    type: Literal["PathPrefix", "Exact"] = "PathPrefix"
    value: Annotated[str, Field(max_length=1024, pattern="^/")] = "/"


class HTTPRouteMatch(Model):
    path: HTTPPathMatch = HTTPPathMatch()
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Field(max_length=16), ListKey("name")] = ()


class HTTPRouteFilterReference(Model):
    """An element of `rules[].filters`; only references to Envoy Gateway's HTTPRouteFilter are known."""

    type: Literal["ExtensionRef"]
    extension_ref: LocalObjectReference


class HTTPBackendRef(BackendObjectReference):
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class HTTPRouteRule(Model):
    name: SectionName | None = None
    matches: Annotated[tuple[HTTPRouteMatch, ...], Field(max_length=64)] = (HTTPRouteMatch(),)
    filters: Annotated[tuple[HTTPRouteFilterReference, ...], Field(max_length=16)] = ()
    backend_refs: Annotated[tuple[HTTPBackendRef, ...], Field(max_length=16)] = ()
    timeouts: HTTPRouteTimeouts | None = None


class HTTPRouteSpec(Model):
    parent_refs: Annotated[tuple[ParentReference, ...], Field(max_length=32)] = ()
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    rules: Annotated[tuple[HTTPRouteRule, ...], Field(min_length=1, max_length=16)] = (HTTPRouteRule(),)


class HTTPRoute(Object):
    api_version: Literal["gateway.networking.k8s.io/v1"] = "gateway.networking.k8s.io/v1"
    kind: Literal["HTTPRoute"] = "HTTPRoute"
    spec: HTTPRouteSpec


# ---- ReferenceGrant


class GrantFrom(Model):
    group: Group
    kind: Kind
    namespace: Namespace


class GrantTo(Model):
    group: Group
    kind: Kind
    name: ObjectName | None = None


class ReferenceGrantSpec(Model):
    from_: Annotated[tuple[GrantFrom, ...], Field(min_length=1, max_length=16)] = Field(alias="from")
    to: Annotated[tuple[GrantTo, ...], Field(min_length=1, max_length=16)]


class ReferenceGrant(Object):
    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"] = (
        "gateway.networking.k8s.io/v1beta1"
    )
    kind: Literal["ReferenceGrant"] = "ReferenceGrant"
    spec: ReferenceGrantSpec


# ---- BackendTLSPolicy


def _one_trust_source(validation: "BackendTLSValidation") -> bool:
    return bool(validation.ca_certificate_refs) != (validation.well_known_ca_certificates is not None)


class BackendTLSValidation(Model):
    ca_certificate_refs: Annotated[tuple[LocalObjectReference, ...], Field(max_length=8)] = Field(
        default=(), alias="caCertificateRefs"
    )
    well_known_ca_certificates: Literal["System"] | None = Field(default=None, alias="wellKnownCACertificates")
    hostname: PreciseHostname

    cel_rules = (
        Rule(
            "T1",
            "has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 "
            "? !has(self.wellKnownCACertificates) || self.wellKnownCACertificates == '' "
            ": has(self.wellKnownCACertificates) && self.wellKnownCACertificates != ''",
            "must contain exactly one of caCertificateRefs or wellKnownCACertificates",
            _one_trust_source,
        ),
    )


class BackendTLSPolicySpec(Model):
    target_refs: Annotated[tuple[PolicyTargetReference, ...], Field(min_length=1, max_length=16)]
    validation: BackendTLSValidation


class BackendTLSPolicy(Object):
    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3"] = (
        "gateway.networking.k8s.io/v1"
    )
    kind: Literal["BackendTLSPolicy"] = "BackendTLSPolicy"
    spec: BackendTLSPolicySpec
