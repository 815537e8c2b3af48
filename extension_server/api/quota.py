"""QuotaPolicy (`aigateway.envoyproxy.io/v1alpha1`): how many tokens clients may use of a backend (API chapter §1.8).

Experimental; there is no other version. The selectors are Envoy Gateway's RateLimitSelectCondition.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from extension_server.api.aigateway import GROUP
from extension_server.api.base import Model, NonEmpty, Object, Rule, WholeNumber
from extension_server.api.gateway import LocalPolicyTargetReference

_HeaderName = Annotated[str, Field(min_length=1, max_length=256)]
_Value = Annotated[str, Field(max_length=1024)]

# ---- selectors


class HeaderSelector(Model):
    name: _HeaderName
    type: Literal["Exact", "RegularExpression", "Distinct"] = "Exact"
    """`Distinct`: every value has a bucket of its own."""
    value: _Value | None = None
    """Not used with `Distinct`."""
    invert: bool = False


class QueryParamSelector(Model):
    name: _HeaderName
    type: Literal["Exact", "RegularExpression", "Distinct"] = "Exact"
    value: _Value | None = None
    invert: bool = False


class MethodSelector(Model):
    value: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
    invert: bool = False


class PathSelector(Model):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: _Value = "/"
    invert: bool = False


class SourceSelector(Model):
    type: Literal["Exact", "Distinct"] = "Exact"
    value: Annotated[str, Field(min_length=1, max_length=256)]
    """Addresses, such as 10.0.0.0/8."""
    invert: bool = False


_SELECTORS: Final = {"headers", "methods", "path", "source_cidr", "query_params"}


class ClientSelector(Model):
    """Requests that have all of this."""

    headers: Annotated[tuple[HeaderSelector, ...], Field(max_length=64)] = ()
    methods: tuple[MethodSelector, ...] = ()
    path: PathSelector | None = None
    source_cidr: SourceSelector | None = Field(default=None, alias="sourceCIDR")
    query_params: Annotated[tuple[QueryParamSelector, ...], Field(max_length=16)] = ()

    cel_rules = (
        Rule(
            "Q2",
            "has(self.headers) || has(self.methods) || has(self.path) || has(self.sourceCIDR) || has(self.queryParams)",
            "at least one of headers, methods, path, sourceCIDR or queryParams must be specified",
            lambda selector: bool(selector.model_fields_set & _SELECTORS),
        ),
    )


# ---- quotas


class QuotaValue(Model):
    limit: WholeNumber
    """What may be used up in one window."""
    duration: Literal["1s", "1m", "1h", "1d"]
    """Length of the window."""


class QuotaRule(Model):
    client_selectors: Annotated[tuple[ClientSelector, ...], Field(max_length=8)] = ()
    """Requests that the bucket is for: all selectors must fit."""
    quota: QuotaValue
    shadow_mode: bool | None = None
    """Count, but never refuse a request."""


class QuotaDefinition(Model):
    mode: Literal["Shared"] = "Shared"
    """`Shared`: a request uses up every bucket that it fits."""
    cost_expression: str | None = None
    """What a request costs, in CEL; absent: total tokens."""
    default_bucket: QuotaValue | None = None
    """For requests that no rule is for."""
    bucket_rules: tuple[QuotaRule, ...] = ()


class PerModelQuota(Model):
    model_name: NonEmpty
    """The model as the provider knows it."""
    quota: QuotaDefinition


class ServiceQuota(Model):
    """Quota over everything that goes to the backend."""

    quota: QuotaValue
    cost_expression: str | None = None
    """What a request costs, in CEL; absent: total tokens."""


ONLY_AI_BACKENDS: Final = Rule(
    "Q1",
    f"self.all(ref, ref.group == '{GROUP}' && ref.kind == 'AIServiceBackend')",
    "targetRefs must reference AIServiceBackend resources",
    lambda refs: all((ref.group, ref.kind) == (GROUP, "AIServiceBackend") for ref in refs),
)


class QuotaPolicySpec(Model):
    target_refs: Annotated[tuple[LocalPolicyTargetReference, ...], Field(max_length=16), ONLY_AI_BACKENDS] = ()
    """AIServiceBackends of the same namespace that the quotas are for."""
    service_quota: ServiceQuota | None = None
    per_model_quotas: Annotated[tuple[PerModelQuota, ...], Field(max_length=128)] = ()


class QuotaPolicy(Object):
    """How many tokens clients may use of a backend. Experimental."""

    api_version: Literal["aigateway.envoyproxy.io/v1alpha1"] = "aigateway.envoyproxy.io/v1alpha1"
    kind: Literal["QuotaPolicy"] = "QuotaPolicy"
    spec: QuotaPolicySpec | None = None
