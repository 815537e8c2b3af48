"""Whatever is missing or broken: nothing reaches a provider unmediated, and the client is told."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from filters.contract import jsonlib
from tests.gateway.live.conftest import Live
from tests.gateway.live.worlds import CHAT, chat_world
from tests.support import envoy_gateway
from tests.support.envoy_gateway import Proxy
from tests.support.waiting import wait_until

PORT = 8890
CODES = ("not_mediated", "no_configuration", "filter_timeout", "filter_unavailable")
"""docs/errors.md"""


@pytest.fixture(scope="module")
def proxy(live: Live) -> Proxy:
    live.apply(chat_world("closed", PORT, key="sk-closed"))
    return live.proxy("default/closed")


@pytest.fixture
def http(client: Callable[[int], httpx.Client]) -> httpx.Client:
    return client(PORT)


@pytest.fixture(autouse=True)
def whole(live: Live, proxy: Proxy, http: httpx.Client) -> Iterator[None]:
    """Everything works before and after."""
    wait_until(lambda: asked(http) == 200, lambda: f"the route is served\n{answer_of(http)}")
    live.provider.forget()
    yield
    wait_until(lambda: asked(http) == 200, lambda: f"the route is served again\n{answer_of(http)}")


def asked(http: httpx.Client, **headers: str) -> int:
    """Status; 0 when there is no answer."""
    try:
        return http.post("/v1/chat/completions", json=CHAT, headers=headers).status_code
    except httpx.HTTPError:
        return 0


def answer_of(http: httpx.Client) -> str:
    try:
        return http.post("/v1/chat/completions", json=CHAT).text
    except httpx.HTTPError as exc:
        return repr(exc)


def error(http: httpx.Client) -> tuple[int, dict[str, Any]]:
    answer = http.post("/v1/chat/completions", json=CHAT)
    assert answer.headers["content-type"] == "application/json", answer.text
    found: dict[str, Any] = answer.json()["error"]
    assert found["message"]
    assert found["code"] in CODES, found
    return answer.status_code, found


def active_listeners(proxy: Proxy) -> list[Any]:
    """Without those that are being drained."""
    found = jsonlib.decode(proxy.admin("/config_dump?resource=dynamic_listeners").encode(), dict[str, Any])
    return [each.get("active_state") for each in found["configs"]]


def test_without_the_hook_no_ai_route_is_served(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    live.envoy_gateway.stop()
    live.envoy_gateway.start(envoy_gateway.configuration(hooks=False))
    try:
        wait_until(lambda: "ext_proc" not in str(active_listeners(proxy)), lambda: str(active_listeners(proxy))[-4000:])
        status, found = error(http)
        assert status == 503
        assert found["code"] == "not_mediated"
        assert "extension server" in found["message"]
        assert live.provider.recorded() == []
    finally:
        live.envoy_gateway.stop()
        live.envoy_gateway.start()


def test_a_killed_filter_fails_its_requests_and_nothing_passes_by(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    live.processes.end(f"{proxy.name}-filter", signal.SIGKILL)
    try:
        status, _ = error(http)
        assert status in (500, 503, 504)
        assert live.provider.recorded() == []
    finally:
        proxy.start_filter()


def test_a_controller_that_is_away_is_not_noticed_by_clients(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    live.controller.stop(signal.SIGKILL)
    try:
        assert asked(http) == 200
        assert dict(live.provider.recorded()[-1]["headers"])["authorization"] == "Bearer sk-closed"
        # A filter that starts anew has its last good copy.
        live.processes.end(f"{proxy.name}-filter")
        proxy.start_filter()
        wait_until(lambda: asked(http) == 200, lambda: answer_of(http))
    finally:
        live.controller.start()
        live.controller.wait_until_ready()


def test_a_filter_without_any_configuration_says_so(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    live.controller.stop(signal.SIGKILL)
    try:
        live.processes.end(f"{proxy.name}-filter")
        proxy.forget_state()
        proxy.start_filter()
        status, found = error(http)
        assert status == 503
        assert found["code"] == "no_configuration"
        assert live.provider.recorded() == []
        assert not proxy.filter_ready()
    finally:
        live.controller.start()
        live.controller.wait_until_ready()


def test_what_clients_send_as_if_they_were_the_filter_is_ignored(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    route = live.api.get("gateway.networking.k8s.io/v1", "HTTPRoute", "closed")
    tokens = {
        header["value"]
        for rule in route["spec"]["rules"]
        for match in rule.get("matches", ())
        for header in match.get("headers", ())
        if header["name"] == "x-ai-eg-rule"
    }
    assert tokens
    for token in tokens:
        headers = {"x-ai-eg-rule": token, "x-ai-eg-model": "m1", "x-ai-eg-original-path": "/other"}
        answer = http.post("/v1/chat/completions", json={**CHAT, "model": "unknown"}, headers=headers)
        assert answer.status_code == 404
        assert http.get("/anything", headers=headers).status_code in (404, 503)
    assert live.provider.recorded() == []


def test_a_pod_without_the_filter_answers_errors_only(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    proxy.stop()
    admitted = proxy.pod
    bare = {**admitted["spec"], "initContainers": []}
    proxy.pod = {**admitted, "spec": bare}
    proxy.start()
    try:
        wait_until(lambda: asked(http) != 0, lambda: "Envoy listens")
        status, _ = error(http)
        assert status in (500, 503, 504)
        assert live.provider.recorded() == []
    finally:
        proxy.stop()
        proxy.pod = admitted
        proxy.start()


def test_while_the_hooks_are_away_at_a_start_nothing_new_is_published(
    live: Live, proxy: Proxy, http: httpx.Client
) -> None:
    """Envoy Gateway waits for its extension server; what Envoy has goes on, mediated."""
    live.envoy_gateway.stop()
    live.controller.stop(signal.SIGKILL)
    try:
        live.envoy_gateway.start()
        for _ in range(20):
            assert asked(http) == 200
        keys = {dict(request["headers"])["authorization"] for request in live.provider.recorded()}
        assert keys == {"Bearer sk-closed"}
    finally:
        live.controller.start()
        live.controller.wait_until_ready()
