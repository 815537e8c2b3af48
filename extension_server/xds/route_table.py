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

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from extension_server.xds import pool
from extension_server.xds.pool import Message
from extension_server.xds.resources import Resources
from filters.contract.config import RULE_HEADER

NAME: Final = "aigw/rule"
"""of the matcher's input; tells our trees from a user's"""

_HEADER: Final = RULE_HEADER.encode()
_MATCHER: Final = "xds.type.matcher.v3.Matcher"
_ROUTE_LIST: Final = "envoy.config.route.v3.RouteList"
_HEADER_INPUT: Final = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"


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


def folded(routes: Iterable[bytes]) -> Message | None:
    """The tree of a virtual host, which Envoy takes in place of its `routes`; None when none of them demands a token.

    Takes and keeps serialized routes; those that name the header are decoded. Raises DecodeError.
    """
    of_token: dict[str, list[bytes]] = {}
    others = []
    opened = pool.message_class(pool.ROUTE)
    for route in routes:
        token = _token(opened.FromString(route)) if _HEADER in route else None
        if token is None:
            others.append(route)
        else:
            of_token.setdefault(token, []).append(route)
    return _tree(of_token, others) if of_token else None


def _tree(of_token: Mapping[str, Sequence[bytes]], others: Sequence[bytes]) -> Message:
    made = pool.message(_MATCHER)
    header = made.matcher_tree.input
    header.name = NAME
    pool.replace(header.typed_config, pool.message(_HEADER_INPUT, header_name=RULE_HEADER))
    by_token = made.matcher_tree.exact_match_map.map
    for token, routes in of_token.items():
        _set(by_token[token].action, routes)
    if others:
        _set(made.on_no_match.action, others)
    return made


def _fold(host: Message) -> None:
    tree = folded([pool.serialized(route) for route in host.routes])
    if tree is not None:
        host.matcher.CopyFrom(tree)
        del host.routes[:]


def _unfold(host: Message) -> None:
    by_token = host.matcher.matcher_tree.exact_match_map.map
    lists = [by_token[token] for token in sorted(by_token)]
    if host.matcher.HasField("on_no_match"):
        lists.append(host.matcher.on_no_match)
    routes = [route for each in lists for route in pool.unpacked(each.action.typed_config).routes]
    host.ClearField("matcher")
    host.routes.extend(routes)


def _token(route: Message) -> str | None:
    """The token that the route demands."""
    for header in route.match.headers:
        if header.name == RULE_HEADER and not header.invert_match:
            exact = header.string_match.exact or header.exact_match
            if exact and not header.string_match.ignore_case:
                return str(exact)
    return None


def _set(action: Message, routes: Sequence[bytes]) -> None:
    action.name = "routes"
    action.typed_config.type_url = f"type.googleapis.com/{_ROUTE_LIST}"
    # `routes` is field 1 of a RouteList; the routes stay as they were serialized.
    action.typed_config.value = b"".join(b"\x0a" + _varint(len(route)) + route for route in routes)


def _varint(number: int) -> bytes:
    """A length, as protobuf writes it."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
