"""Requests through a real Envoy Gateway's Envoy."""

from collections.abc import Callable

import httpx

from tests.gateway.live.conftest import Live
from tests.support import isolation
from tests.support.controller import condition
from tests.support.envoy_gateway import wait_until

WORLD = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw}}
spec:
  gatewayClassName: eg
  listeners: [{{name: http, protocol: HTTP, port: 8888}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: provider}}
spec: {{endpoints: [{{ip: {{address: {isolation.ADDRESS}, port: 7000}}}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: key}}
stringData: {{apiKey: sk-first}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {{name: provider}}
spec: {{schema: {{name: OpenAI}}, backendRef: {{group: gateway.envoyproxy.io, kind: Backend, name: provider}}}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: BackendSecurityPolicy
metadata: {{name: provider}}
spec:
  type: APIKey
  apiKey: {{secretRef: {{name: key}}}}
  targetRefs: [{{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: provider}}]
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {{name: chat}}
spec:
  parentRefs: [{{name: gw}}]
  rules:
    - matches: [{{headers: [{{name: x-ai-eg-model, value: m1}}]}}]
      backendRefs: [{{name: provider}}]
"""
CHAT = {"model": "m1", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_route_is_served(live: Live, client: Callable[[int], httpx.Client]) -> None:
    live.apply(WORLD)
    live.proxy("default/gw")
    http = client(8888)

    def answered() -> httpx.Response | None:
        try:
            answer = http.post("/v1/chat/completions", json=CHAT)
        except httpx.HTTPError:
            return None
        return answer if answer.status_code == 200 else None

    answer = wait_until(answered, lambda: http.post("/v1/chat/completions", json=CHAT).text)
    assert answer.json()["choices"][0]["message"]["content"]
    request = live.provider.recorded()[-1]
    assert dict(request["headers"])["authorization"] == "Bearer sk-first"
    route = live.api.get("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute", "chat")
    assert condition(route, "Accepted")["status"] == "True"
