"""Envoy Gateway's ClusterSettings as our kinds embed it (`backendSettings`; API chapter §1.9.2).

BackendSecurityPolicy accepts it inside `oidc.provider` and does not read it; it is modelled so that the verdict on an
object is the API server's, and nothing that people wrote is pruned.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from extension_server.api.base import (
    Base64,
    BufferSize,
    Count,
    Duration,
    HttpStatus,
    Int32,
    Int64,
    ListKey,
    Model,
    Percent,
    Port,
    PreciseHostname,
    Rule,
    seconds,
)
from extension_server.api.envoy_gateway import Retry, Timeout

UInt32 = Annotated[Int64, Field(ge=0, le=2**32 - 1)]


# ---- circuitBreaker


class Fraction(Model):
    numerator: Count
    denominator: Annotated[Int32, Field(ge=1)] = 100

    cel_rules = (
        Rule(
            "C2",
            "self.numerator <= self.denominator",
            "numerator must be less than or equal to denominator",
            lambda percent: percent.numerator <= percent.denominator,
        ),
    )


class RetryBudget(Model):
    percent: Fraction
    min_retry_concurrency: Int32 | None = None


class PerEndpointCircuitBreakers(Model):
    max_connections: UInt32 = 1024


class CircuitBreaker(Model):
    max_connections: UInt32 = 1024
    max_parallel_requests: UInt32 = 1024
    max_parallel_retries: UInt32 = 1024
    max_pending_requests: UInt32 = 1024
    max_requests_per_connection: UInt32 | None = None
    per_endpoint: PerEndpointCircuitBreakers | None = None
    retry_budget: RetryBudget | None = None


# ---- connection, dns


class Preconnect(Model):
    per_endpoint_percent: Annotated[Int32, Field(ge=100, le=300)] | None = None
    predictive_percent: Annotated[Int32, Field(ge=100)] | None = None


class BackendConnection(Model):
    buffer_limit: BufferSize | None = None
    socket_buffer_limit: BufferSize | None = None
    preconnect: Preconnect | None = None


class DNS(Model):
    dns_refresh_rate: Duration | None = None
    lookup_family: Literal["IPv4", "IPv6", "IPv4Preferred", "IPv6Preferred", "IPv4AndIPv6"] | None = None
    respect_dns_ttl: bool | None = None


# ---- healthCheck


class HealthCheckPayload(Model):
    type: Literal["Text", "Binary"]
    text: str | None = None
    binary: Base64 | None = None

    cel_rules = (
        Rule(
            "C6",
            "self.type == 'Text' ? has(self.text) : !has(self.text)",
            "If payload type is Text, text field needs to be set.",
            lambda payload: (payload.type == "Text") == (payload.text is not None),
        ),
        Rule(
            "C7",
            "self.type == 'Binary' ? has(self.binary) : !has(self.binary)",
            "If payload type is Binary, binary field needs to be set.",
            lambda payload: (payload.type == "Binary") == (payload.binary is not None),
        ),
    )


class HTTPHealthChecker(Model):
    path: Annotated[str, Field(min_length=1, max_length=1024)]
    hostname: PreciseHostname | None = None
    method: str | None = None
    expected_statuses: tuple[HttpStatus, ...] = ()
    retriable_statuses: tuple[HttpStatus, ...] = ()
    expected_response: HealthCheckPayload | None = None


class TCPHealthChecker(Model):
    send: HealthCheckPayload | None = None
    receive: HealthCheckPayload | None = None


class GRPCHealthChecker(Model):
    service: str | None = None


class HealthCheckOverrides(Model):
    port: Port | None = None


class ActiveHealthCheck(Model):
    type: Literal["HTTP", "TCP", "GRPC"]
    timeout: Duration = "1s"
    interval: Duration = "3s"
    initial_jitter: Duration | None = None
    healthy_threshold: Annotated[Int32, Field(ge=1)] = 1
    unhealthy_threshold: Annotated[Int32, Field(ge=1)] = 3
    http: HTTPHealthChecker | None = None
    tcp: TCPHealthChecker | None = None
    grpc: GRPCHealthChecker | None = None
    overrides: HealthCheckOverrides | None = None

    cel_rules = (
        Rule(
            "C3",
            "self.type == 'HTTP' ? has(self.http) : !has(self.http)",
            "If Health Checker type is HTTP, http field needs to be set.",
            lambda check: (check.type == "HTTP") == (check.http is not None),
        ),
        Rule(
            "C4",
            "self.type == 'TCP' ? has(self.tcp) : !has(self.tcp)",
            "If Health Checker type is TCP, tcp field needs to be set.",
            lambda check: (check.type == "TCP") == (check.tcp is not None),
        ),
        Rule(
            "C5",
            "has(self.grpc) ? self.type == 'GRPC' : true",
            "The grpc field can only be set if the Health Checker type is GRPC.",
            lambda check: check.grpc is None or check.type == "GRPC",
        ),
    )


class PassiveHealthCheck(Model):
    always_eject_one_endpoint: bool = False
    base_ejection_time: Duration = "30s"
    consecutive_5xx_errors: Int32 = Field(default=5, alias="consecutive5XxErrors")
    consecutive_gateway_errors: Int32 | None = None
    consecutive_local_origin_failures: Int32 = 5
    failure_percentage_threshold: Percent | None = None
    interval: Duration = "3s"
    max_ejection_percent: Percent = 10
    split_external_local_origin_errors: bool = False


class HealthCheck(Model):
    active: ActiveHealthCheck | None = None
    passive: PassiveHealthCheck | None = None
    panic_threshold: Percent | None = None


# ---- http2


def _timeout_before_interval(keepalive: "HTTP2ConnectionKeepalive") -> bool:
    if keepalive.timeout is None or keepalive.interval is None:
        return True
    return seconds(keepalive.timeout) < seconds(keepalive.interval)


class HTTP2ConnectionKeepalive(Model):
    idle_interval: Duration | None = None
    interval: Duration | None = None
    interval_jitter: Percent | None = None
    timeout: Duration | None = None

    cel_rules = (
        Rule(
            "C8",
            "has(self.timeout) && has(self.interval) ? duration(self.timeout) < duration(self.interval) : true",
            "timeout must be less than interval",
            _timeout_before_interval,
        ),
    )


class HTTP2Settings(Model):
    connection_keepalive: HTTP2ConnectionKeepalive | None = None
    initial_connection_window_size: BufferSize | None = None
    initial_stream_window_size: BufferSize | None = None
    max_concurrent_streams: Annotated[Int32, Field(ge=1)] | None = None
    on_invalid_message: str | None = None


# ---- loadBalancer


class HashHeader(Model):
    name: str


class HashCookie(Model):
    name: str
    ttl: Duration | None = None
    attributes: dict[str, str] | None = None


def _hash_rule(number: int, type_: str, field: str, attribute: str) -> Rule:
    return Rule(
        f"C{number}",
        f"self.type == '{type_}' ? has(self.{field}) : !has(self.{field})",
        f"If consistent hash type is {field}, the {field} field must be set.",
        lambda policy: (policy.type == type_) == (attribute in policy.model_fields_set),
    )


class ConsistentHash(Model):
    type: Literal["SourceIP", "Header", "Headers", "Cookie", "QueryParams"]
    header: HashHeader | None = None
    headers: tuple[HashHeader, ...] = ()
    cookie: HashCookie | None = None
    query_params: tuple[HashHeader, ...] = ()
    table_size: Annotated[Int64, Field(ge=2, le=5000011)] = 65537

    cel_rules = (
        _hash_rule(18, "Header", "header", "header"),
        _hash_rule(19, "Headers", "headers", "headers"),
        _hash_rule(20, "Cookie", "cookie", "cookie"),
        _hash_rule(21, "QueryParams", "queryParams", "query_params"),
    )


class BackendUtilization(Model):
    blackout_period: Duration | None = None
    error_utilization_penalty_percent: Count | None = None
    keep_response_headers: bool = False
    metric_names_for_computing_utilization: tuple[str, ...] = ()
    weight_expiration_period: Duration | None = None
    weight_update_period: Duration | None = None


class DynamicModuleLoadBalancer(Model):
    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
    lb_policy_name: Annotated[str, Field(min_length=1, max_length=253)]
    config: Any = None


class EndpointOverrideSource(Model):
    header: str | None = None


class EndpointOverride(Model):
    extract_from: Annotated[tuple[EndpointOverrideSource, ...], Field(min_length=1, max_length=10)]


class SlowStart(Model):
    window: Duration


class ForceLocalZone(Model):
    min_endpoints_in_zone_threshold: Int32 | None = None


class PreferLocalZone(Model):
    force: ForceLocalZone | None = None
    min_endpoints_threshold: Int64 | None = None
    percentage_enabled: Percent | None = None


class WeightedZone(Model):
    zone: str
    weight: Int32


class ZoneAware(Model):
    prefer_local: PreferLocalZone | None = None
    weighted_zones: Annotated[tuple[WeightedZone, ...], ListKey("zone")] = ()

    @property
    def weighted(self) -> bool:
        return "weighted_zones" in self.model_fields_set


def _block_of(type_: str, attribute: str) -> Any:
    return lambda balancer: (balancer.type == type_) == (getattr(balancer, attribute) is not None)


def _never_with(types: tuple[str, ...], attribute: str) -> Any:
    return lambda balancer: balancer.type not in types or getattr(balancer, attribute) is None


def _no_prefer_local(type_: str) -> Any:
    return lambda balancer: (
        balancer.type != type_ or balancer.zone_aware is None or balancer.zone_aware.prefer_local is None
    )


class LoadBalancer(Model):
    type: Literal["ConsistentHash", "LeastRequest", "Random", "RoundRobin", "BackendUtilization", "DynamicModule"]
    consistent_hash: ConsistentHash | None = None
    backend_utilization: BackendUtilization | None = None
    dynamic_module: DynamicModuleLoadBalancer | None = None
    endpoint_override: EndpointOverride | None = None
    slow_start: SlowStart | None = None
    zone_aware: ZoneAware | None = None

    cel_rules = (
        Rule(
            "C9",
            "self.type == 'ConsistentHash' ? has(self.consistentHash) : !has(self.consistentHash)",
            "If LoadBalancer type is consistentHash, consistentHash field needs to be set.",
            _block_of("ConsistentHash", "consistent_hash"),
        ),
        Rule(
            "C10",
            "self.type == 'BackendUtilization' ? has(self.backendUtilization) : !has(self.backendUtilization)",
            "If LoadBalancer type is BackendUtilization, backendUtilization field needs to be set.",
            _block_of("BackendUtilization", "backend_utilization"),
        ),
        Rule(
            "C11",
            "self.type == 'DynamicModule' ? has(self.dynamicModule) : !has(self.dynamicModule)",
            "If LoadBalancer type is DynamicModule, dynamicModule field needs to be set.",
            _block_of("DynamicModule", "dynamic_module"),
        ),
        Rule(
            "C12",
            "self.type in ['Random', 'ConsistentHash', 'DynamicModule'] ? !has(self.slowStart) : true",
            "Currently SlowStart is only supported for RoundRobin, LeastRequest, and BackendUtilization "
            "load balancers.",
            _never_with(("Random", "ConsistentHash", "DynamicModule"), "slow_start"),
        ),
        Rule(
            "C13",
            "self.type == 'ConsistentHash' && has(self.zoneAware) ? !has(self.zoneAware.preferLocal) : true",
            "PreferLocal zone-aware routing is not supported for ConsistentHash load balancers. "
            "Use weightedZones instead.",
            _no_prefer_local("ConsistentHash"),
        ),
        Rule(
            "C14",
            "self.type == 'BackendUtilization' && has(self.zoneAware) ? !has(self.zoneAware.preferLocal) : true",
            "PreferLocal zone-aware routing is not currently supported for BackendUtilization load balancers. "
            "Only WeightedZones can be used with BackendUtilization.",
            _no_prefer_local("BackendUtilization"),
        ),
        Rule(
            "C15",
            "self.type == 'DynamicModule' ? !has(self.zoneAware) : true",
            "ZoneAware routing is not supported for DynamicModule load balancers.",
            _never_with(("DynamicModule",), "zone_aware"),
        ),
        Rule(
            "C16",
            "has(self.zoneAware) ? !(has(self.zoneAware.preferLocal) && has(self.zoneAware.weightedZones)) : true",
            "ZoneAware PreferLocal and WeightedZones cannot be specified together.",
            lambda balancer: (
                balancer.zone_aware is None
                or balancer.zone_aware.prefer_local is None
                or not balancer.zone_aware.weighted
            ),
        ),
        Rule(
            "C17",
            "self.type == 'DynamicModule' ? !has(self.endpointOverride) : true",
            "EndpointOverride is not supported for DynamicModule load balancers.",
            _never_with(("DynamicModule",), "endpoint_override"),
        ),
    )


# ---- the whole


class ProxyProtocol(Model):
    version: Literal["V1", "V2"]


class TCPKeepalive(Model):
    idle_time: Duration | None = None
    interval: Duration | None = None
    probes: Int32 | None = None


def _preconnect_fits(settings: "ClusterSettings") -> bool:
    preconnect = settings.connection.preconnect if settings.connection is not None else None
    if preconnect is None or preconnect.predictive_percent is None:
        return True
    return settings.load_balancer is not None and settings.load_balancer.type in ("Random", "RoundRobin")


class ClusterSettings(Model):
    circuit_breaker: CircuitBreaker | None = None
    connection: BackendConnection | None = None
    dns: DNS | None = None
    health_check: HealthCheck | None = None
    http2: HTTP2Settings | None = None
    load_balancer: LoadBalancer | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry: Retry | None = None
    tcp_keepalive: TCPKeepalive | None = None
    timeout: Timeout | None = None

    cel_rules = (
        Rule(
            "C1",
            "has(self.connection) && has(self.connection.preconnect) && "
            "has(self.connection.preconnect.predictivePercent) ? "
            "has(self.loadBalancer) && self.loadBalancer.type in ['Random', 'RoundRobin'] : true",
            "predictivePercent in preconnect policy only works with RoundRobin or Random load balancers",
            _preconnect_fits,
        ),
    )
