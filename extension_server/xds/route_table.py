"""Finds AI routes by their token in one step, however many there are.

Envoy tries the routes of a virtual host one after the other, twice per AI request: the fallback stands near the end,
and the route of the rule, once our filter has named it, somewhere before. Here a virtual host's list of routes becomes
a matcher tree (docs/adr/0012):

    x-ai-eg-rule = <token>   the routes that demand this token
    no or unknown token      all others, in their order

Each list is tried in order, and each route still checks its whole match. A route that demands a token can match nothing
else, so only one thing differs from the plain list: a request with a token no longer meets routes without one, whatever
path our filter has given to it. That is wanted: it is mediated for its rule, and carries that provider's credential.

Apart from `patches`, because everybody who edits routes wants them as a list: whoever publishes calls `fold` last.
"""

import functools
from collections.abc import Sequence
from typing import Final

from extension_server.xds import pool, wire
from extension_server.xds.pool import Message
from extension_server.xds.resources import Resources
from filters.contract.config import RULE_HEADER

NAME: Final = "aigw/rule"
"""of the matcher's input; tells our trees from a user's"""

LISTED: Final = 1
"""of envoy.config.route.v3.RouteList"""

_HEADER: Final = RULE_HEADER.encode()
_ROUTE_LIST: Final = "envoy.config.route.v3.RouteList"
_HEADER_INPUT: Final = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
_ACTION: Final = wire.field(1, b"routes")
_ROUTE_LIST_URL: Final = wire.field(1, f"type.googleapis.com/{_ROUTE_LIST}".encode())


def fold(resources: Resources) -> None:
    """In every virtual host with routes that demand a token; others, and those that are folded, stay as they are."""
    for configuration in resources.routes:
        for host in configuration.virtual_hosts:
            _fold(host)


def unfold(resources: Resources) -> None:
    """Turns our trees into lists again: token by token, then all others."""
    for configuration in resources.routes:
        for host in configuration.virtual_hosts:
            if host.HasField("matcher") and host.matcher.matcher_tree.input.name == NAME:
                _unfold(host)


def token_of(route: bytes) -> str | None:
    """The token that a serialized route demands. Raises DecodeError."""
    return demanded(pool.message_class(pool.ROUTE).FromString(route)) if _HEADER in route else None


def entry(token: str, routes: Sequence[bytes]) -> bytes:
    """What stands in a `tree` for the routes that demand one token."""
    found = _on_match(_listed(routes)).inside(2)
    return wire.field(1, wire.field(1, token.encode()) + bytes(found))


def tree(entries: wire.Pieces, others: wire.Pieces) -> wire.Pieces:
    """The matcher of a virtual host, which Envoy takes in place of its routes; one `entry` for each token, and the
    routes that demand none, as fields `LISTED`.

    Written by hand, as protobuf would: thousands of serialized routes are not copied from message to message.
    """
    matched = wire.Pieces(wire.field(1, _input()))
    matched.extend(entries.inside(2))
    matched.inside(2)
    if others.size:
        matched.extend(_on_match(others).inside(3))
    return matched


def _on_match(listed: wire.Pieces) -> wire.Pieces:
    """xds.type.matcher.v3.Matcher.OnMatch with the action to try these routes in order."""
    action = wire.Pieces(_ROUTE_LIST_URL)
    action.extend(listed.inside(2))
    chosen = wire.Pieces(_ACTION)
    chosen.extend(action.inside(2))
    return chosen.inside(2)


def _listed(routes: Sequence[bytes]) -> wire.Pieces:
    fields = wire.Pieces()
    fields.fields(LISTED, routes)
    return fields


@functools.cache
def _input() -> bytes:
    header = pool.message("xds.core.v3.TypedExtensionConfig", name=NAME)
    pool.replace(header.typed_config, pool.message(_HEADER_INPUT, header_name=RULE_HEADER))
    return pool.serialized(header)


def _fold(host: Message) -> None:
    of_token: dict[str, list[bytes]] = {}
    others: list[bytes] = []
    for route in host.routes:
        token = demanded(route)
        (others if token is None else of_token.setdefault(token, [])).append(pool.serialized(route))
    if of_token:
        entries = wire.Pieces(*(entry(token, of_token[token]) for token in sorted(of_token)))
        host.matcher.ParseFromString(bytes(tree(entries, _listed(others))))
        del host.routes[:]


def _unfold(host: Message) -> None:
    by_token = host.matcher.matcher_tree.exact_match_map.map
    lists = [by_token[token] for token in sorted(by_token)]
    if host.matcher.HasField("on_no_match"):
        lists.append(host.matcher.on_no_match)
    routes = [route for each in lists for route in pool.unpacked(each.action.typed_config).routes]
    host.ClearField("matcher")
    host.routes.extend(routes)


def demanded(route: Message) -> str | None:
    """The token that the route demands."""
    for header in route.match.headers:
        if header.name == RULE_HEADER and not header.invert_match:
            exact = header.string_match.exact or header.exact_match
            if exact and not header.string_match.ignore_case:
                return str(exact)
    return None
