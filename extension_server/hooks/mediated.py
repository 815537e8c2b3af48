"""The AI routes of one Gateway and what they lead through, patched object by object.

An object that cannot be patched stays as it came, and the AI routes that lead through it are closed: they answer "not
mediated". The order is listeners, clusters, routes: what failed before decides what is closed after.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Final

from google.protobuf.message import DecodeError

from extension_server.compile.result import CompiledRule
from extension_server.hooks import folding, messages, naming, splicing, transition
from extension_server.hooks.elements import ListenerElement
from extension_server.hooks.items import Cluster, Route, Routed
from extension_server.hooks.memo import Memo
from extension_server.hooks.recall import Opened, Run
from extension_server.hooks.runs import Clusters, ClustersMade, Routes, RoutesMade, template
from extension_server.hooks.shells import RouteTable
from extension_server.hooks.transition import Decision, Earlier, Entry, Place, State
from extension_server.xds import (
    closing,
    edge,
    names,
    patches,
    pool,
    precedence,
    processor,
    service_clusters,
    user_filters,
    wire,
)
from extension_server.xds.names import RuleName
from extension_server.xds.resources import Mediation, Resources

_OURS: Final = frozenset({processor.REQUEST_CLUSTER, processor.ATTEMPT_CLUSTER})
_MARKER: Final = names.GENERATED.encode()


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
        self._exposed: set[str] = set()
        self._lost: set[str] = set()
        self._failed: set[RuleName] = set()
        self._found: dict[str, list[list[Run[Route, Routes]]]] = {}
        """RouteConfiguration → runs of each virtual host"""
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

    def patch(self, clusters: Sequence[bytes], now: float) -> wire.Pieces:
        """Patches listeners and tables in place, and returns the clusters, ours included, as fields of the answer."""
        if not self.served:
            return messages.clusters(clusters)
        for listener in self._listeners:
            self._patch_listener(listener)
        self._look()
        patched = self._patch_clusters(clusters)
        present = [pool.message(pool.CLUSTER, name=name) for name in sorted(self._present & _OURS)]
        resources = Resources(routes=[*self._stubs.values()], clusters=[*present])
        service_clusters.patch(resources, self.mediation)
        newest = State(self.mediation.config_hash, self.mediation.tokens)
        self.decision = self._memo.shown.decide(
            newest, self._earlier, self._tokens, self._clusters, now, runs=self._runs
        )
        kept = [] if self.decision.early else self._fold(now)
        self._memo.turn()
        patched.extend(
            messages.clusters([*kept, *(pool.serialized(each) for each in resources.clusters[len(present) :])])
        )
        return patched

    def _look(self) -> None:
        """Which tokens the routes of each rule demand: they may be of an earlier or a later state than the newest."""
        newest = self.mediation.tokens
        for table in self._tables:
            found = self._found[table.name] = [self._memo.routes.recall(routes) for _, routes in table.hosts()]
            for run in chain.from_iterable(found):
                routes = run.summary
                if routes.distinct <= newest:
                    self._tokens_of.update(routes.tokens_of)
                else:
                    self._tokens_of.update(
                        {
                            each.name: each.token
                            for each in routes.routes
                            if each.token is not None and each.name is not None and self._rule(each) is not None
                        }
                    )
        self._tokens = frozenset(self._tokens_of.values())

    def _fold(self, now: float) -> list[bytes]:
        """Patches the tables for the named configuration. Returns clusters to keep."""
        shown, named = self._memo.shown, self.decision.named.config_hash
        if named != self.mediation.config_hash:
            self._named = replace(self.mediation, named=named)
        additions = {name: splicing.fallback_addition(_copy(stub), self._named) for name, stub in self._stubs.items()}
        entries: dict[Place, Mapping[str, Entry]] = {}
        kept: dict[Place, Mapping[str, Entry]] = {}
        own = precedence.OwnPaths(self.mediation).only
        for table in self._tables:
            addition = additions.get(table.name, b"")
            for number, (host, _) in enumerate(table.hosts()):
                runs = self._found[table.name][number]
                made = [self._routes_made(table.name, run.summary) for run in runs]
                found, several = folding.entries(runs, made)
                lacking = shown.kept_entries((table.name, host), self.decision.wanted, found, now)
                entries[table.name, host] = found
                if lacking:
                    kept[table.name, host] = lacking
                apart = {**{token: found[token] for token in several}, **lacking}
                folding.fold(table, number, runs, made, apart, addition, own)
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
            self._exposed = {name for name, _ in self.exposed}
        except Exception as error:
            # Back to what it was: with the edge strip only.
            listener.decode().ParseFromString(before)
            self._lost.update(behind)
            self.failures.append(Failure(what=f"listener {listener.name}", error=_text(error)))

    def _falls_back(self, table: RouteTable) -> bool:
        """Whether there is a generated last route."""
        return any(_MARKER in raw and self._is_last(Route.opened(Opened(raw, ()))) for raw in table)

    def _is_last(self, known: Route) -> bool:
        """Of whatever state of an HTTPRoute: its rules, and so the number of the last one, may have changed."""
        return known.last and known.http_route in self._http_routes

    def _rule(self, known: Route) -> CompiledRule | None:
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

    def _patch_clusters(self, clusters: Sequence[bytes]) -> wire.Pieces:
        patched = wire.Pieces()
        for run in self._memo.clusters.recall(clusters):
            made = self._clusters_made(run)
            patched.add(made.template.filled(run.metadata))
            self._present.update(made.called)
            self._clusters.update(made.shown)
            self._new_names.update(made.new_names)
            self.unmarked.extend(made.unmarked)
        return patched

    def _clusters_made(self, run: Run[Cluster, Clusters]) -> ClustersMade:
        """What a run has become, anew if anything has changed that it depends on."""
        clusters, failures = run.summary, len(self.failures)
        tokens = [*map(self._tokens_of.get, clusters.rule_names, repeat(""))]
        rules = [*map(self.mediation.by_token.get, tokens)]
        made = clusters.made
        if made is None or made.tokens != tokens or made.rules != rules or any(map(self.mediation.rule, made.unruled)):
            found = [rule or self._rule_of(each) for rule, each in zip(rules, clusters.clusters, strict=True)]
            made = self._patch_run(run, tokens, found)
            # Rules that are found by their place, or of an earlier state, may be others the next time.
            lasts = found == rules and len(self.failures) == failures
            clusters.made = made if lasts else None
        return made

    def _patch_run(
        self, run: Run[Cluster, Clusters], tokens: Sequence[str], rules: Sequence[CompiledRule | None]
    ) -> ClustersMade:
        answers, called, unruled, unmarked = [], [], [], []
        shown, new_names = {}, {}
        for each, rule in zip(run.summary.clusters, rules, strict=True):
            if rule is None or not self._patch_cluster(each, rule):
                answers.append(each.hollow)
                called.append(each.label)
                if each.name is not None:
                    unruled.append(each.name.rule)
                continue
            answers.append(each.patched)
            called.append(each.called)
            shown[each.called] = each.shown
            if each.called != each.label:
                new_names[each.label] = each.called
            if each.by_eds and rule.plan == "attempt" and len(rule.backends) > 1:
                unmarked.append(rule)
        return ClustersMade(tokens, rules, unruled, template(run, answers), called, shown, new_names, unmarked)

    def _rule_of(self, cluster: Cluster) -> CompiledRule | None:
        if cluster.name is None:
            return None
        name = cluster.name.rule
        return self._of_token(self._tokens_of.get(name)) or self.mediation.rule(name)

    def _patch_cluster(self, known: Cluster, rule: CompiledRule) -> bool:
        """False: it cannot be patched."""
        name = known.name
        if name is None or known.rule is rule:
            return name is not None
        try:
            patched = splicing.rule_cluster(known.hollow, name, rule, self._mediation_of(name.rule, rule))
            known.called = naming.name_of(known.hollow, known.label, rule.plan)
            known.patched = naming.renamed(patched, known.label, known.called)
            by_eds = splicing.is_eds(known.hollow)
        except Exception as error:
            self._failed.add(name.rule)
            self.failures.append(Failure(what=f"cluster {known.label}", error=_text(error), rule=rule))
            return False
        warm = naming.EDS_WAIT + transition.WARM if by_eds else transition.WARM
        known.shown = transition.Cluster(known.patched, names.plain(known.label), known.metadata, warm)
        known.by_eds = by_eds and name.ref is None
        known.rule = rule
        return True

    def _routes_made(self, configuration: str, routes: Routes) -> RoutesMade:
        """What a run has become, anew if anything has changed that it depends on."""
        exposed = configuration in self._exposed
        whole = not self._failed and configuration not in self._lost
        rules = [*map(self.mediation.by_token.get, routes.tokens)]
        clusters = [*map(self._new_names.get, routes.targets, routes.targets)]
        made = routes.made
        if (
            made is not None
            and whole
            and made.exposed == exposed
            and made.rules == rules
            and made.clusters == clusters
            and routes.bare <= self._http_routes
            and not any(map(self.mediation.rule, routes.others))
        ):
            return made
        complaints = len(self.failures) + len(self.shared)
        routed = [self._route(configuration, exposed, each) for each in routes.routes]
        entries = {
            each.token: its.entry
            for each, its in zip(routes.routes, routed, strict=True)
            if each.token is not None and its.entry is not None
        }
        users = any(its.origin == "user" and its.entry is None for its in routed)
        made = RoutesMade(rules, clusters, exposed, routed, entries, users)
        # Rules of an earlier state, and last routes that are patched for one configuration, are others the next time.
        lasts = whole and None not in rules and all(each.origin != "last" for each in routed)
        lasts = lasts and routes.bare <= self._http_routes
        routes.made = made if lasts and complaints == len(self.failures) + len(self.shared) else None
        return made

    def _route(self, configuration: str, exposed: bool, known: Route) -> Routed:
        if self._is_last(known):
            if known.bare is not None:
                return known.bare
            try:
                patched = splicing.fallback_route(known.hollow, configuration, self._named)
                return known.become(patched, origin="last")
            except Exception as error:
                self.failures.append(Failure(what=f"route {known.label}", error=_text(error)))
                return known.become(_closed(known.hollow))
        name, rule = known.name, self._rule(known)
        if name is None or rule is None:
            return known.become(known.hollow, origin="user")
        try:
            routed = self._rule_route(configuration, name, rule, known)
            if known.unsafe:
                self.shared.append(rule)
            closed = known.unsafe or (exposed and rule.plan == "single")
            if closed or configuration in self._lost or (self._failed and name in self._failed):
                return known.become(_closed(routed.hollow))
        except Exception as error:
            self.failures.append(Failure(what=f"route {known.label}", error=_text(error), rule=rule))
            return known.become(_closed(known.hollow))
        return routed

    def _rule_route(self, configuration: str, name: RuleName, rule: CompiledRule, known: Route) -> Routed:
        """Raises what the patches raise."""
        new_names, routed = self._new_names, known.routed
        clusters = tuple([new_names.get(each, each) for each in known.targets])
        if routed is None or known.rule is not rule or routed.clusters != clusters:
            patched = splicing.rule_route(known.hollow, configuration, rule, self._mediation_of(name, rule))
            if clusters != known.targets:
                patched = naming.led(patched, new_names)
            routed = known.routed = known.become(patched, clusters)
            known.unsafe = splicing.is_unsafe(known.hollow, name, rule)
            known.rule = rule
        return routed


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
