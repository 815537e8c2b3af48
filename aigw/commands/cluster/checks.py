"""The chain in a cluster, in the order in which its links depend on each other."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from aigw.commands.checks.base import Check, Finding
from aigw.commands.cluster import controller, definitions, envoy_gateway, gateways, policies, routes
from aigw.commands.cluster.state import Cluster
from aigw.commands.doctor import Entry


def access(cluster: Cluster) -> Iterable[Finding]:
    """What could not be read; the other checks leave out what depends on it."""
    for kind, why in sorted(cluster.unreadable.items()):
        yield Finding(
            severity="warning",
            title=f"objects of kind {kind} cannot be read: {why}",
            meaning="what depends on them is not checked",
            fix="run aigw doctor as somebody who may list them (kubectl auth can-i list)",
        )
    if not cluster.unreadable:
        yield Finding(severity="ok", title=f"{cluster.server} answers, and everything that is needed can be read")


def _asked(check: Callable[[Cluster], Iterable[Finding]]) -> Check[Cluster]:
    async def ask(cluster: Cluster) -> Sequence[Finding]:
        return tuple(check(cluster))

    return ask


CLUSTER: Final[tuple[Entry[Cluster], ...]] = (
    Entry("access", "API server", _asked(access)),
    Entry("definitions", "CustomResourceDefinitions", _asked(definitions.check)),
    Entry("envoy-gateway", "Envoy Gateway", _asked(envoy_gateway.deployment)),
    Entry("hooks", "Envoy Gateway's configuration", _asked(envoy_gateway.configuration)),
    Entry("controller", "Our controller", _asked(controller.deployment)),
    Entry("leader", "Leader", _asked(controller.lease)),
    Entry("webhook", "Webhook and certificate", _asked(controller.webhook)),
    Entry("gateways", "Gateways and their pods", _asked(gateways.check)),
    Entry("objects", "Our objects", _asked(routes.check)),
    Entry("generated", "Generated HTTPRoutes", _asked(routes.generated)),
    Entry("policies", "Policies of Envoy Gateway", _asked(policies.check)),
)
