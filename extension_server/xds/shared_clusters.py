"""Closes rules of plan `attempt` whose cluster serves others too.

Envoy Gateway 1.9 (`mergeBackends`) gives backends clusters of their own, shared by every route that refers to them;
nothing in such a cluster says which rule it serves. In plan `single` our filter has decided before the cluster is
reached. In plan `attempt` the cluster must lead to the upstream-level filter, which other routes must not meet; without
it the request would leave untranslated and without credentials. So such a rule answers "not mediated".
"""

from extension_server.compile.result import CompiledRule
from extension_server.xds import closing, names
from extension_server.xds.names import INVALID_BACKEND, RuleName
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources, routes_of


def patch(resources: Resources, mediation: Mediation) -> None:
    for configuration in resources.routes:
        for route in routes_of(configuration):
            name = names.route(route.name)
            rule = mediation.rule(name)
            if name is not None and rule is not None and is_unsafe(route, name, rule):
                closing.close(route)


def is_unsafe(route: Message, name: RuleName, rule: CompiledRule) -> bool:
    """Whether the route leads to a cluster that is not its own rule's, though the plan wants it."""
    return rule.plan == "attempt" and not _owns_clusters(route, name)


def _owns_clusters(route: Message, rule: RuleName) -> bool:
    if not route.HasField("route"):
        return True
    action = route.route
    if action.HasField("weighted_clusters"):
        targets = [each.name for each in action.weighted_clusters.clusters]
    else:
        targets = [action.cluster]
    return all(
        target == INVALID_BACKEND or ((found := names.cluster(target)) is not None and found.rule == rule)
        for target in targets
    )
