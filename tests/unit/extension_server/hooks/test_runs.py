"""Two services see the same changes; one of them remembers nothing of runs. They answer the same."""

import dataclasses
import random
from collections.abc import Iterator

import pytest

from extension_server.compile.result import Compiled
from extension_server.hooks import messages, recall
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from extension_server.xds import pool
from filters.contract.config import RULE_HEADER, Plan
from tests.bench import hooks as many
from tests.support.hooks import decoded, filter_broken, options_broken, scenario
from tests.support.map_order import reordered

SIZE = 140
STEPS = 25


class World:
    """An Envoy Gateway and a controller that are not always in step."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.compiled = many.compiled(SIZE, self.chance.choice(["single", "attempt"]))
        request = messages.request("PostTranslateModify").FromString(many.request(SIZE))
        (self.configuration,) = decoded("routes", request)
        self.clusters = decoded("clusters", request)
        self.request = request
        self.tokens = SIZE
        self.before: list[bytes] = []
        """routes of earlier steps"""
        self.forgotten = False
        """the hooks have no history in this step"""
        self.changes = (
            self.same_token,
            self.cannot_be_patched,
            self.unknown,
            self.filter_of_a_user,
            self.as_it_was,
            self.another_rule,
            self.another_address,
            self.fewer,
            self.of_a_user,
            self.twice,
            self.in_reverse,
        )

    def steps(self) -> Iterator[tuple[Compiled, bytes]]:
        """What is known, and what is sent then."""
        for number in range(STEPS):
            self.before.append(pool.serialized(self.configuration))
            self.forgotten = False
            for change in self.chance.sample(self.changes, self.chance.randrange(3)):
                change()
            sections = dataclasses.replace(self.compiled.sections, config_hash=f"step {number}")
            self.compiled = dataclasses.replace(self.compiled, sections=sections)
            del self.request.routes[:], self.request.clusters[:]
            self.request.routes.append(pool.serialized(self.configuration))
            self.request.clusters.extend(map(pool.serialized, self.clusters))
            yield self.compiled, reordered(self.request.SerializeToString(), self.chance)

    def same_token(self) -> None:
        """A rule changes what its token does not cover."""
        rules = [*self.compiled.rules]
        index = self.chance.randrange(len(rules))
        plan: Plan = self.chance.choice(["single", "attempt"])
        timeout = self.chance.choice([None, 4.0, 5.0])
        rules[index] = dataclasses.replace(rules[index], stream_idle_timeout=timeout, plan=plan)
        self.compiled = dataclasses.replace(self.compiled, rules=tuple(rules))

    def cannot_be_patched(self) -> None:
        """A cluster of a rule with plan attempt."""
        cluster = self.chance.choice(self.clusters)
        if cluster.typed_extension_protocol_options:
            cluster.typed_extension_protocol_options.clear()
        else:
            options_broken(cluster)

    def unknown(self) -> None:
        """Some HTTPRoutes are not known any more, or known again, as after a start of the controller."""
        every = many.compiled(SIZE, "single")
        begin = self.chance.randrange(SIZE)
        missing = {each.name for each, _ in every.fallbacks[begin : begin + self.chance.choice([0, 3])]}
        kept = tuple(each for each in every.fallbacks if each[0].name not in missing)
        present = {each.http_route.name: each for each in (*every.rules, *self.compiled.rules)}
        rules = tuple(each for name, each in present.items() if name not in missing)
        self.compiled = dataclasses.replace(self.compiled, rules=rules, fallbacks=kept)
        self.forgotten = True

    def filter_of_a_user(self) -> None:
        """It runs after ours, or it leaves no place for ours, or it goes."""
        recorded = scenario(self.chance.choice(["one-fqdn", "extproc"])).translation
        listeners = decoded("listeners", messages.request("PostTranslateModify").FromString(recorded))
        if self.chance.random() < 0.3:
            for each in listeners:
                filter_broken(each)
        del self.request.listeners[:]
        self.request.listeners.extend(map(pool.serialized, listeners))

    def as_it_was(self) -> None:
        """Envoy Gateway is behind."""
        self.configuration.ParseFromString(self.chance.choice(self.before))

    def another_rule(self) -> None:
        """Mostly the route comes too."""
        rules = [*self.compiled.rules]
        index = self.chance.randrange(len(rules))
        before, after = rules[index].token, many.token_of(self.tokens)
        self.tokens += 1
        rules[index] = dataclasses.replace(
            rules[index], token=after, stream_idle_timeout=self.chance.choice([None, 3.0])
        )
        self.compiled = dataclasses.replace(self.compiled, rules=tuple(rules))
        if self.chance.random() < 0.8:
            for route in self.configuration.virtual_hosts[0].routes:
                for header in route.match.headers:
                    if header.name == RULE_HEADER and header.string_match.exact == before:
                        header.string_match.exact = after

    def another_address(self) -> None:
        cluster = self.chance.choice(self.clusters)
        for locality in cluster.load_assignment.endpoints:
            for endpoint in locality.lb_endpoints:
                endpoint.endpoint.address.socket_address.port_value = self.chance.randrange(1, 1 << 16)

    def fewer(self) -> None:
        routes = self.configuration.virtual_hosts[0].routes
        begin = self.chance.randrange(len(routes))
        del routes[begin : begin + self.chance.choice([1, 2, 70])]
        del self.clusters[self.chance.randrange(len(self.clusters))]

    def of_a_user(self) -> None:
        routes = self.configuration.virtual_hosts[0].routes
        name = f"httproute/default/web-{self.chance.randrange(9)}/rule/0/match/0/*"
        routes.add(name=name, match={"prefix": "/"}, route={"cluster": "web"})

    def twice(self) -> None:
        """A rule with two matches."""
        routes = self.configuration.virtual_hosts[0].routes
        routes.add().CopyFrom(self.chance.choice(routes))

    def in_reverse(self) -> None:
        routes = self.configuration.virtual_hosts[0].routes
        turned = [type(each).FromString(pool.serialized(each)) for each in reversed(routes)]
        del routes[:]
        routes.extend(turned)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_remembered_of_runs_changes_no_answer(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    for remembers in (True, False):
        if not remembers:
            monkeypatch.setattr(recall.Run, "takes", lambda *_: False)
        results, now = CompiledResults(), 0.0
        service = HookService(results, clock=lambda: now)  # noqa: B023
        given = []
        world = World(seed)
        for compiled, request in world.steps():
            if world.forgotten:
                results.remove(compiled.gateway)
            results.put(compiled)
            now += 2.0
            given.append(service.answer("PostTranslateModify", request))
        answers.append(given)
    assert answers[0] == answers[1]
