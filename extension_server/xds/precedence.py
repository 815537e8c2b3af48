"""Leaves to users' own routes what no AI endpoint wants: a generated last route would take it.

The generated last rule matches every path below the root prefix, because AI requests have to meet it; to all others it
only says "unknown path". In a virtual host where users have routes too, it matches paths of AI endpoints alone: a
younger route for `/` would get no request otherwise, and what matches no route is Envoy's to answer (docs/adr/0017).

Virtual hosts without routes of users stay as they are.
"""

import re

from extension_server.xds import pool, route_table
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import FilterConfig


def patch(resources: Resources, mediation: Mediation) -> None:
    def is_last(route: Message) -> bool:
        return mediation.is_fallback(route) and not route.match.HasField("safe_regex")

    def is_foreign(route: Message) -> bool:
        return not mediation.is_generated(route) and route_table.demanded(route) is None

    addition = OwnPaths(mediation).addition
    for configuration in resources.routes:
        for host in configuration.virtual_hosts:
            if any(is_foreign(route) for route in host.routes):
                for route in filter(is_last, host.routes):
                    route.MergeFromString(addition)


class OwnPaths:
    """Paths of the AI endpoints of a Gateway."""

    def __init__(self, mediation: Mediation) -> None:
        expression = _expression(mediation.compiled.filter_config)
        self._expression = expression.encode()
        self.addition = pool.serialized(pool.message(pool.ROUTE, match={"safe_regex": {"regex": expression}}))
        """appended to a serialized last route: it then matches these paths instead of its prefix"""

    def only(self, route: bytes) -> bytes:
        """A serialized last route for these paths only."""
        return route if self._expression in route else route + self.addition


def _expression(config: FilterConfig) -> str:
    """Below the root, a family of endpoints has a prefix of its own; without one it has OpenAI's `/v1`."""
    root = config.root_prefix.rstrip("/")
    prefixes = (prefix.rstrip("/") or "/v1" for _, prefix in config.endpoint_prefixes)
    return f"{re.escape(root)}(?:{'|'.join(sorted({re.escape(prefix) for prefix in prefixes}))})/.+"
