"""Switches the listener-level filter on, at the generated last route: the first match of every AI request.

All other AI routes want the rule header, which only the filter can set. So this route alone is where a request meets
the filter, and it names the configuration that belongs to this very route table (docs/adr/0004).
"""

from extension_server.xds import pool, processor
from extension_server.xds.resources import Mediation, Resources, routes_of
from filters.contract.config import CONFIG_HEADER, LISTENER_HEADER


def patch(resources: Resources, mediation: Mediation) -> None:
    for configuration in resources.routes:
        override = pool.message(
            pool.EXT_PROC_PER_ROUTE,
            overrides={
                "grpc_initial_metadata": [
                    {"key": CONFIG_HEADER, "value": mediation.config_hash},
                    {"key": LISTENER_HEADER, "value": mediation.listener_name(configuration.name)},
                ]
            },
        )
        for route in routes_of(configuration):
            if mediation.is_fallback(route):
                pool.replace(route.typed_per_filter_config[processor.FILTER], override)
