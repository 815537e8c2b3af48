"""Clusters of a live update."""

from hypothesis import given
from hypothesis import strategies as st

from aigw.standalone.generations import Generations
from extension_server.xds import pool
from extension_server.xds.resources import Resources

NAME = "httproute/default/llm/rule/0"


def wanted(contents: dict[str, int]) -> Resources:
    """A cluster per name whose content is a number, and a route to each."""
    routes = [{"name": name, "route": {"cluster": name}} for name in contents]
    return Resources(
        clusters=[
            pool.message(
                pool.CLUSTER,
                name=name,
                connect_timeout={"seconds": content},
                load_assignment={"cluster_name": name},
            )
            for name, content in contents.items()
        ],
        routes=[pool.message(pool.ROUTE_CONFIGURATION, name="c", virtual_hosts=[{"routes": routes}])],
    )


def targets(resources: Resources) -> list[str]:
    return [route.route.cluster for host in resources.routes[0].virtual_hosts for route in host.routes]


def content(generations: Generations, name: str) -> int:
    return int(generations.alive[name].connect_timeout.seconds)


def test_an_unchanged_cluster_keeps_its_name() -> None:
    generations = Generations()
    assert generations.prepare(wanted({NAME: 1})) == frozenset()
    second = wanted({NAME: 1})
    assert generations.prepare(second) == frozenset()
    assert targets(second) == [NAME]
    assert list(generations.alive) == [NAME]


def test_a_changed_cluster_gets_a_new_name_beside_the_old_one() -> None:
    generations = Generations()
    generations.prepare(wanted({NAME: 1}))
    second = wanted({NAME: 2})
    retired = generations.prepare(second)
    (new,) = targets(second)
    assert new.startswith(f"{NAME}@")
    assert retired == {NAME}
    assert (content(generations, NAME), content(generations, new)) == (1, 2)
    assert generations.alive[new].load_assignment.cluster_name == new
    assert generations.alive[new].alt_stat_name == NAME
    generations.settle(retired)
    assert list(generations.alive) == [new]


def test_a_retired_cluster_that_is_wanted_again_stays() -> None:
    generations = Generations()
    generations.prepare(wanted({NAME: 1}))
    first_retired = generations.prepare(wanted({NAME: 2}))
    back = wanted({NAME: 1})
    generations.prepare(back)
    generations.settle(first_retired)
    (name,) = targets(back)
    assert content(generations, name) == 1


def test_clusters_of_listeners_are_replaced_in_place() -> None:
    generations = Generations()
    generations.prepare(wanted({"accesslog_otel_0_0": 1}))
    generations.prepare(wanted({"accesslog_otel_0_0": 2}))
    assert list(generations.alive) == ["accesslog_otel_0_0"]
    assert content(generations, "accesslog_otel_0_0") == 2


names = st.sampled_from([f"httproute/default/llm/rule/{index}" for index in range(3)])
configurations = st.dictionaries(names, st.integers(1, 3), max_size=3)


@given(st.lists(st.tuples(configurations, st.booleans()), max_size=12))
def test_no_history_ever_sends_a_request_to_other_content(history: list[tuple[dict[str, int], bool]]) -> None:
    """Every route table that may still be in use finds, under its names, the content that it was made for."""
    generations = Generations()
    in_use: list[tuple[dict[str, int], list[str]]] = []
    retirements: list[frozenset[str]] = []
    for contents, settle in history:
        resources = wanted(contents)
        retirements.append(generations.prepare(resources))
        in_use.append((contents, targets(resources)))
        if settle:
            for retired in retirements:
                generations.settle(retired)
            retirements.clear()
            in_use = in_use[-1:]
        for table, clusters in in_use:
            assert [content(generations, name) for name in clusters] == list(table.values())
    if history and history[-1][1]:
        assert set(generations.alive) == set(in_use[-1][1])
