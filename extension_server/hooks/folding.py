"""The routes of one virtual host, put together so that Envoy finds them by their token (`xds.route_table`)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from extension_server.hooks import holes
from extension_server.hooks.items import Route
from extension_server.hooks.recall import Run
from extension_server.hooks.runs import Routes, RoutesMade
from extension_server.hooks.shells import ROUTES, RouteTable
from extension_server.hooks.transition import Entry
from extension_server.xds import route_table, wire

RouteRun = Run[Route, Routes]


def entries(runs: Sequence[RouteRun], made: Sequence[RoutesMade]) -> tuple[dict[str, Entry], frozenset[str]]:
    """What a host's routes are found by, and the tokens among them that several routes demand."""
    found: dict[str, Entry] = {}
    for each in made:
        found.update(each.entries)
    if len(found) == sum(len(run.summary.tokens) for run in runs):
        return found, frozenset()
    demanded = Counter(token for run in runs for token in run.summary.tokens)
    several = frozenset(token for token, times in demanded.items() if times > 1)
    together: dict[str, list[bytes]] = {}
    clusters: dict[str, list[str]] = {}
    for run, each in zip(runs, made, strict=True):
        for route, routed in zip(run.summary.routes, each.routed, strict=True):
            if route.token in several:
                together.setdefault(route.token, []).append(holes.filled(routed.hollow, route.metadata))
                clusters.setdefault(route.token, []).extend(routed.clusters)
    for token, raws in together.items():
        found[token] = Entry(route_table.entry(token, raws), tuple(clusters[token]))
    return found, several


def fold(
    table: RouteTable,
    host: int,
    runs: Sequence[RouteRun],
    made: Sequence[RoutesMade],
    several: Mapping[str, Entry],
    addition: bytes,
    own: Callable[[bytes], bytes],
) -> None:
    """Puts runs in the place of a host's routes. `several`: entries that are not of single routes of these runs.
    `addition`: appended to bare ones. `own`: makes a last route one that stands beside routes of users
    (`xds.precedence`)."""
    beside_users = any(each.has_users for each in made)
    suffix = own(addition) if beside_users and addition else addition
    matched = bool(several) or any(run.summary.tokens for run in runs)
    told, others = wire.Pieces(), wire.Pieces()
    for run, each in zip(runs, made, strict=True):
        entered, listed = run.summary.rendered(
            run,
            each,
            apart=run.summary.distinct.intersection(several),
            number=route_table.LISTED if matched else ROUTES,
            suffix=suffix,
            own=own if beside_users else None,
        )
        told.add(entered)
        others.add(listed)
    for token in sorted(several):
        told.add(several[token].raw)
    if matched:
        table.match(host, route_table.tree(told, others))
    else:
        table.list(host, others)
