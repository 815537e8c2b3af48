"""Strips client-sent `x-ai-eg-*` headers, before the first route match.

Those names are ours: a client that could send them would choose its own rule. An early header mutation runs ahead of
every filter and of route matching.
"""

from collections.abc import Collection
from typing import Final

from extension_server.xds import pool
from extension_server.xds.resources import Mediation, Resources, ai_configurations, connection_managers

INTERNAL_PREFIX: Final = "x-ai-eg-"
NAME: Final = "aigw/strip-internal-headers"

_HEADER_MUTATION: Final = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"


def patch(resources: Resources, mediation: Mediation) -> None:
    strip(resources, ai_configurations(resources, mediation))


def strip(resources: Resources, configurations: Collection[str]) -> None:
    """In every connection manager that serves one of these RouteConfigurations."""
    for network_filter, manager in connection_managers(resources, configurations):
        if any(extension.name == NAME for extension in manager.early_header_mutation_extensions):
            continue
        manager.early_header_mutation_extensions.add(
            name=NAME,
            typed_config=pool.packed(
                _HEADER_MUTATION,
                mutations=[{"remove_on_match": {"key_matcher": {"prefix": INTERNAL_PREFIX, "ignore_case": True}}}],
            ),
        )
        pool.replace(network_filter.typed_config, manager)
