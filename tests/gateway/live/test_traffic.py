"""Requests through a real Envoy Gateway's Envoy."""

from collections.abc import Callable

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from conformance.upstream.recorder import ANSWER
from tests.gateway.live.conftest import Live
from tests.gateway.live.worlds import CHAT, backend, chat_world, route
from tests.support.controller import condition
from tests.support.waiting import wait_until

AIGW = "aigateway.envoyproxy.io/v1beta1"
PORT = 8888


RETRIES = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: failover}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: failover}]
  retry:
    numRetries: 3
    numAttemptsPerPriority: 1
    retryOn: {triggers: [connect-failure, reset]}
"""


@pytest.fixture(scope="module", autouse=True)
def world(live: Live) -> None:
    live.apply(chat_world("gw", PORT))
    live.proxy("default/gw")


@pytest.fixture
def http(client: Callable[[int], httpx.Client]) -> httpx.Client:
    return client(PORT)


def served(http: httpx.Client, model: str = "m1") -> httpx.Response:
    def answered() -> httpx.Response | None:
        try:
            answer = http.post("/v1/chat/completions", json={**CHAT, "model": model})
        except httpx.HTTPError:
            return None
        return answer if answer.status_code == 200 else None

    return wait_until(answered, lambda: http.post("/v1/chat/completions", json={**CHAT, "model": model}).text)


def test_a_route_is_served_and_its_status_says_so(live: Live, http: httpx.Client) -> None:
    assert served(http).json()["choices"][0]["message"]["content"]
    request = live.provider.recorded()[-1]
    assert dict(request["headers"])["authorization"] == "Bearer sk-first"
    assert not [name for name, _ in request["headers"] if name in ("x-ai-eg-rule", "x-ai-eg-original-path")]

    def programmed() -> bool:
        found = live.api.get(AIGW, "AIGatewayRoute", "gw")
        return (
            condition(found, "Programmed").get("status") == "True" and condition(found, "Accepted")["status"] == "True"
        )

    wait_until(programmed, lambda: str(live.api.get(AIGW, "AIGatewayRoute", "gw")["status"]))


def test_an_sdk_gets_answers_whole_and_in_pieces(live: Live, http: httpx.Client) -> None:
    served(http)
    asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
    with openai.OpenAI(base_url=f"http://127.0.0.1:{PORT}/v1", api_key="client-key", max_retries=0) as sdk:
        whole = sdk.chat.completions.create(model="m1", messages=asked)
        pieces = sdk.chat.completions.create(model="m1", messages=asked, stream=True)
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
        models = [model.id for model in sdk.models.list()]
    assert text == whole.choices[0].message.content == ANSWER
    assert "m1" in models


def test_a_new_key_is_sent_without_a_translation(live: Live, http: httpx.Client) -> None:
    served(http)
    before = live.api.get("gateway.networking.k8s.io/v1", "HTTPRoute", "gw")["metadata"]["resourceVersion"]
    live.api.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "gw", "namespace": "default"},
            "stringData": {"apiKey": "sk-second"},
        }
    )

    def sent() -> str:
        served(http)
        key: str = dict(live.provider.recorded()[-1]["headers"])["authorization"]
        return key

    try:
        wait_until(lambda: sent() == "Bearer sk-second", lambda: "the new key arrives")
        after = live.api.get("gateway.networking.k8s.io/v1", "HTTPRoute", "gw")["metadata"]["resourceVersion"]
        assert after == before
    finally:
        live.apply(backend("gw"))
        wait_until(lambda: sent() == "Bearer sk-first", lambda: "the old key is back")


def test_priorities_fail_over_to_the_next_backend(live: Live, http: httpx.Client) -> None:
    live.apply(backend("dead", port=7999))
    live.apply(RETRIES)
    refs = "[{name: dead, priority: 0}, {name: gw, priority: 1}]"
    live.apply(route("failover", "gw", {"fails-over": refs}))
    try:
        assert served(http, "fails-over").json()["model"] == "fails-over"
    finally:
        live.api.delete(live.api.get(AIGW, "AIGatewayRoute", "failover"))


def test_a_model_that_nobody_serves_is_a_clear_404(http: httpx.Client) -> None:
    served(http)
    answer = http.post("/v1/chat/completions", json={**CHAT, "model": "unknown"})
    assert answer.status_code == 404
    assert "unknown" in answer.json()["error"]["message"]
