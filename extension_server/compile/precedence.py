"""The order in which Envoy tries the matches of one virtual host, as Envoy Gateway sorts them (API chapter §2.3.4).

All AI matches share one path prefix and all carry the token header, so what decides is: more header matches first, of
these the one with more exact ones, then the older route, then its name, then the position in it.
"""

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from extension_server.api.aigateway import AIGatewayRouteMatch
from filters.contract.config import MODEL_HEADER, HeaderMatch, Match, Model

NO_AGE: Final = float("inf")
_RANK: Final = operator.attrgetter("rank")


Rank = tuple[int, int, float, tuple[str, str], int, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One match of one rule, and the model that it offers."""

    match: Match
    rank: Rank
    """what Envoy sorts by"""
    model: Model | None


def rank(match: Match, *, age: float, route: tuple[str, str], rule: int, index: int) -> Rank:
    """`age`: creation time of the route, Unix seconds. `route`: namespace, name. `index`: of the match in its rule."""
    named = match.model is not None
    exact = sum(not header.regex for header in match.headers) + named
    return (-(len(match.headers) + named), -exact, age, route, rule, index)


def age_of(created: datetime | None) -> float:
    """Routes whose age is not known come after all others."""
    return NO_AGE if created is None else created.timestamp()


def ordered(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=_RANK)


def contract_match(rule: str, match: AIGatewayRouteMatch) -> Match:
    """The first exact match on the model header becomes `model`; header names are in lower case."""
    model: str | None = None
    headers = []
    for header in match.headers:
        name = header.name.lower()
        if name == MODEL_HEADER and header.type == "Exact" and model is None:
            model = header.value
        else:
            headers.append(HeaderMatch(name=name, value=header.value, regex=header.type == "RegularExpression"))
    return Match(rule=rule, model=model, headers=tuple(headers))
