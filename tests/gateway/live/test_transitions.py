"""A rule changes its provider again and again while requests go on: none fails, and no key meets the other provider."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from extension_server.controller.gateway_notes import TRANSLATE_ANNOTATION
from tests.gateway.live.conftest import Live
from tests.gateway.live.test_hooks import translations
from tests.support import envoy_gateway
from tests.support.envoy_gateway import Provider
from tests.support.waiting import wait_until

PORT = 8892
CHANGES = 6
MANY = 30
CHAT = {"model": "m1", "messages": [{"role": "user", "content": "Hello"}]}
GATEWAY = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: moving}}
spec:
  gatewayClassName: eg
  listeners: [{{name: http, protocol: HTTP, port: {PORT}}}]
"""
HOSTS = {"one": ("provider.example", 7000), "two": ("other-provider.example", 7002)}


def backend(name: str) -> str:
    host, port = HOSTS[name]
    return f"""
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: moving-{name}}}
spec: {{endpoints: [{{fqdn: {{hostname: {host}, port: {port}}}}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: moving-{name}}}
stringData: {{apiKey: key-{name}}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {{name: moving-{name}}}
spec: {{schema: {{name: OpenAI}}, backendRef: {{group: gateway.envoyproxy.io, kind: Backend, name: moving-{name}}}}}
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: BackendSecurityPolicy
metadata: {{name: moving-{name}}}
spec:
  type: APIKey
  apiKey: {{secretRef: {{name: moving-{name}}}}}
  targetRefs: [{{group: aigateway.envoyproxy.io, kind: AIServiceBackend, name: moving-{name}}}]
"""


def route(name: str, route_name: str = "moving", model: str = "m1") -> str:
    return f"""
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {{name: {route_name}}}
spec:
  parentRefs: [{{name: moving}}]
  rules:
    - matches: [{{headers: [{{name: x-ai-eg-model, value: {model}}}]}}]
      backendRefs: [{{name: moving-{name}}}]
"""


@pytest.fixture(scope="module")
def providers(live: Live) -> Iterator[dict[str, Provider]]:
    with envoy_gateway.provider(live.processes, HOSTS["two"][1], "other-provider") as other:
        yield {"one": live.provider, "two": other}


@dataclass
class Load:
    """Requests one after the other, on a thread."""

    failed: list[str] = field(default_factory=list)
    count: int = 0
    models: tuple[str, ...] = ("m1",)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=30, trust_env=False) as client:
            while not self._stop.is_set():
                model = self.models[self.count % len(self.models)]
                answer = client.post("/v1/chat/completions", json={**CHAT, "model": model})
                self.count += 1
                if answer.status_code != 200:
                    self.failed.append(f"{answer.status_code} {answer.text[:200]}")

    def stop(self) -> None:
        self._stop.set()


def keys(provider: Provider) -> Counter[str]:
    return Counter(dict(each["headers"])["authorization"] for each in provider.recorded())


def served(model: str = "m1") -> bool:
    body = {**CHAT, "model": model}
    try:
        return httpx.post(f"http://127.0.0.1:{PORT}/v1/chat/completions", json=body, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def load(live: Live, providers: dict[str, Provider]) -> Iterator[Load]:
    """Requests go on during the test, and before it ends."""
    live.apply("---".join((GATEWAY, backend("one"), backend("two"), route("one"))))
    live.proxy("default/moving")
    wait_until(lambda: served() and keys(providers["one"]), lambda: live.controller.log()[-3000:])
    for each in providers.values():
        each.forget()
    made = Load()
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join()


def more(load: Load) -> None:
    """Some more requests have been answered."""
    before = load.count
    wait_until(lambda: load.count > before + 20, lambda: str(load.failed[-3:]))


def test_no_request_fails_and_no_key_meets_the_other_provider(
    live: Live, providers: dict[str, Provider], load: Load
) -> None:
    for number in range(CHANGES):
        name = ("two", "one")[number % 2]
        before = keys(providers[name]).total()
        live.apply(route(name))
        wait_until(lambda n=name, b=before: keys(providers[n]).total() > b + 5, lambda: str(load.failed[-3:]))  # type: ignore[misc]
    more(load)
    assert load.failed == []
    assert {name: set(keys(each)) for name, each in providers.items()} == {
        "one": {"Bearer key-one"},
        "two": {"Bearer key-two"},
    }


def test_no_request_fails_while_many_routes_change_at_once(
    live: Live, providers: dict[str, Provider], load: Load
) -> None:
    """Each HTTPRoute is written by itself, and Envoy Gateway translates in between."""
    models = tuple(f"many-{number}" for number in range(MANY))
    live.apply("---".join(route("one", model, model) for model in models))
    wait_until(lambda: all(served(model) for model in models), lambda: live.controller.log()[-3000:])
    load.models = models
    for each in ("first", "second"):
        mutation = {"spec": {"headerMutation": {"set": [{"name": "x-state", "value": each}]}}}
        path = "/apis/aigateway.envoyproxy.io/v1beta1/namespaces/default/aiservicebackends/moving-one"
        merge = {"content-type": "application/merge-patch+json"}
        assert live.api.http.patch(path, json=mutation, headers=merge).is_success

        def sent(state: str = each) -> bool:
            recent = providers["one"].recorded()[-MANY:]
            return len(recent) == MANY and all(dict(one["headers"]).get("x-state") == state for one in recent)

        wait_until(sent, lambda: str(load.failed[-3:]))
    assert load.failed == []


def test_no_request_fails_when_a_translation_meets_a_controller_that_starts(live: Live, load: Load) -> None:
    more(load)
    live.controller.stop(signal.SIGKILL)
    path = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/moving"
    patch = {"metadata": {"annotations": {TRANSLATE_ANNOTATION: "while nobody answers"}}}
    merge = {"content-type": "application/merge-patch+json"}
    assert live.api.http.patch(path, json=patch, headers=merge).is_success
    more(load)
    live.controller.start()
    live.controller.wait_until_ready()
    wait_until(lambda: translations() > 0, lambda: "Envoy Gateway calls again")
    more(load)
    assert load.failed == []
