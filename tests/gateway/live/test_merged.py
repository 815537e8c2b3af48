"""Gateways that share an Envoy (mergeGateways) are not served: the route says so, and `aigw doctor` names the cause."""

from typing import Any

import yaml
from typer.testing import CliRunner

from aigw.cli import app
from filters.contract import jsonlib
from tests.gateway.live.conftest import Live
from tests.gateway.live.worlds import chat_world, gateway
from tests.support.controller import condition
from tests.support.waiting import wait_until

MERGED = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: merged, namespace: envoy-gateway-system}
spec: {mergeGateways: true}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: merged}
spec:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: merged, namespace: envoy-gateway-system}
"""


def test_a_shared_envoy_is_named_by_the_route_and_by_doctor(live: Live) -> None:
    world = (chat_world("shared", 8940) + "---" + gateway("beside", 8941)).replace("Name: eg", "Name: merged")
    documents = [*yaml.safe_load_all(MERGED), *yaml.safe_load_all(world)]
    for each in documents:
        if each["kind"] != "GatewayClass":
            each["metadata"].setdefault("namespace", "default")
        live.api.apply(each)

    def accepted() -> dict[str, str]:
        found = live.api.get("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute", "shared")
        return condition(found, "Accepted") if found.get("status") else {}

    try:
        wait_until(lambda: accepted().get("reason") == "MergedGateways", lambda: str(accepted()), limit=30)
        assert (
            "Gateway default/shared: spec.gatewayClassName: its Envoy also serves Gateway default/beside"
            in (accepted()["message"])
        )
        (said,) = [each for each in findings(live) if "default/shared shares its Envoy" in each["title"]]
        assert "mergeGateways is true in EnvoyProxy envoy-gateway-system/merged" in said["title"]
    finally:
        for each in reversed(documents):
            live.api.delete(each)


def findings(live: Live) -> list[dict[str, Any]]:
    result = CliRunner().invoke(
        app,
        ["doctor", "--kubeconfig", str(live.api.kubeconfig), "--output", "json"],
    )
    assert result.exit_code == 1, result.output
    report = jsonlib.decode(result.stdout.encode(), dict[str, Any])
    return [finding for each in report["checks"] if each["check"] == "gateways" for finding in each["findings"]]
