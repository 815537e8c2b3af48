"""Documents as an API server hands them out, for tests of the controller."""

import itertools
from collections.abc import Iterable
from typing import Any

import yaml

from extension_server.compile.reads import Key
from extension_server.compile.result import ObjectRef
from extension_server.compile.route import Settings
from extension_server.controller.kinds import BY_KIND
from extension_server.controller.store import Change, Store
from extension_server.controller.world import World

KEY = b"k" * 32
EDGE = ObjectRef("Gateway", "n", "edge")
CHAT = ObjectRef("AIGatewayRoute", "n", "chat")

WORLD = """
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: envoy}, spec: {controllerName: eg}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, annotations: {aigateway.envoyproxy.io/mediated: "true"}}
spec: {gatewayClassName: envoy, listeners: [{name: http, protocol: HTTP, port: 80}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: provider}
spec: {endpoints: [{fqdn: {hostname: api.example.com, port: 443}}]}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {name: provider}
spec: {schema: {name: OpenAI}, backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: provider}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: chat}
spec:
  parentRefs: [{name: edge}]
  rules:
    - matches: [{headers: [{name: x-ai-eg-model, value: m1}]}]
      backendRefs: [{name: provider}]
"""
POLICY = """
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: BackendSecurityPolicy
metadata: {name: policy}
spec:
  type: APIKey
  apiKey: {secretRef: {name: key}}
  targetRefs: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: provider}]
"""
SECRET = "{apiVersion: v1, kind: Secret, metadata: {name: key}, data: {apiKey: c2stMQ==}}"

_versions = itertools.count(1)


def documents(text: str, **metadata: Any) -> list[dict[str, Any]]:
    """Each with a newer resource version than any before."""
    return [stored(each, **metadata) for each in yaml.safe_load_all(text) if each]


def stored(document: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    version = next(_versions)
    namespaced = BY_KIND[document["kind"]].namespaced
    return {
        **document,
        "metadata": {
            **({"namespace": "n"} if namespaced else {}),
            "uid": f"uid-{document['metadata']['name']}",
            "generation": 1,
            **document["metadata"],
            "resourceVersion": str(version),
            **metadata,
        },
    }


def put(store: Store, *found: dict[str, Any]) -> Change:
    change = Change()
    for each in found:
        change.add(store.put(BY_KIND[each["kind"]], each))
    return change


class Both:
    """A store and the world that follows it."""

    def __init__(self) -> None:
        self.store = Store("eg")
        self.world = World(Settings(token_key=KEY))

    def put(self, *found: dict[str, Any]) -> list[ObjectRef]:
        keys = put(self.store, *found).keys
        for each in found:
            if each["kind"] == "Secret":
                keys |= self.store.put_secret(each).keys
        return self.follow(keys)

    def remove(self, document: dict[str, Any]) -> list[ObjectRef]:
        return self.follow(self.store.remove(BY_KIND[document["kind"]], stored(document)).keys)

    def follow(self, keys: Iterable[Key]) -> list[ObjectRef]:
        """Returns what was compiled again."""
        view = self.store.view()
        again = list(self.world.recompile(view, set(keys)))
        for gateway in self.world.dirty():
            self.world.assemble(view, gateway)
        assert self.world.dirty() == ()
        return again
