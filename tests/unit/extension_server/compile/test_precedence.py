"""The match index tries rules in the order in which Envoy Gateway writes its routes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cmp_to_key
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from extension_server.api.aigateway import AIGatewayRoute, AIGatewayRouteMatch
from extension_server.api.base import parse
from extension_server.api.gateway import Gateway
from extension_server.compile.gateway import compile_gateway
from extension_server.compile.precedence import contract_match
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import Snapshot
from filters.contract.config import HeaderMatch, Match

GATEWAY = parse(
    Gateway,
    {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "g"},
        "spec": {"gatewayClassName": "c", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    },
)

headers = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["x-ai-eg-model", "x-tenant", "x-tier"]),
            "value": st.sampled_from(["a", "b", "c.*"]),
            "type": st.sampled_from(["Exact", "RegularExpression"]),
        }
    ),
    max_size=3,
    unique_by=lambda header: header["name"],
)
rules = st.lists(
    st.fixed_dictionaries({"matches": st.lists(st.fixed_dictionaries({"headers": headers}), max_size=3)}), max_size=4
)
ages = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])
worlds = st.lists(st.tuples(ages, rules), min_size=1, max_size=4)


def route(number: int, created: str, rules_: list[dict[str, Any]]) -> AIGatewayRoute:
    document = {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": f"r{number}", "creationTimestamp": created},
        "spec": {"parentRefs": [{"name": "g"}], "rules": rules_},
    }
    found = parse(AIGatewayRoute, document)
    assert isinstance(found, AIGatewayRoute)
    return found


def written_by_envoy_gateway(routes: list[AIGatewayRoute]) -> Iterator[Match]:
    """Routes oldest first, then by name; their matches in order; then its stable sort by specificity."""

    def less(one: AIGatewayRouteMatch, other: AIGatewayRouteMatch) -> bool:
        if len(one.headers) != len(other.headers):
            return len(one.headers) > len(other.headers)
        exact = [sum(header.type == "Exact" for header in match.headers) for match in (one, other)]
        return exact[0] > exact[1]

    def compare(one: tuple[str, AIGatewayRouteMatch], other: tuple[str, AIGatewayRouteMatch]) -> int:
        return -1 if less(one[1], other[1]) else 1 if less(other[1], one[1]) else 0

    by_age = sorted(
        routes, key=lambda each: (each.metadata.creation_timestamp or datetime.now(UTC), each.namespace, each.name)
    )
    listed = [
        (f"default/{each.name}/rule/{index}", match)
        for each in by_age
        for index, rule in enumerate(each.spec.rules if each.spec else ())
        for match in rule.matches or (AIGatewayRouteMatch(),)
    ]
    return (contract_match(rule, match) for rule, match in sorted(listed, key=cmp_to_key(compare)))


@given(worlds)
def test_matches_come_in_envoys_order(world: list[tuple[str, list[dict[str, Any]]]]) -> None:
    routes = [route(number, created, each) for number, (created, each) in enumerate(world)]
    result = compile_gateway(Snapshot((GATEWAY, *routes)), ObjectRef("Gateway", "default", "g"), token_key=b"k")
    hosts = [host for listener in result.filter_config.listeners for host in listener.virtual_hosts]
    assert [match for host in hosts for match in host.matches] == list(written_by_envoy_gateway(routes))


def test_the_exact_model_is_taken_out_of_the_headers() -> None:
    match = AIGatewayRouteMatch.model_validate_json(
        b'{"headers":[{"name":"X-AI-EG-Model","value":"m"},{"name":"X-Tenant","value":"t.*","type":"RegularExpression"}]}'
    )
    assert contract_match("r", match) == Match(
        rule="r", model="m", headers=(HeaderMatch(name="x-tenant", value="t.*", regex=True),)
    )


def test_a_regular_expression_on_the_model_stays_a_header() -> None:
    match = AIGatewayRouteMatch.model_validate_json(
        b'{"headers":[{"name":"x-ai-eg-model","value":".*","type":"RegularExpression"}]}'
    )
    assert contract_match("r", match) == Match(
        rule="r", headers=(HeaderMatch(name="x-ai-eg-model", value=".*", regex=True),)
    )
