"""Envoy Gateway's names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension_server.xds import names
from extension_server.xds.names import ClusterName, RuleName

RULE = RuleName("default", "llm", 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("httproute/default/llm/rule/3", ClusterName(RULE)),
        ("httproute/default/llm/rule/3/backend/12", ClusterName(RULE, 12)),
        ("httproute/default/llm/rule/3@0a1b2c3d", ClusterName(RULE)),
        ("httproute/default/llm/rule/3/backend/0@0a1b2c3d", ClusterName(RULE, 0)),
        ("httproute/default/llm/rule/0-mirror-1", None),
        ("httproute/default/llm/rule/-1", None),
        ("httproute/default/llm/rule/01", None),
        ("httproute/default/llm/rule/٣", None),
        ("httproute/default/llm/rule/3/backend", None),
        ("httproute/default/llm/rule/3/backend/x", None),
        ("tcproute/default/db/rule/-1", None),
        ("envoyextensionpolicy/default/ep/extproc/0", None),
        ("backend/default/openai/0/http", None),
        ("ratelimit_cluster", None),
        ("", None),
    ],
)
def test_clusters(name: str, expected: ClusterName | None) -> None:
    assert names.cluster(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("httproute/default/llm/rule/3/match/0/*", RULE),
        ("httproute/default/llm/rule/3/match/7/*_ai_example_com", RULE),
        ("httproute/default/llm/rule/3", None),
        ("httproute/default/llm/rule/3/match/x/*", None),
        ("httproute/default/llm/rule/3/match/0/", None),
        ("grpcroute/default/llm/rule/3/match/0/*", None),
    ],
)
def test_routes(name: str, expected: RuleName | None) -> None:
    assert names.route(name) == expected


@pytest.mark.parametrize(
    ("listener", "serves"),
    [
        ("default/gw/http", True),
        ("tcp-80", True),
        ("envoy-gateway-proxy-ready-0.0.0.0-19003", False),
        ("envoy-gateway-proxy-stats-0.0.0.0-19001", False),
    ],
)
def test_listeners_of_envoy_gateway_itself_serve_no_clients(listener: str, serves: bool) -> None:
    assert names.serves_clients(listener) is serves


label = st.from_regex(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", fullmatch=True)


@given(label, label, st.integers(0, 99), st.integers(0, 99))
def test_what_is_written_is_read_back(namespace: str, name: str, rule: int, ref: int) -> None:
    of_rule = RuleName(namespace, name, rule)
    assert names.cluster(names.cluster_name(of_rule)) == ClusterName(of_rule)
    assert names.cluster(names.region(of_rule, ref)) == ClusterName(of_rule, ref)
    assert names.route(names.route_name(of_rule, ref, "*.a.example")) == of_rule
    assert names.cluster(names.generation(names.cluster_name(of_rule), "0af1")) == ClusterName(of_rule)


@given(st.text())
def test_no_text_makes_the_parsers_fail(text: str) -> None:
    names.cluster(text)
    names.route(text)
