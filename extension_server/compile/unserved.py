"""What objects of ours ask for that this release does not serve, told of one object by itself.

The words are those of the conditions: most of it is asked of the modules that compile; about the kinds that are not
served at all, the controller has its words from here. Called by the controller and by `aigw validate`.
"""

from collections.abc import Iterator
from typing import Final

from extension_server.api.aigateway import AIGatewayRoute, AIServiceBackend, AnyBackendSecurityPolicy, GatewayConfig
from extension_server.api.base import Object
from extension_server.api.mcp import MCPRoute
from extension_server.api.quota import QuotaPolicy
from extension_server.compile import backends, gateway
from extension_server.compile.result import Finding
from extension_server.compile.snapshot import ref_of
from extension_server.credentials import policy as policies

KINDS: Final = (MCPRoute, QuotaPolicy)


def of_kind(kind: str) -> str:
    """About an object of one of `KINDS`."""
    return f"kind {kind} is not served by this release; it has no effect; remove it or keep the gateway that serves it"


def findings(object_: Object) -> Iterator[Finding]:
    """Reason NotSupported; nothing about objects that are served as they are, and nothing about other objects."""
    match object_:
        case MCPRoute() | QuotaPolicy():
            yield _finding(object_, "", of_kind(object_.kind))
        case AIGatewayRoute(spec=spec) if spec is not None:
            for number, rule in enumerate(spec.rules):
                for index, ref in enumerate(rule.backend_refs):
                    found = backends.pool_not_served(object_, f"spec.rules[{number}].backendRefs[{index}]", ref)
                    if found is not None:
                        yield found
        case AIServiceBackend(spec=spec) if spec is not None:
            yield from backends.not_served(object_, spec.schema_, "error")
        case AnyBackendSecurityPolicy(spec=spec) if spec is not None:
            problem = policies.not_served(spec)
            if problem is not None:
                yield _finding(object_, problem.field, problem.message)
            yield from backends.pools_not_served(object_)
        case GatewayConfig():
            yield from gateway.proxy_not_served(object_)
        case _:
            pass


def _finding(object_: Object, field: str, message: str) -> Finding:
    return Finding(severity="error", object=ref_of(object_), field=field, reason="NotSupported", message=message)
