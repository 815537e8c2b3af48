"""Which model reads which document: the one table of (group, version, kind)."""

import difflib
from collections.abc import Iterable
from typing import Final, get_args

from extension_server.api import aigateway, core, envoy_gateway, gateway, mcp, quota
from extension_server.api.base import Object

OURS: Final[tuple[type[Object], ...]] = (
    aigateway.AIGatewayRoute,
    aigateway.AIServiceBackend,
    aigateway.BackendSecurityPolicy,
    aigateway.BackendSecurityPolicyV1alpha1,
    aigateway.GatewayConfig,
    mcp.MCPRoute,
    quota.QuotaPolicy,
)
"""every version of our own kinds"""

_FOREIGN: Final[tuple[type[Object], ...]] = (
    core.ConfigMap,
    core.Secret,
    gateway.BackendTLSPolicy,
    gateway.Gateway,
    gateway.GatewayClass,
    gateway.HTTPRoute,
    gateway.ReferenceGrant,
    envoy_gateway.Backend,
    envoy_gateway.BackendTrafficPolicy,
    envoy_gateway.ClientTrafficPolicy,
    envoy_gateway.EnvoyProxy,
    envoy_gateway.HTTPRouteFilter,
    envoy_gateway.SecurityPolicy,
)


class UnknownKind(LookupError):
    """No model for this apiVersion and kind; the text says what to do."""


def _table() -> dict[str, dict[str, type[Object]]]:
    table: dict[str, dict[str, type[Object]]] = {}
    for model in (*OURS, *_FOREIGN):
        versions = get_args(model.model_fields["api_version"].annotation)
        table.setdefault(model.model_fields["kind"].default, {}).update(dict.fromkeys(versions, model))
    return table


_MODELS: Final = _table()
"""kind → apiVersion → model"""


def model_of(api_version: str, kind: str) -> type[Object]:
    """The model that reads such documents. Raises UnknownKind."""
    versions = _MODELS.get(kind, {})
    group = api_version.rpartition("/")[0]
    if api_version in versions:
        return versions[api_version]
    if any(version.rpartition("/")[0] == group for version in versions):
        raise UnknownKind(f"apiVersion {api_version} of kind {kind} is not supported; use {' or '.join(versions)}")
    meant = _meant(kind, versions)
    raise UnknownKind(f"kind {kind} ({api_version}) is not supported by standalone; use Envoy Gateway{meant}")


def _meant(kind: str, versions: Iterable[str]) -> str:
    """For people who mistyped a kind or group of those in the table."""
    if found := " or ".join(versions):
        return f". If {found} is meant, correct the apiVersion"
    folded = {known.lower(): known for known in _MODELS}
    close = difflib.get_close_matches(kind.lower(), folded, n=1, cutoff=0.85)
    return f". If {folded[close[0]]} is meant, correct the kind" if close else ""


def is_known(api_version: str, kind: str) -> bool:
    """Whether the kind is in the table in some version, or is of our group: then `model_of` refuses a mistake."""
    return kind in _MODELS or api_version.rpartition("/")[0] == aigateway.GROUP


def is_ours(model: type[Object]) -> bool:
    """False for kinds of which only a part is modelled."""
    return model in OURS
