"""Kinds of Envoy Gateway, as far as the compiler generates them or standalone mode serves them.

A field that is not here is one that standalone mode cannot serve: the loader says so and names Envoy Gateway.
Source: Envoy Gateway 1.8 (`gateway.envoyproxy.io/v1alpha1`); fields of 1.9 only are left out.
"""

import ipaddress
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from extension_server.api.base import (
    BufferSize,
    Count,
    Duration,
    HttpStatus,
    Int32,
    Model,
    NonEmpty,
    Object,
    Port,
    PreciseHostname,
    Rule,
)
from extension_server.api.gateway import (
    BackendObjectReference,
    LocalObjectReference,
    PolicyTargetReference,
    SecretObjectReference,
)

GROUP: Final = "gateway.envoyproxy.io"
V1ALPHA1: Final = f"{GROUP}/v1alpha1"
_ApiVersion = Literal["gateway.envoyproxy.io/v1alpha1"]
_API_VERSION: Final = "gateway.envoyproxy.io/v1alpha1"


def _one_of(*names: str) -> "_OneOf":
    return _OneOf(names)


class _OneOf:
    """Holds when exactly one of the members is set."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def __call__(self, value: Model) -> bool:
        return sum(getattr(value, name) is not None for name in self.names) == 1


# ---- Backend


class FQDNEndpoint(Model):
    hostname: PreciseHostname
    port: Port


def _ip_address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError as exc:
        raise PydanticCustomError("ip", "must be an IPv4 or IPv6 address") from exc
    return text


class IPEndpoint(Model):
    address: Annotated[str, AfterValidator(_ip_address)]
    port: Port


class BackendEndpoint(Model):
    fqdn: FQDNEndpoint | None = None
    ip: IPEndpoint | None = None

    cel_rules = (
        Rule(
            "E1",
            "has(self.fqdn) != has(self.ip)",
            "one of fqdn or ip must be specified",
            _one_of("fqdn", "ip"),
        ),
    )


class BackendTLSSettings(Model):
    """TLS to this Backend without a BackendTLSPolicy."""

    ca_certificate_refs: Annotated[tuple[LocalObjectReference, ...], Field(max_length=8)] = Field(
        default=(), alias="caCertificateRefs"
    )
    well_known_ca_certificates: Literal["System"] | None = Field(default=None, alias="wellKnownCACertificates")
    insecure_skip_verify: bool = False
    sni: PreciseHostname | None = None

    cel_rules = (
        Rule(
            "E2",
            "!(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 && has(self.wellKnownCACertificates))",
            "must not contain both CACertificateRefs and WellKnownCACertificates",
            lambda tls: not (tls.ca_certificate_refs and tls.well_known_ca_certificates),
        ),
        Rule(
            "E3",
            "self.insecureSkipVerify || (has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0) "
            "|| has(self.wellKnownCACertificates)",
            "must contain either caCertificateRefs or wellKnownCACertificates unless insecureSkipVerify is set",
            lambda tls: bool(
                tls.insecure_skip_verify or tls.ca_certificate_refs or tls.well_known_ca_certificates is not None
            ),
        ),
    )


class BackendSpec(Model):
    type: Literal["Endpoints"] = "Endpoints"
    endpoints: Annotated[tuple[BackendEndpoint, ...], Field(min_length=1, max_length=64)]
    fallback: bool = False
    tls: BackendTLSSettings | None = None


class Backend(Object):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["Backend"] = "Backend"
    spec: BackendSpec


# ---- EnvoyProxy


class FileSink(Model):
    path: NonEmpty


class NamedValue(Model):
    name: NonEmpty
    value: str


class OpenTelemetrySink(Model):
    backend_refs: Annotated[tuple[BackendObjectReference, ...], Field(max_length=1)] = ()
    host: str | None = None
    port: Port = 4317
    headers: tuple[NamedValue, ...] = ()
    resources: dict[str, str] = Field(default_factory=dict)


class AccessLogSink(Model):
    type: Literal["File", "OpenTelemetry"]
    file: FileSink | None = None
    open_telemetry: OpenTelemetrySink | None = None

    cel_rules = (
        Rule(
            "L1",
            "self.type == 'File' ? has(self.file) : !has(self.file)",
            "If AccessLogSink type is File, file field needs to be set.",
            lambda sink: (sink.type == "File") == (sink.file is not None),
        ),
        Rule(
            "L2",
            "self.type == 'OpenTelemetry' ? has(self.openTelemetry) : !has(self.openTelemetry)",
            "If AccessLogSink type is OpenTelemetry, openTelemetry field needs to be set.",
            lambda sink: (sink.type == "OpenTelemetry") == (sink.open_telemetry is not None),
        ),
    )


class AccessLogFormat(Model):
    type: Literal["Text", "JSON"] | None = None
    text: str | None = None
    json_: dict[str, str] | None = Field(default=None, alias="json")

    cel_rules = (
        Rule(
            "L3",
            "has(self.type) && self.type == 'Text' ? has(self.text) : true",
            "If AccessLogFormat type is Text, text field needs to be set.",
            lambda form: form.type != "Text" or form.text is not None,
        ),
        Rule(
            "L4",
            "has(self.type) && self.type == 'JSON' ? has(self.json) : true",
            "If AccessLogFormat type is JSON, json field needs to be set.",
            lambda form: form.type != "JSON" or form.json_ is not None,
        ),
    )


class AccessLogSetting(Model):
    matches: Annotated[tuple[str, ...], Field(max_length=10)] = ()
    """CEL over Envoy's attributes; all must hold"""
    format: AccessLogFormat | None = None
    sinks: Annotated[tuple[AccessLogSink, ...], Field(min_length=1, max_length=50)]


class AccessLog(Model):
    disable: bool = False
    settings: Annotated[tuple[AccessLogSetting, ...], Field(max_length=50)] = ()


class Telemetry(Model):
    access_log: AccessLog | None = None


LogLevel = Literal["trace", "debug", "info", "warn", "error"]


class Logging(Model):
    level: dict[str, LogLevel] = Field(default_factory=lambda: dict[str, LogLevel](default="warn"))
    """component (or `default`) → level"""


class EnvoyProxySpec(Model):
    provider: dict[str, Any] | None = None
    """how Envoy is deployed: means nothing where we start it ourselves, so any content is taken"""
    logging: Logging = Logging()
    telemetry: Telemetry = Telemetry()


class EnvoyProxy(Object):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["EnvoyProxy"] = "EnvoyProxy"
    spec: EnvoyProxySpec = EnvoyProxySpec()


# ---- policies


class PolicySpec(Model):
    """What every policy has: its targets."""

    target_ref: PolicyTargetReference | None = None
    target_refs: Annotated[tuple[PolicyTargetReference, ...], Field(max_length=16)] = ()

    cel_rules = (
        Rule(
            "D1",
            "has(self.targetRef) != (has(self.targetRefs) && size(self.targetRefs) > 0)",
            "either targetRef or targetRefs must be used",
            lambda spec: (spec.target_ref is not None) != bool(spec.target_refs),
        ),
    )

    @property
    def targets(self) -> tuple[PolicyTargetReference, ...]:
        return self.target_refs if self.target_ref is None else (self.target_ref,)


class Policy(Object):
    """Any of the policies below."""

    spec: PolicySpec


class ClientConnection(Model):
    buffer_limit: BufferSize | None = None


class ClientTrafficPolicySpec(PolicySpec):
    connection: ClientConnection | None = None


class ClientTrafficPolicy(Policy):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["ClientTrafficPolicy"] = "ClientTrafficPolicy"
    spec: ClientTrafficPolicySpec


RetryTrigger = Literal[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
]


class BackOff(Model):
    base_interval: Duration | None = None
    max_interval: Duration | None = None


class PerRetry(Model):
    timeout: Duration | None = None
    back_off: BackOff | None = None


class RetryOn(Model):
    triggers: tuple[RetryTrigger, ...] = ()
    http_status_codes: tuple[HttpStatus, ...] = ()


class Retry(Model):
    """What is tried again after a failure. Without retryOn Envoy Gateway's own causes apply."""

    num_retries: Count = 2
    num_attempts_per_priority: Int32 | None = None
    retry_on: RetryOn | None = None
    per_retry: PerRetry | None = None


class TCPTimeout(Model):
    connect_timeout: Duration | None = None


class HTTPTimeout(Model):
    connection_idle_timeout: Duration | None = None
    max_connection_duration: Duration | None = None
    max_stream_duration: Duration | None = None
    request_timeout: Duration | None = None
    stream_idle_timeout: Duration | None = None


class Timeout(Model):
    tcp: TCPTimeout | None = None
    http: HTTPTimeout | None = None


class BackendTrafficPolicySpec(PolicySpec):
    retry: Retry | None = None
    timeout: Timeout | None = None


class BackendTrafficPolicy(Policy):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["BackendTrafficPolicy"] = "BackendTrafficPolicy"
    spec: BackendTrafficPolicySpec


class ExtractFrom(Model):
    headers: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()


class APIKeyAuth(Model):
    credential_refs: Annotated[tuple[SecretObjectReference, ...], Field(min_length=1)]
    """Secrets whose keys are client ids and whose values are the API keys"""
    extract_from: Annotated[tuple[ExtractFrom, ...], Field(min_length=1)]
    forward_client_id_header: str | None = Field(default=None, alias="forwardClientIDHeader")
    sanitize: bool = False


class RemoteJWKS(Model):
    uri: Annotated[str, Field(min_length=1, max_length=253)]
    cache_duration: Duration = "300s"


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


class ClaimToHeader(Model):
    header: str
    claim: str


class JWTHeaderExtractor(Model):
    name: NonEmpty
    value_prefix: str | None = None


class JWTExtractor(Model):
    headers: tuple[JWTHeaderExtractor, ...] = ()
    cookies: tuple[str, ...] = ()
    params: tuple[str, ...] = ()


class JWTProvider(Model):
    name: Annotated[str, Field(min_length=1, max_length=253)]
    issuer: Annotated[str, Field(max_length=253)] | None = None
    audiences: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    remote_jwks: RemoteJWKS | None = Field(default=None, alias="remoteJWKS")
    local_jwks: LocalJWKS | None = Field(default=None, alias="localJWKS")
    claim_to_headers: tuple[ClaimToHeader, ...] = ()
    extract_from: JWTExtractor | None = None

    cel_rules = (
        Rule(
            "J2",
            "has(self.remoteJWKS) || has(self.localJWKS)",
            "either remoteJWKS or localJWKS must be specified.",
            lambda provider: provider.remote_jwks is not None or provider.local_jwks is not None,
        ),
        Rule(
            "J3",
            "!(has(self.remoteJWKS) && has(self.localJWKS))",
            "remoteJWKS and localJWKS cannot both be specified.",
            lambda provider: provider.remote_jwks is None or provider.local_jwks is None,
        ),
    )


class JWT(Model):
    optional: bool = False
    providers: Annotated[tuple[JWTProvider, ...], Field(min_length=1, max_length=4)]


class SecurityPolicySpec(PolicySpec):
    api_key_auth: APIKeyAuth | None = None
    jwt: JWT | None = None


class SecurityPolicy(Policy):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["SecurityPolicy"] = "SecurityPolicy"
    spec: SecurityPolicySpec


# ---- HTTPRouteFilter


class HostnameRewrite(Model):
    type: Literal["Backend"]


class URLRewrite(Model):
    hostname: HostnameRewrite | None = None


class CustomResponseBody(Model):
    type: Literal["Inline"] = "Inline"
    inline: str | None = None


class DirectResponse(Model):
    status_code: HttpStatus | None = None
    """200 when absent"""
    content_type: str | None = None
    body: CustomResponseBody | None = None


class HTTPRouteFilterSpec(Model):
    url_rewrite: URLRewrite | None = None
    direct_response: DirectResponse | None = None


class HTTPRouteFilter(Object):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["HTTPRouteFilter"] = "HTTPRouteFilter"
    spec: HTTPRouteFilterSpec


HTTP_ROUTE_FILTER_KIND: Final = "HTTPRouteFilter"
BACKEND_KIND: Final = "Backend"
