"""Which virtual host and which match take a request, and why the matches before it do not: asked of the serving code.

Every answer comes from `filters.runtime.matching`, built with one host, one match or one condition at a time; nothing
here decides by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from filters.contract.config import MODEL_HEADER, FilterConfig, HeaderMatch, Listener, Match, VirtualHost
from filters.contract.headers import Headers
from filters.runtime.matching import ListenerIndex

_ANY_HOST: Final = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One match, as it was tried."""

    rule: str
    """`<ns>/<route>/rule/<i>`"""
    match: str
    matches: bool
    why: str
    """what does not hold; empty when it matches"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    domain: str
    """of the virtual host that takes the request; empty: none does"""
    tried: tuple[Tried, ...]
    """up to the one that matches"""


def trace(listener: Listener, authority: str, headers: Headers, model: str) -> Trace:
    """The way of one request through the matches of a listener."""
    found = _virtual_host(listener, authority)
    if found is None:
        return Trace(domain="", tried=())
    tried = []
    for match in found.matches:
        holds = _holds(match, headers, model)
        why = "" if holds else "; ".join(_failures(match, headers, model))
        tried.append(Tried(rule=match.rule, match=describe(match), matches=holds, why=why))
        if holds:
            break
    return Trace(domain=", ".join(found.domains), tried=tuple(tried))


def describe(match: Match) -> str:
    """`x-ai-eg-model = m, x-team ~ a.*`; a rule without conditions: `any model`."""
    parts = [] if match.model is None else [f"model = {match.model}"]
    for header in match.headers:
        name = "model" if header.name == MODEL_HEADER else header.name
        parts.append(f"{name} {'~' if header.regex else '='} {header.value}")
    return ", ".join(parts) or "any request"


def rule_matches(config: FilterConfig) -> dict[str, list[str]]:
    """Rule → its matches, each once, in the order in which they are tried."""
    found: dict[str, dict[str, None]] = {}
    for listener in config.listeners:
        for host in listener.virtual_hosts:
            for match in host.matches:
                found.setdefault(match.rule, {})[describe(match)] = None
    return {rule: list(matches) for rule, matches in found.items()}


def _virtual_host(listener: Listener, authority: str) -> VirtualHost | None:
    numbered = {str(number): host for number, host in enumerate(listener.virtual_hosts)}
    hosts = tuple(VirtualHost(host.domains, (Match(number),)) for number, host in numbered.items())
    index = ListenerIndex(Listener(listener.name, hosts), numbered)
    return index.find(authority, Headers(()), "")


def _holds(match: Match, headers: Headers, model: str) -> bool:
    only = Listener("", (VirtualHost(_ANY_HOST, (match,)),))
    return ListenerIndex(only, {match.rule: True}).find("", headers, model) is not None


def _failures(match: Match, headers: Headers, model: str) -> Sequence[str]:
    found = []
    if match.model is not None and not _holds(msgspec.structs.replace(match, headers=()), headers, model):
        found.append(f"model is {model}, not {match.model}")
    found += (
        _failure(header, headers, model)
        for header in match.headers
        if not _holds(Match(match.rule, None, (header,)), headers, model)
    )
    return found


def _failure(header: HeaderMatch, headers: Headers, model: str) -> str:
    wanted = f"does not match {header.value}" if header.regex else f"is not {header.value}"
    if header.name == MODEL_HEADER:
        return f"model {model} {wanted}"
    if header.name not in headers:
        return f"header {header.name} is absent"
    return f"header {header.name} {wanted}"
