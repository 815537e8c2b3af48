"""One rule of an AIGatewayRoute → its generated form, its plan, its token; or the reasons why it fails closed."""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from extension_server.api.aigateway import AIGatewayRoute, AIGatewayRouteMatch, AIGatewayRouteRule
from extension_server.api.base import seconds
from extension_server.compile import plans
from extension_server.compile.backends import BackendResolver, Resolved
from extension_server.compile.credentials import Unusable
from extension_server.compile.expressions import regex_problem
from extension_server.compile.precedence import contract_match
from extension_server.compile.result import CompiledBackend, CompiledRule, Finding, ObjectRef
from extension_server.compile.routes import GeneratedRule
from extension_server.compile.shares import MAX_BACKENDS, Share, TooManyPriorities, split
from extension_server.compile.snapshot import ref_of
from filters.contract import config, jsonlib
from filters.contract.config import RULE_HEADER, Cost, FilterConfig, Listener, Match, VirtualHost

MAX_HEADERS: Final = 16
"""of one match of an HTTPRoute (Gateway API 1.5)"""
TOKEN_LENGTH: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePart:
    """Everything that one rule contributes."""

    generated: tuple[GeneratedRule, ...]
    """one, or one for each share of the traffic"""
    compiled: tuple[CompiledRule, ...]
    """the same, as if the HTTPRoute had one rule for each AI rule; `routes.Generated` says where they really are"""
    rule: config.Rule
    """with the route's own costs"""
    backends: tuple[config.Backend, ...]
    matches: tuple[Match, ...]
    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        return bool(self.backends)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCompiler:
    """Compiles the rules of one route, the same for every Gateway that serves it: its HTTPRoutes hold one token."""

    route: AIGatewayRoute
    resolver: BackendResolver
    costs: tuple[Cost, ...]
    """the route's own"""
    token_key: bytes
    user_filters: bool

    def compile(self, index: int, rule: AIGatewayRouteRule) -> RulePart:
        limits = tuple(self._limits(index, rule))
        resolved: list[Resolved] = []
        failures: list[Finding] = list(limits)
        for position, ref in enumerate(rule.backend_refs):
            try:
                resolved.append(self.resolver.resolve(self.route, index, position, ref))
            except Unusable as exc:
                failures += exc.findings
        usable = tuple(each for each in resolved if each.weight > 0) if not failures else ()
        findings = [*failures, *(finding for each in resolved for finding in each.findings)]
        if not failures and not usable:
            findings.append(
                self._finding(
                    "warning",
                    f"spec.rules[{index}].backendRefs",
                    "NoBackends",
                    "has no backend with a weight above 0; requests for this rule are answered with 503",
                )
            )
        ranks = {priority: rank for rank, priority in enumerate(sorted({each.priority for each in usable}))}
        if any(priority != rank for priority, rank in ranks.items()):
            findings.append(self._priorities(index, ranks))
        try:
            shares = split(usable, ranks) if len(resolved) > MAX_BACKENDS and usable else ()
        except TooManyPriorities as exc:
            findings.append(self._finding("error", f"spec.rules[{index}].backendRefs", "TooMany", str(exc)))
            shares, usable = (), ()
        # Backends without weight keep their place, as in the AI rule, when there is room.
        parts = [share.members for share in shares] or [tuple(resolved)]
        return self._assemble(index, rule, parts, shares, usable, ranks, tuple(findings))

    def _assemble(
        self,
        index: int,
        rule: AIGatewayRouteRule,
        parts: Sequence[tuple[Resolved, ...]],
        shares: Sequence[Share],
        usable: tuple[Resolved, ...],
        ranks: dict[int, int],
        findings: tuple[Finding, ...],
    ) -> RulePart:
        matched = {header.name.lower() for match in rule.matches for header in match.headers}
        choice = plans.choose(
            [each.backend for each in usable],
            user_filters=self.user_filters,
            matched=matched,
            signing={each.backend.credential for each in usable if each.signs},
        )
        preferred = tuple(sorted(usable, key=lambda each: (ranks[each.priority], each.ref)))
        backends = tuple(each.backend for each in (preferred[:1] if choice.plan == "single" else usable))
        name = f"{self.route.namespace}/{self.route.name}"
        # For one expression that it cannot read, a filter refuses the whole configuration; and nothing matches it.
        matches = tuple(contract_match(f"{name}/rule/{index}", match) for match in rule.matches if _readable(match))
        if not rule.matches:
            matches = (Match(rule=f"{name}/rule/{index}"),)
        tokenless = config.Rule(
            name=f"{name}/rule/{index}",
            route=name,
            token="",
            plan=choice.plan,
            backends=tuple(backend.name for backend in backends),
            costs=self.costs,
        )
        tokens = self._tokens(tokenless, backends, matches, usable, parts)
        return RulePart(
            generated=tuple(
                GeneratedRule(
                    rule=rule,
                    token=token,
                    backend_refs=tuple(each.http_ref for each in part) if usable else (),
                    refs=tuple(rule.backend_refs[each.ref] for each in part) if shares else rule.backend_refs,
                )
                for token, part in zip(tokens, parts, strict=True)
            ),
            compiled=tuple(
                CompiledRule(
                    http_route=ObjectRef("HTTPRoute", self.route.namespace, self.route.name),
                    http_rule=index,
                    route=name,
                    rule=index,
                    token=token,
                    plan=choice.plan,
                    reason=choice.reason,
                    backends=_compiled_backends(part if usable else (), ranks),
                    authority=_authority(usable) if choice.plan == "single" else "",
                    stream_idle_timeout=seconds(rule.stream_idle_timeout) if rule.stream_idle_timeout else None,
                )
                for token, part in zip(tokens, parts, strict=True)
            ),
            rule=msgspec.structs.replace(
                tokenless,
                token=tokens[0],
                shares=tuple(config.Share(token, share.weight) for token, share in zip(tokens, shares, strict=False))
                if len(shares) > 1
                else (),
            ),
            backends=backends,
            matches=matches,
            findings=findings,
        )

    def _tokens(
        self,
        rule: config.Rule,
        backends: tuple[config.Backend, ...],
        matches: tuple[Match, ...],
        usable: tuple[Resolved, ...],
        parts: Sequence[tuple[Resolved, ...]],
    ) -> list[str]:
        """Change with everything that the filter does for the rule and with every address that Envoy may pick, so that
        a filter and an Envoy of different age never combine one's credentials with the other's upstream. Not with
        the values of credentials: those are the same for all ages."""
        content = config.encode(
            FilterConfig(
                gateway="",
                listeners=(Listener("", (VirtualHost((), matches),)),),
                rules=(rule,),
                backends=backends,
            )
        )
        content += jsonlib.encode([each.endpoints for each in usable])
        # One part needs no name of its own; of several, each is named by its members.
        names = [jsonlib.encode([each.ref for each in part]) for part in parts] if len(parts) > 1 else [b""]
        return [hmac.digest(self.token_key, content + name, "sha256").hex()[:TOKEN_LENGTH] for name in names]

    def _limits(self, index: int, rule: AIGatewayRouteRule) -> Iterator[Finding]:
        field = f"spec.rules[{index}]"
        for position, match in enumerate(rule.matches):
            where = f"{field}.matches[{position}].headers"
            if len(match.headers) >= MAX_HEADERS:
                message = (
                    f"has {len(match.headers)} entries; at most {MAX_HEADERS - 1} can be matched, because the gateway "
                    "adds one of its own"
                )
                yield self._finding("error", where, "TooMany", message)
            for number, header in enumerate(match.headers):
                if header.name.lower() == RULE_HEADER:
                    message = f"header {RULE_HEADER} is the gateway's own; match on another header"
                    yield self._finding("error", f"{where}[{number}].name", "ReservedHeader", message)
                problem = regex_problem(header.value) if header.type == "RegularExpression" else None
                if problem is not None:
                    message = f"{problem}; Envoy reads RE2 syntax"
                    yield self._finding("error", f"{where}[{number}].value", "InvalidRegex", message)

    def _priorities(self, index: int, ranks: dict[int, int]) -> Finding:
        changes = ", ".join(f"{priority} becomes {rank}" for priority, rank in ranks.items() if priority != rank)
        return self._finding(
            "warning",
            f"spec.rules[{index}].backendRefs",
            "PrioritiesNotContiguous",
            f"priorities must start at 0 and have no gaps: {changes}",
        )

    def _finding(self, severity: str, field: str, reason: str, message: str) -> Finding:
        return Finding(
            severity="error" if severity == "error" else "warning",
            object=ref_of(self.route),
            field=field,
            reason=reason,
            message=message,
        )


def _authority(usable: Sequence[Resolved]) -> str:
    """The backends of plan `single` take the same request, so they have no two."""
    return next((each.authority for each in usable if each.authority), "")


def _readable(match: AIGatewayRouteMatch) -> bool:
    return all(header.type != "RegularExpression" or regex_problem(header.value) is None for header in match.headers)


def _compiled_backends(part: Sequence[Resolved], ranks: dict[int, int]) -> tuple[CompiledBackend, ...]:
    """`ref` is the place among the backendRefs of the generated rule, where those without weight count too."""
    return tuple(
        CompiledBackend(
            ref=place,
            name=each.backend.name,
            host=each.backend.host,
            priority=ranks[each.priority],
            weight=each.weight,
        )
        for place, each in enumerate(part)
        if each.weight > 0
    )
