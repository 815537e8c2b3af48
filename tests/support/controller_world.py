"""A small world for tests of the controller on a real API server, and how to look at what became of it."""

from typing import Any

import yaml

from tests.support.apiserver import ApiServer, Refused
from tests.support.controller import condition
from tests.support.waiting import eventually

AIGW = "aigateway.envoyproxy.io/v1beta1"
GW = "gateway.networking.k8s.io/v1"
EG = "gateway.envoyproxy.io/v1alpha1"
FOREIGN = ("gatewayclasses", "gateways", "httproutes", "referencegrants", "backends", "httproutefilters")

WORLD = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, annotations: {aigateway.envoyproxy.io/mediated: "true"}}
spec:
  gatewayClassName: envoy
  listeners:
    - {name: http, protocol: HTTP, port: 80}
    - {name: raw, protocol: TCP, port: 81}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: provider}
spec: {endpoints: [{fqdn: {hostname: api.example.com, port: 443}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {apiKey: sk-1}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {name: provider}
spec: {schema: {name: OpenAI}, backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: provider}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: BackendSecurityPolicy
metadata: {name: policy}
spec:
  type: APIKey
  apiKey: {secretRef: {name: key}}
  targetRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: provider}]
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata:
  name: chat
  labels: {team: a}
  annotations: {example.com/note: kept}
spec:
  parentRefs: [{name: edge}]
  rules:
    - name: main
      matches: [{headers: [{name: x-ai-eg-model, value: m1}]}]
      backendRefs: [{name: provider}]
"""


def documents(namespace: str, text: str = WORLD) -> list[dict[str, Any]]:
    found = [each for each in yaml.safe_load_all(text) if each]
    for each in found:
        each["metadata"]["namespace"] = namespace
    return found


def by_kind(namespace: str) -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in documents(namespace)}


def get(cluster: ApiServer, version: str, kind: str, name: str, namespace: str) -> dict[str, Any]:
    """Empty when it is not there."""
    try:
        return cluster.get(version, kind, name, namespace)
    except Refused as exc:
        assert exc.status == 404  # noqa: PT017  said by the API server, not by the code under test
        return {}


def route(cluster: ApiServer, namespace: str, name: str = "chat") -> dict[str, Any]:
    return get(cluster, AIGW, "AIGatewayRoute", name, namespace)


def http_route(cluster: ApiServer, namespace: str, name: str = "chat") -> dict[str, Any]:
    return get(cluster, GW, "HTTPRoute", name, namespace)


async def accepted(cluster: ApiServer, namespace: str, status: str, type_: str = "Accepted") -> dict[str, Any]:
    def look() -> dict[str, Any]:
        found = condition(route(cluster, namespace), type_)
        return found if found.get("status") == status else {}

    return await eventually(look, f"{type_}={status}")
