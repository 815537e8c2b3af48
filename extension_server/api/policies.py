"""Envoy Gateway's policies for routes, as far as it matters which objects they are for. What they say is none of our
business in a cluster; in standalone mode `envoy_gateway` reads them whole."""

from typing import Final, Literal

from extension_server.api.base import Model, Object
from extension_server.api.gateway import PolicyTargetReference

_ApiVersion = Literal["gateway.envoyproxy.io/v1alpha1"]
_API_VERSION: Final = "gateway.envoyproxy.io/v1alpha1"


class Targets(Model):
    """Selectors are not here: who selects by label selects all HTTPRoutes of one AIGatewayRoute, which have its."""

    target_ref: PolicyTargetReference | None = None
    target_refs: tuple[PolicyTargetReference, ...] = ()


class TargetingPolicy(Object):
    spec: Targets = Targets()

    def targets(self) -> tuple[PolicyTargetReference, ...]:
        one = () if self.spec.target_ref is None else (self.spec.target_ref,)
        return (*one, *self.spec.target_refs)


class BackendTrafficPolicy(TargetingPolicy):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["BackendTrafficPolicy"] = "BackendTrafficPolicy"


class SecurityPolicy(TargetingPolicy):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["SecurityPolicy"] = "SecurityPolicy"


class EnvoyExtensionPolicy(TargetingPolicy):
    api_version: _ApiVersion = _API_VERSION
    kind: Literal["EnvoyExtensionPolicy"] = "EnvoyExtensionPolicy"
