"""From one configuration to the next: nothing is named before Envoy has what it needs."""

import random
from dataclasses import replace
from typing import Any

import pytest

from extension_server.hooks import messages
from extension_server.hooks.service import Cold, HookService, Refused
from extension_server.hooks.source import CompiledResults
from extension_server.hooks.transition import BUSY, EARLY, GRACE, LIMIT, WARM
from extension_server.xds import names, pool, route_table
from extension_server.xds.resources import Resources
from filters.contract.config import CONFIG_HEADER, RULE_HEADER
from tests.support.hooks import GATEWAY, Observed, answered, decoded, scenario

RULES = ("first", "second")


class World:
    """A Gateway with two AI routes, what the controller compiled for it, and what Envoy Gateway sends."""

    def __init__(self) -> None:
        self.recorded = scenario("one-fqdn")
        self.now = 100.0
        self.run: set[str] | None = None
        """hashes that the filters have; None: every one"""
        self.results = CompiledResults(runs=lambda _, config_hash: self.run is None or config_hash in self.run)
        self.sink = Observed()
        self.service = HookService(self.results, self.sink, lambda: self.now)

    def compile(self, config_hash: str, **tokens: str) -> None:
        """Rule → token, of the newest configuration."""
        one = self.recorded.compiled()
        (rule,) = one.rules
        (fallback,) = one.fallbacks
        refs = {name: replace(rule.http_route, name=name) for name in tokens}
        compiled = replace(
            one,
            rules=tuple(
                replace(rule, http_route=refs[name], route=f"default/{name}", token=token)
                for name, token in tokens.items()
            ),
            fallbacks=tuple((refs[name], fallback[1]) for name in tokens),
        )
        self.results.put(replace(compiled, sections=replace(compiled.sections, config_hash=config_hash)))

    def compile_one(self, config_hash: str, *tokens: str) -> None:
        """One HTTPRoute with these rules in order, and the last."""
        one = self.recorded.compiled()
        (rule,) = one.rules
        ((ref, _),) = one.fallbacks
        rules = tuple(replace(rule, http_rule=index, token=token) for index, token in enumerate(tokens))
        sections = replace(one.sections, config_hash=config_hash)
        self.results.put(replace(one, rules=rules, fallbacks=((ref, len(tokens)),), sections=sections))

    def translate_one(self, *tokens: str) -> "Answer":
        """The same of one state of the HTTPRoute."""
        request = messages.request("PostTranslateModify").FromString(self.recorded.translation)
        (table,), (cluster,) = decoded("routes", request), decoded("clusters", request)
        (host,) = table.virtual_hosts
        rule, last = sorted(host.routes, key=lambda each: each.name)
        del host.routes[:], request.clusters[:], request.routes[:]
        for index, token in enumerate(tokens):
            host.routes.add().CopyFrom(rule)
            made, name = host.routes[-1], f"httproute/default/llm/rule/{index}"
            made.name = f"{name}/match/0/*"
            made.match.headers.add(name=RULE_HEADER).string_match.exact = token
            made.route.cluster = name
            own = pool.message_class(pool.CLUSTER)()
            own.CopyFrom(cluster)
            own.name = own.load_assignment.cluster_name = name
            request.clusters.append(own.SerializeToString())
        host.routes.add().CopyFrom(last)
        host.routes[-1].name = f"httproute/default/llm/rule/{len(tokens)}/match/0/*"
        request.routes.append(table.SerializeToString())
        answer = Answer(answered(self.service, "PostTranslateModify", request.SerializeToString()))
        self.observation = self.sink.all[-1]
        return answer

    def translate(self, hosts: dict[str, str] | None = None, **tokens: str) -> "Answer":
        """Routes that demand these tokens; `hosts`: where their clusters lead."""
        answer = Answer(answered(self.service, "PostTranslateModify", self.request(hosts, **tokens)))
        self.observation = self.sink.all[-1]
        return answer

    def request(self, hosts: dict[str, str] | None = None, **tokens: str) -> bytes:
        request = messages.request("PostTranslateModify").FromString(self.recorded.translation)
        (table,), (cluster,) = decoded("routes", request), decoded("clusters", request)
        (host,) = table.virtual_hosts
        routes = [*host.routes]
        del host.routes[:], request.clusters[:], request.routes[:]
        for name, token in tokens.items():
            for route in routes:
                host.routes.add().CopyFrom(route)
                made = host.routes[-1]
                made.name = made.name.replace("/llm/", f"/{name}/")
                if "/rule/0/" in made.name:
                    made.match.headers.add(name=RULE_HEADER).string_match.exact = token
                    made.route.cluster = f"httproute/default/{name}/rule/0"
            own = pool.message_class(pool.CLUSTER)()
            own.CopyFrom(cluster)
            own.name = own.load_assignment.cluster_name = f"httproute/default/{name}/rule/0"
            address = own.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address
            address.address = (hosts or {}).get(name, f"{name}.example.com")
            request.clusters.append(own.SerializeToString())
        request.routes.append(table.SerializeToString())
        return bytes(request.SerializeToString())


class Answer:
    def __init__(self, answer: Any) -> None:
        self.clusters = {each.name: each for each in decoded("clusters", answer)}
        tables = decoded("routes", answer)
        route_table.unfold(Resources(routes=tables))
        self.routes = [route for table in tables for host in table.virtual_hosts for route in host.routes]

    @property
    def named(self) -> str:
        (found,) = {
            entry.value
            for route in self.routes
            for any_ in route.typed_per_filter_config.values()
            for entry in pool.unpacked(any_).overrides.grpc_initial_metadata
            if entry.key == CONFIG_HEADER
        }
        return str(found)

    @property
    def closed(self) -> set[str]:
        """Names of routes that answer 503 before any filter."""
        return {
            route.name
            for route in self.routes
            if route.HasField("direct_response") and not route.typed_per_filter_config
        }

    @property
    def through(self) -> dict[str, str]:
        """Token → name of that cluster."""
        return {
            header.string_match.exact: route.route.cluster
            for route in self.routes
            for header in route.match.headers
            if header.name == RULE_HEADER
        }

    @property
    def leads(self) -> dict[str, str]:
        """Token → host name of the cluster that requests with it are sent to."""
        return {token: self._host(cluster) for token, cluster in self.through.items()}

    def _host(self, cluster: str) -> str:
        endpoint = self.clusters[cluster].load_assignment.endpoints[0].lb_endpoints[0].endpoint
        return str(endpoint.address.socket_address.address)


def test_the_first_answer_names_the_newest() -> None:
    world = World()
    world.compile("h1", first="a1", second="b1")
    answer = world.translate(first="a1", second="b1")
    assert answer.named == "h1"
    assert answer.leads == {"a1": "first.example.com", "b1": "second.example.com"}
    assert (world.observation.again, world.observation.behind) == (0, False)


def test_while_a_route_is_not_written_yet_the_last_configuration_stays_with_all_its_routes() -> None:
    world = World()
    world.compile("h1", first="a1", second="b1")
    world.translate(first="a1", second="b1")
    world.compile("h2", first="a2", second="b2")
    world.now += 1
    between = world.translate(first="a2", second="b1")
    assert between.named == "h1"
    assert {"a1", "a2", "b1"} == set(between.leads)
    assert world.observation.again > 0
    after = world.translate(first="a2", second="b2")
    assert after.named == "h2"
    assert set(after.leads) == {"a2", "b2"}
    assert world.observation.again == 0


def test_a_route_that_is_never_written_does_not_hold_up_the_others_for_long() -> None:
    world = World()
    world.compile("h1", first="a1", second="b1")
    world.translate(first="a1", second="b1")
    world.compile("h2", first="a2", second="b2")
    assert world.translate(first="a2", second="b1").named == "h1"
    assert world.observation.again == LIMIT
    world.now += LIMIT
    answer = world.translate(first="a2", second="b1")
    assert answer.named == "h2"
    assert world.observation.again == 0


def test_a_cluster_that_leads_elsewhere_is_warmed_up_under_a_name_of_its_own() -> None:
    world = World()
    world.compile("h1", first="a1")
    before = world.translate(first="a1")
    world.compile("h2", first="a2")
    warming = world.translate(first="a2", hosts={"first": "new.example.com"})
    assert warming.named == "h1"
    assert warming.leads == {"a1": "first.example.com", "a2": "new.example.com"}
    assert set(before.clusters) < set(warming.clusters)
    assert world.observation.again == WARM
    world.now += WARM
    warm = world.translate(first="a2", hosts={"first": "new.example.com"})
    assert warm.named == "h2"
    assert warm.leads == {"a2": "new.example.com"}
    # For requests on their way.
    assert set(warm.clusters) == set(warming.clusters)
    world.now += GRACE + 1
    later = world.translate(first="a2", hosts={"first": "new.example.com"})
    assert [each for each in later.clusters if names.plain(each) != each] == [
        each for each in warm.clusters if each not in before.clusters
    ]


def test_names_of_clusters_follow_from_where_they_lead_alone() -> None:
    one, two = World(), World()
    for world in (one, two):
        world.compile("h1", first="a1")
    two.now += 1000
    assert set(one.translate(first="a1").clusters) == set(two.translate(first="a1").clusters)
    moved = {"first": "new.example.com"}
    two.compile("h2", first="a2")
    fresh = World()
    fresh.compile("h2", first="a2")
    assert set(fresh.translate(first="a2", hosts=moved).clusters) <= set(
        two.translate(first="a2", hosts=moved).clusters
    )


def test_statistics_keep_the_plain_name() -> None:
    world = World()
    world.compile("h1", first="a1")
    renamed = [each for each in world.translate(first="a1").clusters.values() if "@" in each.name]
    assert [each.alt_stat_name for each in renamed] == ["httproute/default/first/rule/0"]
    assert [each.load_assignment.cluster_name for each in renamed] == [each.name for each in renamed]


def test_routes_of_a_newer_state_are_told() -> None:
    """This replica compiles later than the one that writes."""
    world = World()
    world.compile("h1", first="a1")
    world.translate(first="a1")
    ahead = world.translate(first="a2")
    assert ahead.named == "h1"
    assert set(ahead.leads) == {"a1", "a2"}
    assert world.observation.behind
    world.compile("h2", first="a2")
    assert world.translate(first="a2").named == "h2"
    assert not world.observation.behind


def test_a_route_that_is_gone_is_not_kept() -> None:
    world = World()
    world.compile("h1", first="a1", second="b1")
    world.translate(first="a1", second="b1")
    world.compile("h2", first="a1")
    answer = world.translate(first="a1")
    assert answer.named == "h2"
    assert set(answer.leads) == {"a1"}


def test_a_configuration_is_named_when_the_filters_have_it() -> None:
    world = World()
    world.compile("h1", first="a1")
    world.translate(first="a1")
    world.compile("h2", first="a2")
    world.run = {"h1"}
    early = world.translate(first="a2")
    assert early.named == "h1"
    assert set(early.leads) == {"a1", "a2"}
    assert world.observation.again == BUSY
    world.run = {"h1", "h2"}
    world.now += BUSY
    assert world.translate(first="a2").named == "h2"


def test_a_change_after_a_long_quiet_keeps_what_it_replaces() -> None:
    world = World()
    world.compile("h1", first="a1")
    before = world.translate(first="a1")
    world.now += 10 * GRACE
    world.compile("h2", first="a2")
    moved = {"first": "new.example.com"}
    warming = world.translate(first="a2", hosts=moved)
    assert warming.named == "h1"
    assert warming.leads == {"a1": "first.example.com", "a2": "new.example.com"}
    world.now += WARM
    # For requests on their way.
    assert set(before.clusters) < set(world.translate(first="a2", hosts=moved).clusters)


def test_after_a_start_routes_of_another_state_are_not_answered_for_some_time() -> None:
    """Envoy goes on with what it has, and so do the filters until they have come back."""
    world = World()
    world.compile("h2", first="a2", second="b1")
    request = world.request(first="a1", second="b1")
    for _ in range(3):
        early = world.service.answer("PostTranslateModify", request)
        assert isinstance(early, Cold)
        assert isinstance(early.otherwise, Refused)
        assert (early.gateways, early.again > 0) == ((GATEWAY,), True)
        world.now += EARLY / 4
    assert world.sink.all == []
    # The HTTPRoute is written.
    assert world.translate(first="a2", second="b1").named == "h2"


def test_routes_that_never_become_the_newest_state_are_answered_after_a_while() -> None:
    world = World()
    world.compile("h2", first="a2", second="b1")
    assert isinstance(world.service.answer("PostTranslateModify", world.request(first="a1", second="b1")), Cold)
    world.now += EARLY
    answer = world.translate(first="a1", second="b1")
    assert answer.named == "h2"
    assert set(answer.leads) == {"a1", "b1"}


def test_after_a_start_routes_that_have_yet_to_come_hold_up_nothing() -> None:
    world = World()
    world.compile("h1", first="a1", second="b1")
    assert world.translate(first="a1").named == "h1"


def test_the_newest_that_is_there_as_a_whole_is_named_while_newer_ones_are_written() -> None:
    world = World()
    world.compile("h1", first="a1", second="b1")
    world.translate(first="a1", second="b1")
    for number in range(2, 6):
        world.compile(f"h{number}", first=f"a{number}", second="b1")
    world.compile("h6", first="a5", second="b2")
    answer = world.translate(first="a3", second="b1")
    assert answer.named == "h3"
    assert set(answer.leads) == {"a3", "b1"}
    assert world.observation.again > 0
    assert not world.observation.behind


def test_a_configuration_that_the_filters_passed_over_is_not_named() -> None:
    world = World()
    world.compile("h1", first="a1", second="b1")
    world.translate(first="a1", second="b1")
    world.compile("h2", first="a2", second="b1")
    world.compile("h3", first="a2", second="b2")
    world.run = {"h1", "h3"}
    answer = world.translate(first="a2", second="b1")
    assert answer.named == "h1"
    assert set(answer.leads) == {"a1", "a2", "b1"}
    assert world.translate(first="a2", second="b2").named == "h3"


def test_a_state_that_came_back_is_named_as_the_newest() -> None:
    world = World()
    for config_hash, token in (("h1", "a1"), ("h2", "a2"), ("h1", "a1")):
        world.compile(config_hash, first=token)
        assert world.translate(first=token).named == config_hash


def test_a_route_that_is_never_written_does_not_hold_up_a_stream_of_changes() -> None:
    world = World()
    world.compile("h1", first="a1", second="b1")
    world.translate(first="a1", second="b1")
    named = []
    for number in range(2, 30):
        world.compile(f"h{number}", first=f"a{number}", second="b2")
        named.append(world.translate(first=f"a{number}", second="b1").named)
        world.now += 0.5
    waited = int(LIMIT / 0.5)
    assert named[:waited] == ["h1"] * waited
    assert named[waited:] == [f"h{number}" for number in range(2 + waited, 30)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("a",), ("b", "a")),
        (("b", "a"), ("a",)),
        (("a", "b"), ("b", "a")),
        (("a",), ("a", "b", "c")),
        (("a", "b", "c"), ("c",)),
        (("a",), ()),
    ],
)
def test_requests_meet_the_filter_whichever_state_of_a_route_envoy_gateway_has_seen(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """Rules move, and so does the last one."""
    world = World()
    world.compile_one("h1", *before)
    assert world.translate_one(*before).closed == set()
    world.compile_one("h2", *after)
    late = world.translate_one(*before)
    assert late.closed == set()
    assert set(late.leads) >= set(before)
    assert late.named == ("h1" if set(after) - set(before) else "h2")
    assert set(world.translate_one(*after).leads) == set(after)
    assert world.translate_one(*after).closed == set()
    # And a controller that compiles later than the one that writes.
    behind = World()
    behind.compile_one("h1", *before)
    behind.translate_one(*before)
    early = behind.translate_one(*after)
    assert early.closed == set()
    assert set(early.leads) >= set(before)


def test_a_rule_that_moves_is_patched_as_itself() -> None:
    """Not as the rule whose place it had, or has now."""
    world = World()
    for tokens in (("a",), ("b", "a"), ("a",), ("c", "b", "a")):
        world.compile_one("-".join(tokens), *tokens)
        world.translate_one(*tokens)
        again = World()
        again.compile_one("-".join(tokens), *tokens)
        fresh, moved = again.translate_one(*tokens), world.translate_one(*tokens)
        assert moved.routes == fresh.routes
        assert {name: moved.clusters[name] for name in fresh.clusters} == fresh.clusters


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_named_can_be_served_while_changes_outrun_translations(seed: int) -> None:
    """Routes are written one by one and late, and move between providers; the filters pass over what they are too slow
    for."""
    chance = random.Random(seed)
    names_of_rules = ("first", "second", "third")
    world = World()
    tokens, hosts = dict.fromkeys(names_of_rules, "0"), dict.fromkeys(names_of_rules, "one.example.com")
    rules_of = {"h0": {f"{name}-0" for name in names_of_rules}}
    world.compile("h0", **{name: f"{name}-0" for name in names_of_rules})
    world.translate(hosts, **{name: f"{name}-0" for name in names_of_rules})
    history = [(dict(tokens), dict(hosts))]
    world.run, ages = {"h0"}, dict[str, float]()
    lag, written, steps = chance.choice((1, 3, 8)), 0, []
    for number in range(1, 60):
        if number < 45:
            name = chance.choice(names_of_rules)
            tokens[name] = str(number)
            if chance.random() < 0.4:
                hosts[name] = chance.choice(("one.example.com", "two.example.com", "three.example.com"))
            world.compile(f"h{number}", **{each: f"{each}-{token}" for each, token in tokens.items()})
            rules_of[f"h{number}"] = {f"{each}-{token}" for each, token in tokens.items()}
            if chance.random() < 0.8 or number == 44:
                world.run.add(f"h{number}")
        history.append((dict(tokens), dict(hosts)))
        world.now += 0.4
        written = max(written, number - chance.randint(0, lag))
        seen_tokens, seen_hosts = history[min(written, len(history) - 1)]
        answer = world.translate(seen_hosts, **{each: f"{each}-{token}" for each, token in seen_tokens.items()})
        assert rules_of[answer.named] <= set(answer.leads)
        assert answer.named in world.run
        ages = {name: ages.get(name, world.now) for name in answer.clusters}
        used = {name for token, name in answer.through.items() if token in rules_of[answer.named]}
        assert number == 1 or all(world.now - ages[name] >= WARM - 0.01 for name in used if ages[name] > 100.4)
        steps.append(answer.named)
    assert steps[-1] == "h44"
    assert len(set(steps)) > 5
