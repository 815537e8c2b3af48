"""All patches, in order. Pure, deterministic, safe to apply twice."""

from collections.abc import Callable
from typing import Final

from extension_server.xds import (
    attempts,
    edge,
    endpoints,
    fallback,
    listener_filter,
    local_replies,
    log_attributes,
    precedence,
    route_table,
    routes,
    service_clusters,
    shared_clusters,
    user_filters,
)
from extension_server.xds.resources import Mediation, Resources

Patch = Callable[[Resources, Mediation], None]

PATCHES: Final[tuple[Patch, ...]] = (
    edge.patch,  # first, as in Envoy: nothing else may trust an x-ai-eg-* header before this
    listener_filter.patch,  # disabled, so harmless until a route names it
    local_replies.patch,
    log_attributes.patch,
    routes.patch,
    # What cannot be served safely is closed, whatever the patches below do for it.
    user_filters.patch,
    shared_clusters.patch,
    endpoints.patch,  # the marks that the attempt filter reads
    attempts.patch,
    service_clusters.patch,  # what both filters call must exist before one is enabled
    fallback.patch,  # switches it all on
    precedence.patch,  # last: it narrows what is complete
)


def apply(resources: Resources, mediation: Mediation) -> None:
    """Patches `resources` in place. Routes stay a list, folded ones become one again; `route_table.fold` goes last."""
    route_table.unfold(resources)
    for patch in PATCHES:
        patch(resources, mediation)
