"""Matches that get no request say so, and nothing else does."""

from typing import Any

import yaml

from extension_server.api import kinds
from extension_server.api.base import parse
from extension_server.compile.gateway import compile_gateway
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import Snapshot

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec:
  gatewayClassName: c
  listeners: [{name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}]
"""


def match(model: str = "", **headers: str) -> dict[str, Any]:
    wanted = {**({"x-ai-eg-model": model} if model else {}), **headers}
    return {"headers": [{"name": name, "value": value} for name, value in wanted.items()]}


def route(name: str, *rules: list[dict[str, Any]], created: str = "2026-01-01", **more: Any) -> dict[str, Any]:
    """Each rule is its matches."""
    return {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": name, "creationTimestamp": f"{created}T00:00:00Z"},
        "spec": {
            "parentRefs": [{"name": "g"}],
            "rules": [{"matches": matches, "backendRefs": [{"name": "b"}]} for matches in rules],
            **more,
        },
    }


def shadowed(*routes: dict[str, Any]) -> list[str]:
    documents = [yaml.safe_load(GATEWAY), *routes]
    objects = [parse(kinds.model_of(each["apiVersion"], each["kind"]), each) for each in documents]
    compiled = compile_gateway(Snapshot(objects), ObjectRef("Gateway", "default", "g"), token_key=b"k")
    assert set(compiled.shadowed) <= set(compiled.findings)
    return [str(each) for each in compiled.shadowed]


def test_of_two_routes_the_younger_one_is_told() -> None:
    older, younger = route("b", [match("m")]), route("a", [match("x"), match("m")], created="2026-02-01")
    (told,) = shadowed(older, younger)
    assert told == (
        "AIGatewayRoute default/a: spec.rules[0].matches[1]: gets no requests: spec.rules[0].matches[0] of "
        "AIGatewayRoute default/b, which is older, asks for the same; change or remove one of them"
    )


def test_of_two_routes_of_one_age_the_name_decides() -> None:
    (told,) = shadowed(route("a", [match("m")]), route("b", [match("m")]))
    assert told.startswith("AIGatewayRoute default/b: ")
    assert "of AIGatewayRoute default/a, which comes first by name, asks" in told


def test_rules_without_matches_are_named_as_rules() -> None:
    (told,) = shadowed(route("a", [], []))
    assert told.startswith("AIGatewayRoute default/a: spec.rules[1]: gets no requests: spec.rules[0], which comes")


def test_the_order_of_headers_makes_no_difference() -> None:
    assert len(shadowed(route("a", [match("m", x="1", y="2")], [match("m", y="2", x="1")]))) == 1


def test_a_match_that_a_broader_one_covers_is_nobodys_mistake() -> None:
    narrow, broad = [match("m", tenant="1")], [match("m")]
    assert shadowed(route("a", narrow, broad, [match("n")], [match(tenant="1")], [])) == []


def test_hosts_are_named_where_it_is_not_all() -> None:
    mine = route("a", [match("m")], hostnames=["a.example", "b.example"])
    other = route("b", [match("m")], hostnames=["b.example", "c.example"])
    (told,) = shadowed(mine, other)
    assert "spec.rules[0].matches[0]: gets no requests for b.example: " in told
    many = [f"{letter}.example" for letter in "abcdef"]
    (told,) = shadowed(route("a", [match("m")], hostnames=many), route("b", [match("m")], hostnames=many))
    assert "gets no requests for a.example, b.example, c.example and 3 more hosts: " in told
