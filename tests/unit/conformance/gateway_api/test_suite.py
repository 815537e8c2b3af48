"""What is read from the files of the Gateway API's suite."""

from pathlib import Path

import pytest

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
