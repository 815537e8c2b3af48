"""What is restarted, changed and replaced while clients go on asking: no request fails."""

import signal
from collections.abc import Iterator

import pytest

from extension_server.controller.gateway_notes import TRANSLATE_ANNOTATION
from tests.gateway.live.conftest import Live
from tests.gateway.live.load import WORKERS, Load, constant, served
from tests.gateway.live.test_hooks import translations
from tests.gateway.live.worlds import backend, chat_world, route
from tests.support import reuse_port
from tests.support.envoy_gateway import Proxy
from tests.support.waiting import wait_until

NAME = "steady"
PORT = 8894
CHANGES = 200
MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def proxy(live: Live) -> Proxy:
    live.apply(chat_world(NAME, PORT))
    return live.proxy(f"default/{NAME}")


@pytest.fixture
def load(live: Live, proxy: Proxy) -> Iterator[Load]:
    live.provider.forget()
    with constant(PORT, lambda: served(PORT), lambda: live.controller.log()[-3000:]) as made:
        made.more()
        yield made
        live.provider.forget()


def translate(live: Live, value: str) -> None:
    """Makes Envoy Gateway call the hooks."""
    before = translations()
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/{NAME}"
    patch = {"metadata": {"annotations": {TRANSLATE_ANNOTATION: value}}}
    assert live.api.http.patch(path, json=patch, headers=MERGE).is_success
    wait_until(lambda: translations() > before, lambda: "Envoy Gateway translates")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_request_fails_while_the_controller_and_its_hooks_start_anew(
    live: Live, load: Load, how: signal.Signals
) -> None:
    for number in range(2):
        live.controller.stop(how)
        load.more()
        live.controller.start()
        live.controller.wait_until_ready()
        load.more()
        translate(live, f"{how.name}-{number}")
        load.more()
    assert not load.failures, load.told()


def test_no_request_fails_while_envoy_gateway_and_the_controller_start_anew(live: Live, load: Load) -> None:
    live.envoy_gateway.stop()
    load.more()
    live.controller.stop(signal.SIGKILL)
    load.more()
    live.envoy_gateway.start()
    load.more()
    live.controller.start()
    live.controller.wait_until_ready()
    load.more()
    translate(live, "both")
    load.more()
    assert not load.failures, load.told()


def test_no_request_fails_while_routes_change_200_times(live: Live, load: Load) -> None:
    """Rules come and go in the route that is asked, and other routes come and go beside it."""
    asked = f"[{{name: {NAME}}}]"
    for number in range(CHANGES // 4):
        live.apply(route(NAME, NAME, {"m1": asked, f"extra-{number}": asked}))
        live.apply(route("beside", NAME, {f"beside-{number}": asked}))
        live.apply(route(NAME, NAME, {f"first-{number}": asked, "m1": asked}))
        live.apply(route(NAME, NAME, {"m1": asked}))
        load.some(8)
    live.apply(route("beside", NAME, {"the-last": asked}))
    wait_until(lambda: served(PORT, "the-last"), lambda: live.controller.log()[-3000:])
    load.more()
    assert not load.failures, load.told()


def test_no_request_fails_while_the_backend_in_use_and_its_key_change(live: Live, load: Load) -> None:
    path = f"/apis/aigateway.envoyproxy.io/v1beta1/namespaces/default/aiservicebackends/{NAME}"

    def recent() -> list[dict[str, str]]:
        return [dict(each["headers"]) for each in live.provider.recorded()[-8:]]

    for number in range(10):
        mutation = {"spec": {"headerMutation": {"set": [{"name": "x-state", "value": str(number)}]}}}
        assert live.api.http.patch(path, json=mutation, headers=MERGE).is_success
        live.api.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": NAME, "namespace": "default"},
                "stringData": {"apiKey": f"sk-{number}"},
            }
        )
        wanted = {"x-state": str(number), "authorization": f"Bearer sk-{number}"}
        wait_until(
            lambda w=wanted: any(w.items() <= each.items() for each in recent()),  # type: ignore[misc]
            load.told,
        )
        live.provider.forget()
    live.apply(backend(NAME))
    load.more()
    assert not load.failures, load.told()


def test_no_request_fails_while_a_pod_takes_the_place_of_another(live: Live, proxy: Proxy, load: Load) -> None:
    for number in range(2):
        before = live.proxies[f"default/{NAME}"]
        after = Proxy(live.api, live.processes, live.folder, f"default/{NAME}", 20 + number)
        # Until it is ready it is no endpoint.
        reuse_port.prefer(before.envoy_pid, PORT, 0)
        after.start()
        wait_until(after.filter_ready, lambda a=after: live.processes.log(f"{a.name}-filter")[-3000:])  # type: ignore[misc]
        wait_until(lambda a=after: f":{PORT}" in a.admin("/listeners"), load.told)  # type: ignore[misc]
        live.proxies[f"default/{NAME}"] = after
        reuse_port.prefer(before.envoy_pid, PORT, 1)
        load.more()
        before.drain()
        assert after.connections() > 0
        load.more()
    assert not load.failures, load.told()


def filter_starts_anew(live: Live, load: Load, how: signal.Signals, times: int) -> None:
    proxy = live.proxy(f"default/{NAME}")
    for _ in range(times):
        live.processes.end(f"{proxy.name}-filter", how)
        proxy.start_filter()
        wait_until(proxy.filter_ready, lambda: live.processes.log(f"{proxy.name}-filter")[-3000:])
        load.more()


def test_no_request_fails_while_the_filter_is_restarted_beside_its_envoy(live: Live, load: Load) -> None:
    filter_starts_anew(live, load, signal.SIGTERM, 2)
    assert not load.failures, load.told()


def test_a_killed_filter_fails_at_most_what_it_held(live: Live, load: Load) -> None:
    """Requests that come while it is away wait for the next one."""
    times = 5
    filter_starts_anew(live, load, signal.SIGKILL, times)
    assert len(load.failures) <= times * WORKERS, load.told()
    assert {each.code for each in load.failures} <= {"filter_unavailable", "cut"}, load.told()
