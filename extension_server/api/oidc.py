"""Envoy Gateway's OIDC settings as BackendSecurityPolicy embeds them (API chapter §1.9.1).

Read by credential rotation: `clientID`, `clientSecret`, `provider.issuer`, `provider.tokenEndpoint`, `scopes`.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from extension_server.api.base import Duration, Int32, Model, NonEmpty, Rule
from extension_server.api.cluster_settings import ClusterSettings
from extension_server.api.gateway import BackendObjectReference, SecretObjectReference


class EGBackendRef(BackendObjectReference):
    fallback: bool | None = None
    weight: Annotated[Int32, Field(ge=0, le=1_000_000)] = 1


class CookieConfig(Model):
    same_site: Literal["Lax", "Strict", "None"] | None = None


class CookieNames(Model):
    access_token: str | None = None
    id_token: str | None = None


class DenyRedirectHeader(Model):
    name: NonEmpty
    type: Literal["Exact", "Prefix", "Suffix", "RegularExpression"] = "Exact"
    value: Annotated[str, Field(min_length=1, max_length=1024)]


class DenyRedirect(Model):
    headers: Annotated[tuple[DenyRedirectHeader, ...], Field(min_length=1, max_length=16)]


class ForwardIDToken(Model):
    header: NonEmpty


def _no_retry_timeout(provider: Any) -> bool:
    retry = provider.backend_settings.retry if provider.backend_settings is not None else None
    return retry is None or retry.per_retry is None or retry.per_retry.timeout is None


def _no_retry_statuses(provider: Any) -> bool:
    retry = provider.backend_settings.retry if provider.backend_settings is not None else None
    return retry is None or retry.retry_on is None or "http_status_codes" not in retry.retry_on.model_fields_set


BACKEND_RULES: Final = (
    Rule(
        "O3",
        "!has(self.backendRef)",
        "BackendRefs must be used, backendRef is not supported.",
        lambda provider: provider.backend_ref is None,
    ),
    Rule(
        "O4",
        "has(self.backendSettings) ? (has(self.backendSettings.retry) ? (has(self.backendSettings.retry.perRetry) "
        "? !has(self.backendSettings.retry.perRetry.timeout) : true) : true) : true",
        "Retry timeout is not supported.",
        _no_retry_timeout,
    ),
    Rule(
        "O5",
        "has(self.backendSettings) ? (has(self.backendSettings.retry) ? (has(self.backendSettings.retry.retryOn) "
        "? !has(self.backendSettings.retry.retryOn.httpStatusCodes) : true) : true) : true",
        "HTTPStatusCodes is not supported.",
        _no_retry_statuses,
    ),
)
"""of what has `backendRef` and `backendSettings` and speaks to one well-known service"""


class OIDCProvider(Model):
    issuer: NonEmpty
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    end_session_endpoint: str | None = None
    backend_ref: BackendObjectReference | None = None
    backend_refs: Annotated[tuple[EGBackendRef, ...], Field(max_length=16)] = ()
    backend_settings: ClusterSettings | None = None

    cel_rules = BACKEND_RULES


def _token_headers_differ(oidc: "OIDC") -> bool:
    header = oidc.forward_id_token.header if oidc.forward_id_token is not None else ""
    return not oidc.forward_access_token or header.lower() != "authorization"


class OIDC(Model):
    provider: OIDCProvider
    client_id: NonEmpty | None = Field(default=None, alias="clientID")
    client_id_ref: SecretObjectReference | None = Field(default=None, alias="clientIDRef")
    client_secret: SecretObjectReference
    cookie_config: CookieConfig | None = None
    cookie_domain: (
        Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9]))*$")] | None
    ) = None
    cookie_names: CookieNames | None = None
    csrf_token_ttl: Duration | None = Field(default=None, alias="csrfTokenTTL")
    default_refresh_token_ttl: Duration | None = Field(default=None, alias="defaultRefreshTokenTTL")
    default_token_ttl: Duration | None = Field(default=None, alias="defaultTokenTTL")
    deny_redirect: DenyRedirect | None = None
    disable_token_encryption: bool | None = None
    forward_access_token: bool | None = None
    forward_id_token: ForwardIDToken | None = Field(default=None, alias="forwardIDToken")
    logout_path: str | None = None
    pass_through_auth_header: bool | None = None
    redirect_url: str | None = Field(default=None, alias="redirectURL")
    refresh_token: bool = True
    resources: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()

    cel_rules = (
        Rule(
            "O1",
            "(has(self.clientID) && !has(self.clientIDRef)) || (!has(self.clientID) && has(self.clientIDRef))",
            "only one of clientID or clientIDRef must be set",
            lambda oidc: (oidc.client_id is None) != (oidc.client_id_ref is None),
        ),
        Rule(
            "O2",
            "!(has(self.forwardAccessToken) && self.forwardAccessToken && has(self.forwardIDToken) && "
            "self.forwardIDToken.header.lowerAscii() == 'authorization')",
            "forwardAccessToken cannot be true when forwardIDToken.header is Authorization",
            _token_headers_differ,
        ),
    )
