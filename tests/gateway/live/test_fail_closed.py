"""Whatever is missing or broken: nothing reaches a provider unmediated, the client is told, and so is the operator."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from aigw.cli import app
from filters.contract import jsonlib
from tests.gateway.live.conftest import Live
from tests.gateway.live.worlds import CHAT, chat_world
from tests.support import envoy_gateway
from tests.support.controller import condition
from tests.support.envoy_gateway import Proxy
from tests.support.waiting import wait_until

PORT = 8890
TYPES = {
    "not_mediated": "ServiceUnavailable",
    "no_configuration": "ServiceUnavailable",
    "filter_missing": "ServiceUnavailable",
    "filter_timeout": "GatewayTimeout",
    "filter_unavailable": "InternalServerError",
}
"""code (docs/errors.md) → type"""


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
    """Status and error of a request that is refused."""
    answer = http.post("/v1/chat/completions", json=CHAT)
    assert answer.headers["content-type"] == "application/json", answer.text
    document = answer.json()
    found: dict[str, Any] = document["error"]
    assert document == {"type": "error", "error": found}
    assert found["message"]
    assert found["type"] == TYPES[found["code"]]
    return answer.status_code, found


def programmed(live: Live, name: str = "closed") -> dict[str, Any]:
    """The condition of the route."""
    return condition(live.api.get("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute", name), "Programmed")


def told_of_the_gateway(live: Live, name: str = "closed") -> dict[str, str]:
    """Reason → message of the Warning Events on the Gateway."""
    events = live.api.http.get("/api/v1/namespaces/default/events").json()["items"]
    gateway = {"kind": "Gateway", "name": name}
    return {
        each["reason"]: each["message"]
        for each in events
        if each["type"] == "Warning" and gateway.items() <= each["involvedObject"].items()
    }


def wait_for_no_filter_to_be_told(live: Live) -> None:
    """Status and Events name the cause and where to look."""
    wait_until(lambda: programmed(live).get("reason") == "NoFilter", lambda: str(programmed(live)))
    found = programmed(live)
    assert found["status"] == "False"
    assert "no filter of Gateway default/closed is connected, requests are answered with 503" in found["message"]
    assert "container ai-gateway-extproc" in found["message"]
    wait_until(lambda: "NoFilter" in told_of_the_gateway(live), lambda: str(told_of_the_gateway(live)))
    assert "AI routes answer 503" in told_of_the_gateway(live)["NoFilter"]


def wait_until_programmed(live: Live, name: str = "closed") -> None:
    wait_until(lambda: programmed(live, name).get("status") == "True", lambda: str(programmed(live, name)))


def active_listeners(proxy: Proxy) -> list[Any]:
    """Without those that are being drained."""
    found = jsonlib.decode(proxy.admin("/config_dump?resource=dynamic_listeners").encode(), dict[str, Any])
    return [each.get("active_state") for each in found["configs"]]


def doctor(live: Live) -> dict[str, Any]:
    result = CliRunner().invoke(
        app,
        ["doctor", "--kubeconfig", str(live.api.kubeconfig), "--output", "json"],
    )
    return jsonlib.decode(result.stdout.encode(), dict[str, Any])


def test_without_the_hook_no_ai_route_is_served_and_that_is_told(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    """It was configured before, so only the filter notices: no Envoy asks it any more."""
    wait_until_programmed(live)
    proxy.say_ready()
    live.envoy_gateway.stop()
    live.envoy_gateway.start(envoy_gateway.configuration(hooks=False))
    try:
        wait_until(lambda: "ext_proc" not in str(active_listeners(proxy)), lambda: str(active_listeners(proxy))[-4000:])
        status, found = error(http)
        assert status == 503
        assert found["code"] == "not_mediated"
        assert "extension server" in found["message"]
        wait_until(lambda: programmed(live).get("reason") == "NotMediated", lambda: str(programmed(live)))
        assert programmed(live)["status"] == "False"
        assert "no Envoy of Gateway default/closed asks its filter, requests" in programmed(live)["message"]
        assert "check that extensionManager" in programmed(live)["message"]
        wait_until(lambda: "NotMediated" in told_of_the_gateway(live), lambda: str(told_of_the_gateway(live)))
        assert "asks its filter, its AI routes answer 503" in told_of_the_gateway(live)["NotMediated"]
        (gateways,) = (each for each in doctor(live)["checks"] if each["check"] == "gateways")
        assert any("asks its filter" in each["title"] for each in gateways["findings"])
        assert live.provider.recorded() == []
    finally:
        live.envoy_gateway.stop()
        live.envoy_gateway.start()
    wait_until_programmed(live)


def test_a_gateway_that_never_was_mediated_is_not_programmed(live: Live, client: Callable[[int], httpx.Client]) -> None:
    live.envoy_gateway.stop()
    live.envoy_gateway.start(envoy_gateway.configuration(hooks=False))
    http = client(PORT + 1)
    try:
        live.apply(chat_world("unasked", PORT + 1))
        live.proxy("default/unasked")
        wait_until(lambda: asked(http) != 0, "Envoy listens")
        status, found = error(http)
        assert (status, found["code"]) == (503, "not_mediated")
        wait_until(
            lambda: programmed(live, "unasked").get("reason") == "NotMediated",
            lambda: str(programmed(live, "unasked")),
        )
        assert "check that extensionManager" in programmed(live, "unasked")["message"]
        wait_until(
            lambda: "NotMediated" in told_of_the_gateway(live, "unasked"),
            lambda: str(told_of_the_gateway(live, "unasked")),
        )
        assert live.provider.recorded() == []
    finally:
        live.envoy_gateway.stop()
        live.envoy_gateway.start()
    wait_until_programmed(live, "unasked")
    wait_until(lambda: asked(http) == 200, lambda: answer_of(http))


def test_a_killed_filter_fails_its_requests_and_nothing_passes_by(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    """It is waited for as long as a request may wait, then it counts as missing."""
    wait_until_programmed(live)
    live.processes.end(f"{proxy.name}-filter", signal.SIGKILL)
    try:
        status, found = error(http)
        assert (status, found["code"]) in ((504, "filter_timeout"), (503, "filter_missing"))
        wait_until(lambda: error(http)[1]["code"] == "filter_missing", lambda: answer_of(http))
        assert live.provider.recorded() == []
        wait_for_no_filter_to_be_told(live)
    finally:
        proxy.start_filter()
    wait_until_programmed(live)


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
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        answer = http.get("/anything", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_path")
    assert live.provider.recorded() == []


def test_a_pod_without_the_filter_says_so_at_once(live: Live, proxy: Proxy, http: httpx.Client) -> None:
    wait_until_programmed(live)
    proxy.stop()
    admitted = proxy.pod
    bare = {**admitted["spec"], "initContainers": []}
    proxy.pod = {**admitted, "spec": bare}
    proxy.start()
    try:
        wait_until(lambda: asked(http) != 0, "Envoy listens")
        status, found = error(http)
        assert (status, found["code"]) == (503, "filter_missing")
        assert "no filter of the AI gateway runs beside this Envoy" in found["message"]
        assert "the proxy's pod has no filter container" in found["message"]
        # Nobody waited for it.
        stats = proxy.admin("/stats?filter=ai-gateway-extproc-uds.upstream_rq_retry$|ext_proc.message_timeouts")
        assert {line.rpartition(" ")[2] for line in stats.splitlines()} == {"0"}
        assert live.provider.recorded() == []
        wait_for_no_filter_to_be_told(live)
    finally:
        proxy.stop()
        proxy.pod = admitted
        proxy.start()
    wait_until_programmed(live)


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


def test_an_envoy_that_starts_before_the_hooks_answer_listens_to_nobody(
    live: Live, proxy: Proxy, http: httpx.Client
) -> None:
    live.envoy_gateway.stop()
    live.controller.stop(signal.SIGKILL)
    proxy.stop()
    try:
        live.envoy_gateway.start()
        proxy.start()
        ready = httpx.get(f"http://127.0.0.1:{proxy.ports.admin}/ready", trust_env=False)
        assert ready.status_code == 503
        with pytest.raises(httpx.ConnectError):
            http.post("/v1/chat/completions", json=CHAT)
        assert live.provider.recorded() == []
    finally:
        live.controller.start()
        live.controller.wait_until_ready()
