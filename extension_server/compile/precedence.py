"""The order in which Envoy tries the matches of one virtual host, as Envoy Gateway sorts them (API chapter §2.3.4).

All AI matches share one path prefix and all carry the token header, so what decides is: more header matches first, of
these the one with more exact ones, then the older route, then its name, then the position in it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from extension_server.api.aigateway import AIGatewayRouteMatch
from filters.contract.config import MODEL_HEADER, HeaderMatch, Match

NO_AGE: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One match of one rule, with what its rank depends on."""

    match: Match
    age: float
    """creation time of the route, Unix seconds"""
    route: tuple[str, str]
    """namespace, name"""
    rule: int
    index: int

    @property
    def rank(self) -> tuple[int, int, float, tuple[str, str], int, int]:
        exact = sum(not header.regex for header in self.match.headers) + (self.match.model is not None)
        count = len(self.match.headers) + (self.match.model is not None)
        return (-count, -exact, self.age, self.route, self.rule, self.index)


def age_of(created: datetime | None) -> float:
    """Routes whose age is not known come after all others."""
    return NO_AGE if created is None else created.timestamp()


def ordered(candidates: list[Candidate]) -> tuple[Match, ...]:
    return tuple(candidate.match for candidate in sorted(candidates, key=lambda candidate: candidate.rank))


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
