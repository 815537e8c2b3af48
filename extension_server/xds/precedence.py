"""Lets users' own routes have what no AI endpoint wants: a generated last route would hide theirs.

The generated last rule matches every path below the root prefix, because AI requests have to meet it, and what it
answers to others is only "unknown path". Among routes that match equally much the oldest HTTPRoute goes first, so a
user's route for `/` on the same Gateway would have got no request at all. Where users' routes stand behind such a rule,
the rule keeps its place for paths of AI endpoints, and stands behind everything for all others (docs/adr/0017).

Gateways without routes of users, or with theirs before ours, stay as they are.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from extension_server.xds import pool, route_table
from extension_server.xds.pool import Message
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import FilterConfig

T = TypeVar("T")


def patch(resources: Resources, mediation: Mediation) -> None:
    def is_last(route: Message) -> bool:
        return mediation.is_fallback(route) and not route.match.HasField("safe_regex")

    def is_foreign(route: Message) -> bool:
        return mediation.of_route(route.name) is None and route_table.demanded(route) is None

    addition = own_paths(mediation)

    def own(route: Message) -> Message:
        return pool.message_class(pool.ROUTE).FromString(pool.serialized(route) + addition)

    for configuration in resources.routes:
        for host in configuration.virtual_hosts:
            routes = [*host.routes]
            wanted = ordered(routes, is_last, is_foreign, own)
            if wanted is not routes:
                copied = [pool.serialized(route) for route in wanted]
                del host.routes[:]
                for raw in copied:
                    host.routes.add().ParseFromString(raw)


def ordered(
    routes: Sequence[T], is_last: Callable[[T], bool], is_foreign: Callable[[T], bool], own: Callable[[T], T]
) -> Sequence[T]:
    """`routes` itself when no route of a user's stands behind a last one. `own`: a last one for AI endpoints only."""
    foreign = max((place for place, route in enumerate(routes) if is_foreign(route)), default=0)
    first = next((place for place in range(foreign) if is_last(routes[place])), None)
    if first is None:
        return routes
    # Last routes differ in nothing that is matched, so one of them is enough in front.
    before = [each for each in routes[first + 1 :] if not is_last(each)]
    return [*routes[:first], own(routes[first]), *before, *filter(is_last, routes)]


def own_paths(mediation: Mediation) -> bytes:
    """Appended to a serialized last route: it then matches paths of AI endpoints instead of its prefix."""
    expression = _expression(mediation.compiled.filter_config)
    return pool.serialized(pool.message(pool.ROUTE, match={"safe_regex": {"regex": expression}}))


def _expression(config: FilterConfig) -> str:
    """Below the root, a family of endpoints has a prefix of its own; without one it has OpenAI's `/v1`."""
    root = config.root_prefix.rstrip("/")
    prefixes = (prefix.rstrip("/") or "/v1" for _, prefix in config.endpoint_prefixes)
    return f"{re.escape(root)}(?:{'|'.join(sorted({re.escape(prefix) for prefix in prefixes}))})/.+"
