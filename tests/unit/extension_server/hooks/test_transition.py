"""From one configuration to the next: nothing is named before Envoy has what it needs."""

from dataclasses import replace
from typing import Any

from extension_server.compile.result import Compiled
from extension_server.hooks import messages
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from extension_server.hooks.transition import BUSY, GRACE, LIMIT, WARM
from extension_server.xds import names, pool, route_table
from extension_server.xds.resources import Resources
from filters.contract.config import CONFIG_HEADER, RULE_HEADER
from filters.contract.sections import Sections
from tests.support.hooks import Observed, answered, decoded, scenario

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
        self.results.put(_named(compiled, config_hash))

    def translate(self, hosts: dict[str, str] | None = None, **tokens: str) -> "Answer":
        """Routes that demand these tokens; `hosts`: where their clusters lead."""
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
        answer = Answer(answered(self.service, "PostTranslateModify", request.SerializeToString()))
        self.observation = self.sink.all[-1]
        return answer


def _named(compiled: Compiled, config_hash: str) -> Compiled:
    class Named(Sections):
        @property
        def config_hash(self) -> str:
            return config_hash

    sections = object.__new__(Named)
    return replace(compiled, sections=sections)


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
    def leads(self) -> dict[str, str]:
        """Token → host name of the cluster that requests with it are sent to."""
        return {
            header.string_match.exact: self._host(route.route.cluster)
            for route in self.routes
            for header in route.match.headers
            if header.name == RULE_HEADER
        }

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
