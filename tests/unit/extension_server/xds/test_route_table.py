"""Route lists that become trees, and lists again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension_server.xds import pool, route_table
from extension_server.xds.pool import Message
from extension_server.xds.resources import Resources
from tests.support.xds import RECORDED, bytes_of, recorded

FALLBACK = "httproute/default/llm/rule/1/match/0/any"


def route(name: str, *headers: tuple[str, dict[str, Any]]) -> Message:
    match = {"prefix": "/", "headers": [{"name": header, "string_match": how} for header, how in headers]}
    return pool.message(pool.ROUTE, name=name, match=match, direct_response={"status": 200})


def demanding(name: str, token: str) -> Message:
    return route(name, ("x-ai-eg-rule", {"exact": token}), ("x-ai-eg-model", {"exact": "m"}))


def host(*routes: Message) -> Resources:
    hosts = [{"name": "h", "domains": ["*"], "routes": list(routes)}]
    return Resources(routes=[pool.message(pool.ROUTE_CONFIGURATION, name="c", virtual_hosts=hosts)])


def folded(*routes: Message) -> Resources:
    resources = host(*routes)
    route_table.fold(resources)
    return resources


def table(resources: Resources) -> tuple[dict[str, list[str]], list[str]]:
    """Token → names of the routes that are tried, and those of requests without a known token."""
    (only,) = resources.routes[0].virtual_hosts
    assert not only.routes  # Envoy takes a list or a tree
    tree = only.matcher.matcher_tree
    assert pool.unpacked(tree.input.typed_config).header_name == "x-ai-eg-rule"
    return {token: names(found) for token, found in tree.exact_match_map.map.items()}, (
        names(only.matcher.on_no_match) if only.matcher.HasField("on_no_match") else []
    )


def names(on_match: Message) -> list[str]:
    return [each.name for each in pool.unpacked(on_match.action.typed_config).routes]


def test_a_request_with_a_token_meets_the_routes_of_its_rule_only() -> None:
    found, _ = table(folded(demanding("a1", "a"), demanding("b", "b"), route(FALLBACK), demanding("a2", "a")))
    assert found == {"a": ["a1", "a2"], "b": ["b"]}


def test_all_others_meet_all_other_routes_in_their_order() -> None:
    one, two, three = (route(name, ("x-team", {"exact": name})) for name in ("one", "two", "three"))
    _, others = table(folded(one, demanding("a", "a"), two, route(FALLBACK), demanding("b", "b"), three))
    assert others == ["one", "two", FALLBACK, "three"]


@pytest.mark.parametrize(
    "how", [{"prefix": "a"}, {"safe_regex": {"regex": "a"}}, {"exact": "a", "ignore_case": True}, {"exact": ""}]
)
def test_a_route_that_does_not_name_one_token_exactly_is_one_of_the_others(how: dict[str, Any]) -> None:
    (_, others) = table(folded(route("odd", ("x-ai-eg-rule", how)), demanding("a", "a")))
    assert others == ["odd"]


def test_a_route_that_forbids_a_token_is_one_of_the_others() -> None:
    odd = demanding("odd", "a")
    odd.match.headers[0].invert_match = True
    assert table(folded(odd, demanding("a", "a")))[1] == ["odd"]


def test_virtual_hosts_without_tokens_and_trees_of_users_stay_as_they_are() -> None:
    plain = host(route("one"), route(FALLBACK))
    tree = host()
    action = {"action": {"name": "mine", "typed_config": pool.packed(pool.ROUTE, name="r")}}
    tree.routes[0].virtual_hosts[0].matcher.CopyFrom(pool.message("xds.type.matcher.v3.Matcher", on_no_match=action))
    for resources in (plain, tree):
        before = bytes_of(resources)
        route_table.fold(resources)
        route_table.unfold(resources)
        assert bytes_of(resources) == before


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("*.bin")))
def test_what_is_not_ours_stays_as_it_is(name: str) -> None:
    resources = recorded(name)
    before = bytes_of(resources)
    route_table.fold(resources)
    assert bytes_of(resources) == before


TOKENS = st.sampled_from(["", "a", "b", "c"])


@given(st.lists(TOKENS, max_size=12))
def test_every_request_meets_the_routes_that_could_match_it_in_their_order(tokens: list[str]) -> None:
    routes = [demanding(f"{n}", token) if token else route(f"{n}") for n, token in enumerate(tokens)]
    resources = folded(*routes)
    if any(tokens):
        found, others = table(resources)
        wanted = {
            token: [f"{n}" for n, each in enumerate(tokens) if each == token] for token in sorted(set(tokens) | {""})
        }
        assert {**found, "": others} == wanted
    else:
        assert bytes_of(resources) == bytes_of(host(*routes))
    once = bytes_of(resources)
    route_table.fold(resources)
    assert bytes_of(resources) == once
    route_table.unfold(resources)
    assert sorted(each.name for each in resources.routes[0].virtual_hosts[0].routes) == sorted(
        each.name for each in routes
    )
    route_table.fold(resources)
    assert bytes_of(resources) == once


def test_long_routes_keep_their_length() -> None:
    long = demanding("x" * 100_000, "a")
    resources = folded(long, route("o" * 200))
    assert table(resources) == ({"a": [long.name]}, ["o" * 200])
