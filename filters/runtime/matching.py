"""Which rule serves a request: Envoy's own choice of virtual host and route, made without Envoy.

Envoy decides again with the token of the rule that is found here; both must agree (docs/adr/0002). So this follows
Envoy to the letter: domains exact, then the longest `*.suffix`, then `*`; several lines of one header are one value
joined by a comma; a header match on an absent header fails.

Cost does not grow with the number of rules: a virtual host and the matches of a model are dictionary lookups. What is
left in line are the matches of one model, and those that name no model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from filters.contract.config import MODEL_HEADER, RULE_HEADER, HeaderMatch, Listener, Match, VirtualHost
from filters.contract.headers import Headers
from filters.endpoints.models import Listing
from filters.runtime.errors import ConfigError
from filters.runtime.patterns import FullMatch, compile_pattern, wire

R = TypeVar("R")

_INTERNAL: Final = "x-ai-eg-"


def host_of(authority: str) -> str:
    """`:authority` as Envoy compares it with domains: lower case, without port (`ignore_port_in_host_matching`)."""
    colon = authority.rfind(":")
    if colon >= 0 and authority.rfind("]") < colon:
        authority = authority[:colon]
    return authority.lower()


@dataclass(frozen=True, slots=True)
class _Condition:
    name: str
    exact: str | None
    pattern: FullMatch | None

    def holds(self, value: str) -> bool:
        if self.pattern is not None:
            return self.pattern(value)
        return value == self.exact


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[R]):
    order: int
    rule: R
    conditions: tuple[_Condition, ...]

    def holds(self, headers: Headers, model: str) -> bool:
        for condition in self.conditions:
            value = _value(headers, condition.name, model)
            if value is None or not condition.holds(value):
                return False
        return True


def _value(headers: Headers, name: str, model: str) -> str | None:
    """The header's value as Envoy sees it after our reply; what a client sends under our own names does not count."""
    if name.startswith(_INTERNAL):
        return wire(model) if name == MODEL_HEADER else None
    if name not in headers:
        return None
    if len(headers) == len(set(headers)):
        return headers.get(name)
    return ",".join(value for other, value in headers.items if other == name)


class _HostIndex(Generic[R]):
    """The matches of one virtual host."""

    __slots__ = ("_any_model", "_by_model", "listing")

    def __init__(self, host: VirtualHost, rules: Mapping[str, R], where: str) -> None:
        self._by_model: dict[str, list[_Candidate[R]]] = {}
        self._any_model: list[_Candidate[R]] = []
        self.listing = Listing(host.models)
        for order, match in enumerate(host.matches):
            candidate = _candidate(order, match, rules, where)
            if match.model is None:
                self._any_model.append(candidate)
            else:
                self._by_model.setdefault(match.model, []).append(candidate)

    def find(self, headers: Headers, model: str) -> R | None:
        named = self._first(self._by_model.get(model, ()), headers, model)
        open_ = self._first(self._any_model, headers, model, before=named.order if named else None)
        found = open_ or named
        return None if found is None else found.rule

    @staticmethod
    def _first(
        candidates: Iterable[_Candidate[R]], headers: Headers, model: str, before: int | None = None
    ) -> _Candidate[R] | None:
        for candidate in candidates:
            if before is not None and candidate.order > before:
                return None
            if candidate.holds(headers, model):
                return candidate
        return None


def _candidate(order: int, match: Match, rules: Mapping[str, R], where: str) -> _Candidate[R]:
    if match.rule not in rules:
        raise ConfigError(f"{where}: a match names the unknown rule {match.rule}")
    conditions = tuple(_condition(header, match.rule) for header in match.headers if header.name != RULE_HEADER)
    return _Candidate(order, rules[match.rule], conditions)


def _condition(header: HeaderMatch, rule: str) -> _Condition:
    if not header.regex:
        return _Condition(header.name.lower(), wire(header.value), None)
    return _Condition(
        header.name.lower(), None, compile_pattern(header.value, f"rule {rule}: header match {header.name}")
    )


class ListenerIndex(Generic[R]):
    """All rules of one listener."""

    __slots__ = ("_exact", "_suffixes", "_wildcard")

    def __init__(self, listener: Listener, rules: Mapping[str, R]) -> None:
        where = f"listener {listener.name}"
        self._exact: dict[str, _HostIndex[R]] = {}
        self._wildcard: _HostIndex[R] | None = None
        suffixes: dict[str, _HostIndex[R]] = {}
        for host in listener.virtual_hosts:
            index = _HostIndex(host, rules, where)
            for domain in host.domains:
                name = domain.lower()
                if name == "*":
                    self._wildcard = self._wildcard or index
                elif name.startswith("*"):
                    suffixes.setdefault(name[1:], index)
                else:
                    self._exact.setdefault(name, index)
        # Grouped by length, longest first, as Envoy does: one lookup per length.
        lengths: dict[int, dict[str, _HostIndex[R]]] = {}
        for suffix, index in suffixes.items():
            lengths.setdefault(len(suffix), {})[suffix] = index
        self._suffixes: Sequence[tuple[int, Mapping[str, _HostIndex[R]]]] = sorted(lengths.items(), reverse=True)

    def find(self, authority: str, headers: Headers, model: str) -> R | None:
        """The rule that serves `model` on that host; None when there is none."""
        host = self._host(authority)
        return None if host is None else host.find(headers, model)

    def listing(self, authority: str) -> Listing | None:
        host = self._host(authority)
        return None if host is None else host.listing

    def _host(self, authority: str) -> _HostIndex[R] | None:
        name = host_of(authority)
        found = self._exact.get(name)
        if found is not None:
            return found
        for length, by_suffix in self._suffixes:
            if length < len(name) and name[-length:] in by_suffix:
                return by_suffix[name[-length:]]
        return self._wildcard
