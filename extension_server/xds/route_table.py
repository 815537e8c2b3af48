"""Finds AI routes by their token in one step, however many there are.

Envoy tries the routes of a virtual host one after the other, twice per AI request: the fallback stands near the end,
and the route of the rule, once our filter has named it, somewhere before. Here a virtual host's list of routes becomes
a matcher tree (docs/adr/0008):

    x-ai-eg-rule = <token>   the routes that demand this token, then the fallback
    no or unknown token      all others, in their order

Each list is tried in order, and each route still checks its whole match. A route that demands a token can match nothing
else, so only one thing differs from the plain list: a request with a token no longer meets routes without one, whatever
path our filter has given to it. That is wanted: it is mediated for its rule, and carries that provider's credential.

Apart from `patches`, because everybody who edits routes wants them as a list: whoever publishes calls `fold` last.
"""

from collections.abc import Iterable
from typing import Final

from extension_server.xds import pool
from extension_server.xds.pool import Fields, Message
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import RULE_HEADER

NAME: Final = "aigw/rule"
"""of the matcher's input; tells our trees from a user's"""

_ROUTE_LIST: Final = "envoy.config.route.v3.RouteList"
_HEADER_INPUT: Final = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"


def fold(resources: Resources, mediation: Mediation) -> None:
    """In every virtual host with routes that demand a token; others, and those that are folded, stay as they are."""
    for configuration in resources.routes:
        for host in configuration.virtual_hosts:
            _fold(host, mediation)


def unfold(resources: Resources) -> None:
    """Turns our trees into lists again: token by token, then all others."""
    for configuration in resources.routes:
        for host in configuration.virtual_hosts:
            if host.HasField("matcher") and host.matcher.matcher_tree.input.name == NAME:
                _unfold(host)


def _fold(host: Message, mediation: Mediation) -> None:
    of_token: dict[str, list[Message]] = {}
    others = []
    for route in host.routes:
        token = _token(route)
        if token is None:
            others.append(route)
        else:
            of_token.setdefault(token, []).append(route)
    if not of_token:
        return
    # Where the routes of a token match nothing after all, the answer is "not mediated", as everywhere.
    fallback = [route for route in others if mediation.is_fallback(route)][:1]
    tree: Fields = {
        "input": {"name": NAME, "typed_config": pool.packed(_HEADER_INPUT, header_name=RULE_HEADER)},
        "exact_match_map": {"map": {token: _list([*routes, *fallback]) for token, routes in of_token.items()}},
    }
    host.matcher.CopyFrom(pool.message("xds.type.matcher.v3.Matcher", matcher_tree=tree, on_no_match=_list(others)))
    del host.routes[:]


def _unfold(host: Message) -> None:
    tree = host.matcher.matcher_tree.exact_match_map.map
    lists = [_routes(tree[token]) for token in sorted(tree)]
    # The fallback at the end of each list is a copy.
    routes = [route for each in lists for route in each if _token(route) is not None]
    routes += _routes(host.matcher.on_no_match)
    host.ClearField("matcher")
    host.routes.extend(routes)


def _token(route: Message) -> str | None:
    """The token that the route demands."""
    for header in route.match.headers:
        if header.name.lower() == RULE_HEADER and not header.invert_match:
            exact = header.string_match.exact or header.exact_match
            if exact and not header.string_match.ignore_case:
                return str(exact)
    return None


def _list(routes: Iterable[Message]) -> Fields:
    return {"action": {"name": "routes", "typed_config": pool.packed(_ROUTE_LIST, routes=list(routes))}}


def _routes(on_match: Message) -> list[Message]:
    return [*pool.unpacked(on_match.action.typed_config).routes]
