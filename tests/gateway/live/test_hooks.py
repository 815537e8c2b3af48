"""What the hooks rely on in a real Envoy Gateway."""

from typing import Any

import httpx

from extension_server.controller.gateway_notes import TRANSLATE_ANNOTATION
from tests.gateway.live.conftest import Live
from tests.support.envoy_gateway import METRICS_PORT
from tests.support.waiting import wait_until

GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: asked}
spec:
  gatewayClassName: eg
  listeners: [{name: http, protocol: HTTP, port: 8890}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: asked}
spec: {endpoints: [{fqdn: {hostname: provider.example, port: 7000}}]}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {name: asked}
spec: {schema: {name: OpenAI}, backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: asked}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: asked}
spec:
  parentRefs: [{name: asked}]
  rules:
    - matches: [{headers: [{name: x-ai-eg-model, value: m1}]}]
      backendRefs: [{name: asked}]
"""


def translations() -> float:
    """Calls of the Translation hook so far."""
    lines = httpx.get(f"http://127.0.0.1:{METRICS_PORT}/metrics", trust_env=False).text.splitlines()
    wanted = 'aigw_hook_requests_total{hook="PostTranslateModify",'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))


def annotate(live: Live, name: str, value: str) -> None:
    path = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/asked"
    patch: dict[str, Any] = {"metadata": {"annotations": {name: value}}}
    merge = {"content-type": "application/merge-patch+json"}
    assert live.api.http.patch(path, json=patch, headers=merge).is_success


def quiet(live: Live) -> float:
    """The number of translations, once there are no more."""
    seen: list[float] = []

    def settled() -> bool:
        seen.append(translations())
        return len(seen) > 20 and seen[-1] == seen[-20] and seen[-1] > 0

    wait_until(settled, lambda: f"no translations any more: {seen[-5:]}\n{live.processes.log('envoy-gateway')[-2000:]}")
    return seen[-1]


def test_envoy_gateway_translates_again_when_it_is_asked_to_and_not_otherwise(live: Live) -> None:
    live.apply(GATEWAY)
    before = quiet(live)
    annotate(live, TRANSLATE_ANNOTATION, "once")
    wait_until(lambda: translations() > before, lambda: "the annotation makes Envoy Gateway translate")
    before = quiet(live)
    annotate(live, "example.com/other", "once")
    annotate(live, TRANSLATE_ANNOTATION, "twice")
    wait_until(lambda: translations() > before, lambda: "the annotation makes Envoy Gateway translate")
    assert quiet(live) == before + 1
