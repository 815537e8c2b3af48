"""The AI routes of one Gateway and what they lead through, patched object by object.

An object that cannot be patched stays as it came, and the AI routes that lead through it are closed: they answer "not
mediated". The order is listeners, clusters, routes: what failed before decides what is closed after.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from google.protobuf.message import DecodeError

from extension_server.compile.result import CompiledRule
from extension_server.hooks import memo, naming, splicing, transition
from extension_server.hooks.elements import ListenerElement, name_of
from extension_server.hooks.memo import Memo
from extension_server.hooks.shells import Routed, RouteTable, shell
from extension_server.hooks.transition import Decision, Earlier, Entry, Place, State
from extension_server.xds import (
    closing,
    edge,
    names,
    patches,
    pool,
    precedence,
    processor,
    route_table,
    service_clusters,
    user_filters,
)
from extension_server.xds.names import RuleName
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import STATIC_METADATA_NAMESPACE

_OURS: Final = frozenset({processor.REQUEST_CLUSTER, processor.ATTEMPT_CLUSTER})
_MARKER: Final = names.GENERATED.encode()
_PATCHED: Final = STATIC_METADATA_NAMESPACE.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One object that could not be patched."""

    what: str
    error: str
    rule: CompiledRule | None = None
    """the rule that fails closed; None: every rule behind a listener"""


def strip_client_headers(listeners: Iterable[ListenerElement], tables: Sequence[RouteTable]) -> tuple[Failure, ...]:
    """The edge strip in every listener that serves one of the tables, whatever is known of their Gateway. A listener
    that cannot be patched stays as it came, and the generated routes behind it are closed."""
    served = {table.name for table in tables}
    failures = []
    for listener in listeners:
        try:
            edge.strip(Resources(listeners=[listener.decode()]), served)
        except Exception as error:
            listener.restore()
            for table in _behind(listener, tables):
                close_generated(table)
            failures.append(Failure(what=f"listener {listener.name}", error=_text(error)))
    return tuple(failures)


def close_generated(table: RouteTable) -> None:
    """Every generated route, whatever is known of it."""
    table.rewrite(lambda raw: _closed(raw) if _MARKER in raw else raw)


class Mediated:
    """`patch` once; then the attributes tell what was seen."""

    def __init__(
        self,
        tables: Sequence[RouteTable],
        listeners: Sequence[ListenerElement],
        mediation: Mediation,
        remembered: Memo,
        earlier: Sequence[Earlier] = (),
        runs: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`earlier`, `runs`: see `Shown.decide`."""
        self._earlier: Final = earlier
        self._runs: Final = runs
        self.mediation: Final = mediation
        self._memo: Final = remembered
        self._tables: Final = tables
        self._listeners: Final = listeners
        self._http_routes: Final = mediation.http_routes.union(*(each.http_routes for each in earlier))
        label = mediation.last_route
        self._stubs: Final = {each.name: _stub(each.name, label) for each in tables if label and self._falls_back(each)}
        """RouteConfigurations with a fallback, reduced to the name of one"""
        self.failures: list[Failure] = []
        self.exposed: list[tuple[str, str]] = []
        """(RouteConfiguration, filter of the user's after ours)"""
        self.shared: list[CompiledRule] = []
        """rules that want clusters of their own and have shared ones"""
        self.unmarked: list[CompiledRule] = []
        """rules that choose per attempt among backends of one EDS cluster: only the Endpoints hook tells them apart"""
        self._named = mediation
        self.decision = Decision(State(mediation.config_hash, mediation.tokens), ())
        """which configuration is named"""
        self._lost: set[str] = set()
        self._failed: set[RuleName] = set()
        self._opened: dict[str, list[list[memo.Route]]] = {}
        self._tokens_of: dict[RuleName, str] = {}
        self._tokens: frozenset[str] = frozenset()
        self._clusters: dict[str, transition.Cluster] = {}
        self._present: set[str] = set()
        """names of all clusters that are answered"""
        self._new_names: dict[str, str] = {}
        """Envoy Gateway's name of a cluster → ours"""

    @property
    def served(self) -> bool:
        """False: compiled for other routes than these, nothing here leads to the filter."""
        return bool(self._stubs)

    def patch(self, clusters: Sequence[bytes], now: float) -> list[bytes]:
        """Patches listeners and tables in place, and returns the clusters, ours included."""
        if not self.served:
            return list(clusters)
        for listener in self._listeners:
            self._patch_listener(listener)
        self._look()
        known = self._memo.clusters.recall(clusters, memo.Cluster.opened)
        patched = [self._cluster(raw, each) for raw, each in zip(clusters, known, strict=True)]
        present = [pool.message(pool.CLUSTER, name=name) for raw in clusters if (name := name_of(raw)) in _OURS]
        resources = Resources(routes=[*self._stubs.values()], clusters=[*present])
        service_clusters.patch(resources, self.mediation)
        newest = State(self.mediation.config_hash, self.mediation.tokens)
        self.decision = self._memo.shown.decide(
            newest, self._earlier, self._tokens, self._clusters, now, runs=self._runs
        )
        kept = [] if self.decision.early else self._fold(now)
        self._memo.turn()
        return [*patched, *kept, *(pool.serialized(each) for each in resources.clusters[len(present) :])]

    def _look(self) -> None:
        """Which tokens the routes of each rule demand: they may be of an earlier or a later state than the newest."""
        remembered = self._memo.routes
        for table in self._tables:
            opened = self._opened[table.name] = [remembered.recall(routes, _opened) for _, routes in table.hosts()]
            for known in (each for host in opened for each in host):
                if known.token is not None and known.name is not None and self._rule(known) is not None:
                    self._tokens_of[known.name] = known.token
        self._tokens = frozenset(self._tokens_of.values())

    def _fold(self, now: float) -> list[bytes]:
        """Patches the tables for the named configuration. Returns clusters to keep."""
        shown, named = self._memo.shown, self.decision.named.config_hash
        if named != self.mediation.config_hash:
            self._named = replace(self.mediation, named=named)
        additions = {name: splicing.fallback_addition(_copy(stub), self._named) for name, stub in self._stubs.items()}
        exposed = {name for name, _ in self.exposed}
        entries: dict[Place, Mapping[str, Entry]] = {}
        kept: dict[Place, Mapping[str, Entry]] = {}

        def keep(table: str, host: str, present: Collection[str]) -> Mapping[str, Entry]:
            found = shown.kept_entries((table, host), self.decision.wanted, present, now)
            if found:
                kept[table, host] = found
            return found

        own = precedence.OwnPaths(self.mediation).only
        for table in self._tables:
            addition = additions.get(table.name, b"")
            change = partial(self._route, table.name, table.name in exposed)
            folded = table.fold(change, addition, self._opened[table.name], partial(keep, table.name), own)
            entries |= {(table.name, host): found for host, found in folded.items()}
        needed = {name for found in kept.values() for each in found.values() for name in each.clusters}
        clusters = shown.kept_clusters(needed, self._present, now)
        shown.after(self.decision, self._tokens, entries, kept, self._clusters, clusters, now)
        return [each.raw for each in clusters.values()]

    def _patch_listener(self, listener: ListenerElement) -> None:
        behind = [table.name for table in _behind(listener, self._tables)]
        stubs = [_copy(self._stubs[name]) for name in behind if name in self._stubs]
        resources = Resources(listeners=[listener.decode()], routes=stubs)
        before = pool.serialized(listener.decode())
        try:
            patches.apply(resources, self.mediation)
            self.exposed.extend(user_filters.after_ours(resources, self.mediation))
        except Exception as error:
            # Back to what it was: with the edge strip only.
            listener.decode().ParseFromString(before)
            self._lost.update(behind)
            self.failures.append(Failure(what=f"listener {listener.name}", error=_text(error)))

    def _falls_back(self, table: RouteTable) -> bool:
        """Whether there is a generated last route."""
        return any(_MARKER in raw and self._is_last(_opened(raw)) for raw in table)

    def _is_last(self, known: memo.Route) -> bool:
        """Of whatever state of an HTTPRoute: its rules, and so the number of the last one, may have changed."""
        return known.last and known.http_route in self._http_routes

    def _rule(self, known: memo.Route) -> CompiledRule | None:
        """The rule in the state that a route was generated for; the newest at its place when its token is unknown."""
        return self._of_token(known.token) or self.mediation.rule(known.name)

    def _of_token(self, token: str | None) -> CompiledRule | None:
        if token is None:
            return None
        newest = self.mediation.by_token.get(token)
        return newest or next((each.gone[token] for each in self._earlier if token in each.gone), None)

    def _mediation_of(self, name: RuleName, rule: CompiledRule) -> Mediation:
        """For a rule that has another place in the newest configuration, or none."""
        if self.mediation.rule(name) is rule:
            return self.mediation
        there = replace(rule.http_route, namespace=name.namespace, name=name.name)
        moved = replace(rule, http_route=there, http_rule=name.rule)
        return replace(self.mediation, compiled=replace(self.mediation.compiled, rules=(moved,)))

    def _cluster(self, raw: bytes, known: memo.Cluster) -> bytes:
        name = known.of
        rule = self._of_token(self._tokens_of.get(name.rule)) or self.mediation.rule(name.rule) if name else None
        if name is None or rule is None:
            self._present.add(known.label)
            return raw
        if known.rule is not rule:
            try:
                patched = splicing.rule_cluster(raw, name, rule, self._mediation_of(name.rule, rule))
                known.name = naming.name_of(raw, known.label)
                known.patched = naming.renamed(patched, known.label, known.name)
                known.shown = transition.Cluster(known.patched, names.plain(known.label))
                known.by_eds = splicing.is_eds(raw)
                known.rule = rule
            except Exception as error:
                self._failed.add(name.rule)
                self._present.add(known.label)
                self.failures.append(Failure(what=f"cluster {known.label}", error=_text(error), rule=rule))
                return raw
        if known.name != known.label:
            self._new_names[known.label] = known.name
        self._present.add(known.name)
        if known.shown is not None:
            self._clusters[known.name] = known.shown
        if known.by_eds and rule.plan == "attempt" and name.ref is None and len(rule.backends) > 1:
            self.unmarked.append(rule)
        return known.patched

    def _route(self, configuration: str, exposed: bool, known: memo.Route) -> Routed:
        """`exposed`: a filter of the user's runs after ours."""
        if self._is_last(known):
            if known.bare is not None:
                return known.bare
            try:
                patched = splicing.fallback_route(known.raw, configuration, self._named)
                return Routed(patched, known.token, origin="last")
            except Exception as error:
                self.failures.append(Failure(what=f"route {known.label}", error=_text(error)))
                return Routed(_closed(known.raw), known.token)
        name, rule = known.name, self._rule(known)
        if name is None or rule is None:
            return Routed(known.raw, known.token, origin="user")
        try:
            routed = self._rule_route(configuration, name, rule, known)
            if known.unsafe:
                self.shared.append(rule)
            closed = known.unsafe or (exposed and rule.plan == "single")
            if closed or configuration in self._lost or (self._failed and name in self._failed):
                return Routed(_closed(routed.raw), known.token)
        except Exception as error:
            self.failures.append(Failure(what=f"route {known.label}", error=_text(error), rule=rule))
            return Routed(_closed(known.raw), known.token)
        return routed

    def _rule_route(self, configuration: str, name: RuleName, rule: CompiledRule, known: memo.Route) -> Routed:
        """Raises what the patches raise."""
        targets, new_names, routed = known.targets, self._new_names, known.routed
        clusters: tuple[str, ...]
        if len(targets) == 1:
            clusters = (new_names.get(targets[0], targets[0]),)
        else:
            clusters = tuple([new_names.get(each, each) for each in targets])
        if routed is None or known.rule is not rule or routed.clusters != clusters:
            patched = splicing.rule_route(known.raw, configuration, rule, self._mediation_of(name, rule))
            if clusters != targets:
                patched = naming.led(patched, new_names)
            entry = Entry(route_table.entry(known.token, [patched]), clusters) if known.token is not None else None
            routed = known.routed = Routed(patched, known.token, entry, clusters)
            known.unsafe = splicing.is_unsafe(known.raw, name, rule)
            known.rule = rule
        return routed


def _opened(raw: bytes) -> memo.Route:
    try:
        label = _label(raw)
        token, targets = route_table.token_of(raw), naming.targets(raw)
        # A route of a rule demands a token, leads to clusters while its backends can be used, or was patched before.
        last = token is None and not targets and _MARKER in raw and _PATCHED not in raw
        bare = Routed(raw, None, origin="bare") if last and splicing.takes_addition(raw) else None
        return memo.Route(raw, label, names.route(label), token, last, targets, bare)
    except DecodeError:
        return memo.Route(raw, "", None, None)


def _label(raw: bytes) -> str:
    """Name of a route; empty for bytes that are none: no Envoy takes them."""
    try:
        return str(shell("Route").FromString(raw).name)
    except DecodeError:
        return ""


def _stub(configuration: str, label: str) -> pool.Message:
    return pool.message(pool.ROUTE_CONFIGURATION, name=configuration, virtual_hosts=[{"routes": [{"name": label}]}])


def _copy(message: pool.Message) -> pool.Message:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _behind(listener: ListenerElement, tables: Iterable[RouteTable]) -> list[RouteTable]:
    return [table for table in tables if listener.serves(table.name)]


def _closed(raw: bytes) -> bytes:
    """The route with the answer "not mediated"; bytes that are no route stay."""
    try:
        route = pool.message_class(pool.ROUTE).FromString(raw)
    except DecodeError:
        return raw
    before = _copy(route)
    closing.close(route)
    return raw if route == before else pool.serialized(route)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
