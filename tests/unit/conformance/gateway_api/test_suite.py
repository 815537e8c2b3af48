"""What is read from the files of the Gateway API's suite."""

from pathlib import Path
from typing import Any, cast

import pytest

from conformance.cluster.cluster import Cluster
from conformance.gateway_api import attachment, suite
from conformance.gateway_api.suite import SuiteGateway

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: infra, labels: {for: infra}}
---
apiVersion: v1
kind: Namespace
metadata: {name: backends, labels: {for: backends, more: labels}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: same, namespace: infra}
spec:
  gatewayClassName: "{GATEWAY_CLASS_NAME}"
  listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Same}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: selected, namespace: infra}
spec:
  gatewayClassName: "{GATEWAY_CLASS_NAME}"
  listeners:
    - name: tls
      port: 443
      protocol: HTTPS
      allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {for: backends}}}}
    - {name: http, port: 80, protocol: HTTP}
---
"""
SAME = SuiteGateway("infra", "same", "infra", 80, tls=False)
SELECTED = SuiteGateway("infra", "selected", "backends", 443, tls=True)


def test_gateways_are_those_of_the_base_manifests(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "manifests.yaml").write_text(MANIFESTS)
    assert suite.gateways(tmp_path) == [SAME, SELECTED]
    assert suite.namespaces(tmp_path) == ["backends", "infra"]


def test_an_ai_route_is_where_its_gateways_take_routes_from() -> None:
    routes = [each for each in attachment.routes([SAME, SELECTED]) if each["kind"] == "AIGatewayRoute"]
    assert [(each["metadata"]["namespace"], each["spec"]["parentRefs"]) for each in routes] == [
        ("infra", [{"name": "same", "namespace": "infra"}]),
        ("backends", [{"name": "selected", "namespace": "infra"}]),
    ]


def test_tests_that_want_no_routes_are_found_in_their_source(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    for name, body in {"Wants": "kubernetes.GatewayMustHaveZeroRoutes(t, gw)", "Other": "kubernetes.Other(t)"}.items():
        text = f'var {name} = suite.ConformanceTest{{\n\tShortName:   "{name}",\n\tTest: func() {{ {body} }},\n}}\n'
        (tmp_path / "tests" / f"{name.lower()}.go").write_text(text)
    assert suite.wanting_no_routes(tmp_path) == {"Wants"}


class Recorder:
    """A cluster that remembers which kinds are applied and deleted."""

    def __init__(self) -> None:
        self.kubectl = self
        self.seen: list[tuple[str, int]] = []

    def apply(self, *objects: Any) -> None:
        self.seen.append(("apply", len(objects)))

    def delete(self, *objects: Any) -> None:
        assert {each["kind"] for each in objects} == {"AIGatewayRoute"}
        self.seen.append(("delete", len(objects)))


def test_ai_routes_are_away_only_while_a_test_wants_none() -> None:
    recorder = Recorder()
    routes = attachment.AIRoutes(cast("Cluster", recorder), [SAME, SELECTED], {"Wants", "WantsToo"})
    routes.attach()
    for test in ("First", "Wants", "WantsToo", "Second", "Third"):
        routes.follow(test)
    routes.attach()
    everything = len([*attachment.routes([SAME, SELECTED])])
    assert recorder.seen == [("apply", everything), ("delete", 2), ("apply", everything)]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("=== RUN   TestConformance/HTTPRouteWeight\n", "HTTPRouteWeight"),
        ("=== RUN   TestConformance/HTTPRouteWeight/Requests\n", ""),
        ("=== RUN   TestConformance\n", ""),
        ("    http.go:1: === RUN   TestConformance/HTTPRouteWeight\n", ""),
    ],
)
def test_progress_is_the_tests_that_begin(line: str, name: str) -> None:
    assert suite.begun(line) == name
