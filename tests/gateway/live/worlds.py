"""Resources for the tests with a real Envoy Gateway: what a user would write."""

from typing import Any

from tests.support import isolation

CHAT: dict[str, Any] = {"model": "m1", "messages": [{"role": "user", "content": "Hello"}]}
PROVIDER_PORT = 7000


def gateway(name: str, port: int) -> str:
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: eg
  listeners: [{{name: http, protocol: HTTP, port: {port}}}]
"""


def backend(name: str, *, key: str = "sk-first", schema: str = "OpenAI", port: int = PROVIDER_PORT) -> str:
    """AIServiceBackend `name` with its Backend, its key and its policy."""
    return f"""
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: {name}}}
spec: {{endpoints: [{{ip: {{address: {isolation.ADDRESS}, port: {port}}}}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData: {{apiKey: {key}}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {{name: {name}}}
spec: {{schema: {{name: {schema}}}, backendRef: {{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: BackendSecurityPolicy
metadata: {{name: {name}}}
spec:
  type: APIKey
  apiKey: {{secretRef: {{name: {name}}}}}
  targetRefs: [{{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: {name}}}]
"""


def route(name: str, gateway_name: str, rules: dict[str, str]) -> str:
    """`rules`: model → the backendRefs as YAML."""
    listed = "".join(
        f"    - matches: [{{headers: [{{name: x-ai-eg-model, value: {model}}}]}}]\n      backendRefs: {refs}\n"
        for model, refs in rules.items()
    )
    return f"""
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {gateway_name}}}]
  rules:
{listed}"""


def chat_world(name: str, port: int, *, key: str = "sk-first") -> str:
    """A Gateway, one backend, one route for model m1; all of one name."""
    rules = {"m1": f"[{{name: {name}}}]"}
    return "---".join((gateway(name, port), backend(name, key=key), route(name, name, rules)))
