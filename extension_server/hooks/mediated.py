"""The AI routes of one Gateway and what they lead through, patched object by object.

An object that cannot be patched stays as it came, and the AI routes that lead through it are closed: they answer "not
mediated". The order is listeners, clusters, routes: what failed before decides what is closed after.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Final

from google.protobuf.message import DecodeError

from extension_server.compile.result import CompiledRule
from extension_server.hooks import memo, naming, splicing, transition
from extension_server.hooks.elements import ListenerElement
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
        patched = self._patch_clusters(clusters, known)
        present = [pool.message(pool.CLUSTER, name=each.label) for each in known if each.label in _OURS]
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
        tokens_of, newest = self._tokens_of, self.mediation.by_token
        for table in self._tables:
            hosts = [routes for _, routes in table.hosts()]
            opened = self._memo.routes.recall([*chain.from_iterable(hosts)], _opened)
            for known in opened:
                token, name = known.token, known.name
                if token is not None and name is not None and (token in newest or self._rule(known) is not None):
                    tokens_of[name] = token
            each = iter(opened)
            self._opened[table.name] = [[*islice(each, len(routes))] for routes in hosts]
        self._tokens = frozenset(tokens_of.values())

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
            routed = [self._routed(table.name, table.name in exposed, host) for host in self._opened[table.name]]
            folded = table.fold(routed, addition, partial(keep, table.name), own)
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

    def _patch_clusters(self, clusters: Iterable[bytes], known: Iterable[memo.Cluster]) -> list[bytes]:
        newest, tokens_of = self.mediation.by_token, self._tokens_of
        patched = []
        for raw, each in zip(clusters, known, strict=True):
            token = tokens_of.get(each.rule_name) if each.rule_name is not None else None
            rule = newest.get(token) if token is not None else None
            if rule is None:
                rule = self._rule_of(each)
            if rule is None or (each.rule is not rule and not self._patch_cluster(raw, each, rule)):
                self._present.add(each.label)
                patched.append(raw)
                continue
            patched.append(each.shown.raw)
            self._present.add(each.name)
            self._clusters[each.name] = each.shown
            if each.name != each.label:
                self._new_names[each.label] = each.name
            if each.by_eds and rule.plan == "attempt" and len(rule.backends) > 1:
                self.unmarked.append(rule)
        return patched

    def _rule_of(self, cluster: memo.Cluster) -> CompiledRule | None:
        name = cluster.rule_name
        return None if name is None else self._of_token(self._tokens_of.get(name)) or self.mediation.rule(name)

    def _patch_cluster(self, raw: bytes, known: memo.Cluster, rule: CompiledRule) -> bool:
        """False: it cannot be patched."""
        name = names.cluster(known.label)
        assert name is not None
        try:
            patched = splicing.rule_cluster(raw, name, rule, self._mediation_of(name.rule, rule))
            known.name = naming.name_of(raw, known.label)
            patched = naming.renamed(patched, known.label, known.name)
            known.by_eds = name.ref is None and splicing.is_eds(raw)
        except Exception as error:
            self._failed.add(name.rule)
            self.failures.append(Failure(what=f"cluster {known.label}", error=_text(error), rule=rule))
            return False
        known.shown = transition.Cluster(patched, names.plain(known.label))
        known.rule = rule
        return True

    def _routed(self, configuration: str, exposed: bool, known: Iterable[memo.Route]) -> list[Routed]:
        """`exposed`: a filter of the user's runs after ours."""
        newest, new_names, http_routes = self.mediation.by_token, self._new_names, self._http_routes
        as_before = not exposed and not self._failed and configuration not in self._lost
        routed = []
        for each in known:
            # What `_route` would find, for the thousands that are what they were.
            if each.token is not None and each.sole is not None and as_before:
                target = each.targets[0]
                if each.rule is newest.get(each.token) and each.sole.clusters[0] == new_names.get(target, target):
                    routed.append(each.sole)
                    continue
            elif each.bare is not None and each.http_route in http_routes:
                routed.append(each.bare)
                continue
            routed.append(self._route(configuration, exposed, each))
        return routed

    def _route(self, configuration: str, exposed: bool, known: memo.Route) -> Routed:
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
        new_names, routed = self._new_names, known.routed
        clusters = tuple([new_names.get(each, each) for each in known.targets])
        if routed is None or known.rule is not rule or routed.clusters != clusters:
            patched = splicing.rule_route(known.raw, configuration, rule, self._mediation_of(name, rule))
            if clusters != known.targets:
                patched = naming.led(patched, new_names)
            entry = Entry(route_table.entry(known.token, [patched]), clusters) if known.token is not None else None
            routed = known.routed = Routed(patched, known.token, entry, clusters)
            known.unsafe = splicing.is_unsafe(known.raw, name, rule)
            known.sole = routed if len(clusters) == 1 and not known.unsafe else None
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
