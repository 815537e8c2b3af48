"""Matches that get no request, because an earlier one asks for the same model and headers. Pure; called by `assemble`.

Which of two routes wins is a rule (the older one, `precedence`), and nobody is asked: who wrote the other has to read
somewhere why it is never used. Matches that are only covered by a broader one are not looked for: these are the usual
way to have a default.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from extension_server.compile.attachment import Place
from extension_server.compile.precedence import Candidate, Rank
from extension_server.compile.result import Finding, ObjectRef

_HOSTS_SHOWN: Final = 3


def shadowed(hosts: Mapping[Place, Sequence[Candidate]]) -> tuple[Finding, ...]:
    """`hosts`: what each serves, in the order in which Envoy tries it. A warning for each match that comes too late."""
    found: dict[tuple[Rank, Rank], dict[str, None]] = {}
    for place, candidates in hosts.items():
        first: dict[object, Candidate] = {}
        for candidate in candidates:
            match = candidate.match
            headers = match.headers if len(match.headers) < 2 else frozenset(match.headers)
            winner = first.setdefault((match.model, headers), candidate)
            if winner is not candidate:
                found.setdefault((candidate.rank, winner.rank), {})[place.host] = None
    return tuple(_finding(loser, winner, names) for (loser, winner), names in found.items())


def _finding(loser: Rank, winner: Rank, hosts: Iterable[str]) -> Finding:
    age, route, winner_age, winner_route = loser[2], loser[3], winner[2], winner[3]
    if winner_route == route:
        other, why = _field(winner), "which comes first"
    else:
        other = f"{_field(winner)} of AIGatewayRoute {'/'.join(winner_route)}"
        why = "which is older" if winner_age < age else "which comes first by name"
    return Finding(
        severity="warning",
        object=ObjectRef("AIGatewayRoute", *route),
        field=_field(loser),
        reason="Shadowed",
        message=f"gets no requests{_for(list(hosts))}: {other}, {why}, asks for the same; change or remove one of them",
    )


def _field(rank: Rank) -> str:
    headers, *_, rule, index = rank
    # What asks for nothing may be a rule without matches.
    return f"spec.rules[{rule}].matches[{index}]" if headers else f"spec.rules[{rule}]"


def _for(hosts: Sequence[str]) -> str:
    if "*" in hosts:
        return ""
    more = len(hosts) - _HOSTS_SHOWN
    return f" for {', '.join(hosts[:_HOSTS_SHOWN])}" + (f" and {more} more hosts" if more > 0 else "")
