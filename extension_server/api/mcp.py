"""MCPRoute (`aigateway.envoyproxy.io`): MCP servers behind one endpoint (API chapter §1.7).

The same in v1beta1 (storage) and v1alpha1. Constraints, defaults and messages are API surface: never weaken or reword
them. One rule is better than its model: `authorization` without rules needs no `oauth` (§8.1 number 11).
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from extension_server.api.aigateway import ONLY_GATEWAYS
from extension_server.api.base import (
    Hostname,
    ListKey,
    Model,
    NonEmpty,
    Object,
    Rule,
    Uri,
)
from extension_server.api.client_auth import JWKS, APIKeyAuth, ExtAuth
from extension_server.api.gateway import (
    BackendObjectReference,
    HTTPHeaderMatch,
    ParentReference,
    SecretObjectReference,
)

Action = Literal["Allow", "Deny"]
Path = Annotated[str, Field(max_length=1024)]
Expression = Annotated[str, Field(max_length=4096)]

# ---- backends


class MCPBackendAPIKey(Model):
    """The key that this server wants, from a Secret (key `apiKey`) or written here."""

    secret_ref: SecretObjectReference | None = None
    """Secret in the namespace of the route; its key `apiKey` is sent."""
    inline: str | None = None
    """The key itself. Anybody who may read the route can read it: prefer secretRef."""
    header: NonEmpty | None = None
    """Header that carries the key as it is. Without header and queryParam: `Authorization: Bearer <key>`."""
    query_param: NonEmpty | None = None
    """Query parameter that carries the key."""

    cel_rules = (
        Rule(
            "M2",
            "(has(self.secretRef) && !has(self.inline)) || (!has(self.secretRef) && has(self.inline))",
            "exactly one of secretRef or inline must be set",
            lambda key: (key.secret_ref is None) != (key.inline is None),
        ),
        Rule(
            "M3",
            "!(has(self.header) && has(self.queryParam))",
            "only one of header or queryParam can be set",
            lambda key: key.header is None or key.query_param is None,
        ),
    )


class MCPBackendSecurityPolicy(Model):
    api_key: MCPBackendAPIKey | None = None
    """Send this API key to the server."""


_Names = Annotated[tuple[str, ...], Field(max_length=32)]
_SELECTORS: Final = ("include", "include_regex", "exclude", "exclude_regex")


class MCPToolFilter(Model):
    """Which tools of a server clients may see and call; what is excluded stays out whatever includes it."""

    include: _Names = ()
    """Exact names."""
    include_regex: _Names = ()
    """RE2 expressions; they may match any part of a name."""
    exclude: _Names = ()
    """Exact names."""
    exclude_regex: _Names = ()
    """RE2 expressions; they may match any part of a name."""

    cel_rules = (
        Rule(
            "M4",
            "!(has(self.include) && has(self.includeRegex))",
            "include and includeRegex are mutually exclusive",
            lambda tools: not {"include", "include_regex"} <= tools.model_fields_set,
        ),
        Rule(
            "M5",
            "!(has(self.exclude) && has(self.excludeRegex))",
            "exclude and excludeRegex are mutually exclusive",
            lambda tools: not {"exclude", "exclude_regex"} <= tools.model_fields_set,
        ),
        Rule(
            "M6",
            "has(self.include) || has(self.includeRegex) || has(self.exclude) || has(self.excludeRegex)",
            "at least one of include, includeRegex, exclude, or excludeRegex must be specified",
            lambda tools: bool(tools.model_fields_set & set(_SELECTORS)),
        ),
    )


class MCPForwardHeader(Model):
    name: NonEmpty
    """Header of the client's request."""
    backend_header: NonEmpty | None = None
    """Its name towards the server, if it is another one."""


class MCPBackendRef(BackendObjectReference):
    """One MCP server; its name is the prefix of its tools' names."""

    path: Path = "/mcp"
    """Path of the MCP endpoint on the server."""
    tool_selector: MCPToolFilter | None = None
    """Tools that clients may use; absent: all."""
    security_policy: MCPBackendSecurityPolicy | None = None
    """How the gateway signs in to the server."""
    forward_headers: Annotated[tuple[MCPForwardHeader, ...], Field(max_length=32)] = ()
    """Headers of the client that are sent on to the server."""


UNIQUE_BACKEND_NAMES: Final = Rule(
    "M1",
    "self.all(i, self.exists_one(j, j.name == i.name))",
    "all backendRefs names must be unique",
    lambda refs: len({ref.name for ref in refs}) == len(refs),
)


# ---- authorization


class JWTClaim(Model):
    name: Annotated[str, Field(min_length=1, max_length=253)]
    """The claim; dots descend into objects."""
    value_type: Literal["String", "StringArray"] = "String"
    """Is the claim one text or a list of texts."""
    values: Annotated[tuple[str, ...], Field(min_length=1, max_length=128)]
    """Any of them will do."""


NO_SCOPE_CLAIM: Final = Rule(
    "M9",
    "self.all(i, i.name != 'scope')",
    "'scope' claim name is reserved for OAuth scopes",
    lambda claims: all(claim.name != "scope" for claim in claims),
)


class JWTSource(Model):
    scopes: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(max_length=16)] = ()
    """Scopes that the token must hold, all of them."""
    claims: Annotated[tuple[JWTClaim, ...], Field(max_length=16), NO_SCOPE_CLAIM] = ()
    """Claims that the token must hold, all of them."""

    cel_rules = (
        Rule(
            "M8",
            "(has(self.scopes) && size(self.scopes) > 0) || (has(self.claims) && size(self.claims) > 0)",
            "either scopes or claims must be specified",
            lambda jwt: bool(jwt.scopes or jwt.claims),
        ),
    )


class MCPAuthorizationSource(Model):
    jwt: JWTSource
    """What the client's token must say."""


class ToolCall(Model):
    backend: str
    """Name of the backendRef."""
    tool: str
    """Name of the tool as the server knows it, without prefix."""


class MCPAuthorizationTarget(Model):
    tools: Annotated[tuple[ToolCall, ...], Field(min_length=1, max_length=16)]
    """Any of them."""


class MCPAuthorizationRule(Model):
    source: MCPAuthorizationSource | None = None
    """Who; absent: everybody."""
    target: MCPAuthorizationTarget | None = None
    """What is called; absent: anything."""
    action: Action = "Allow"
    """What happens when the rule matches."""
    cel: Expression | None = None
    """A condition in CEL; it must hold too."""


class MCPAuthorization(Model):
    rules: Annotated[tuple[MCPAuthorizationRule, ...], Field(max_length=32)] = ()
    """The first that matches decides."""
    default_action: Action = "Deny"
    """When no rule matches."""


# ---- client authentication


class ProtectedResourceMetadata(Model):
    """The document of RFC 9728 that tells clients where to sign in."""

    resource: Uri
    """Public URL of the MCP endpoint."""
    resource_name: Annotated[str, Field(max_length=256)] | None = None
    scopes_supported: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    resource_signing_alg_values_supported: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)] | None = None
    resource_documentation: Uri | None = None
    resource_policy_uri: Uri | None = None


class MCPClaimToHeader(Model):
    claim: str
    """The claim; dots descend into objects."""
    header: str
    """Header that tells the servers its value."""


class MCPRouteOAuth(Model):
    """Clients sign in at an authorization server and show its token."""

    issuer: Uri
    """The authorization server."""
    audiences: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    """Accepted `aud` claims; absent: any."""
    jwks: JWKS | None = None
    """Keys of the issuer; absent: found through its metadata."""
    protected_resource_metadata: ProtectedResourceMetadata
    claim_to_headers: Annotated[tuple[MCPClaimToHeader, ...], Field(max_length=16)] = ()


def _tokens_are_verified(policy: "MCPRouteSecurityPolicy") -> bool:
    rules = policy.authorization.rules if policy.authorization is not None else ()
    return policy.oauth is not None or all(rule.source is None for rule in rules)


class MCPRouteSecurityPolicy(Model):
    oauth: MCPRouteOAuth | None = None
    api_key_auth: APIKeyAuth | None = None
    ext_auth: ExtAuth | None = None
    authorization: MCPAuthorization | None = None
    """Who may call which tool."""

    cel_rules = (
        Rule(
            "M7",
            "has(self.oauth) || !has(self.authorization) || !has(self.authorization.rules) || "
            "self.authorization.rules.all(rule, !has(rule.source) || !has(rule.source.jwt))",
            "oauth must be configured when any authorization rule uses a jwt source",
            _tokens_are_verified,
        ),
    )


# ---- the route


class MCPBackendSelectorRule(Model):
    action: Action = "Allow"
    cel: Expression | None = None
    """A condition in CEL over `request`; the server in question is `request.mcp.backend`. Absent: always."""


class MCPBackendSelector(Model):
    """Which servers a request may see."""

    rules: Annotated[tuple[MCPBackendSelectorRule, ...], Field(max_length=32)] = ()
    """The first that matches decides, for each server."""
    default_action: Action = "Deny"
    """When no rule matches."""


class MCPRouteSpec(Model):
    parent_refs: Annotated[tuple[ParentReference, ...], Field(min_length=1, max_length=16), ONLY_GATEWAYS]
    """Gateways that serve the route."""
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    """Hosts that the route is for; absent: every host of the listener."""
    path: Path = "/mcp"
    """Exact path of the MCP endpoint."""
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Field(max_length=16), ListKey("name")] = ()
    """Headers that a request must carry, all of them."""
    backend_refs: Annotated[tuple[MCPBackendRef, ...], Field(min_length=1, max_length=256), UNIQUE_BACKEND_NAMES]
    """MCP servers behind the endpoint."""
    security_policy: MCPRouteSecurityPolicy | None = None
    """Who may use the route."""
    backend_selector: MCPBackendSelector | None = None


class MCPRoute(Object):
    """Several MCP servers behind one endpoint: their tools, prompts and resources together."""

    api_version: Literal["aigateway.envoyproxy.io/v1beta1", "aigateway.envoyproxy.io/v1alpha1"] = (
        "aigateway.envoyproxy.io/v1beta1"
    )
    kind: Literal["MCPRoute"] = "MCPRoute"
    spec: MCPRouteSpec | None = None
