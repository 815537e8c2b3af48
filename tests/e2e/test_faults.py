"""Whatever is missing, nothing reaches the provider that was not mediated, and the client is told.

Mediated means: with the provider's own key, which only the filter puts in, and without the client's.
"""

from typing import Any

import httpx

from tests.e2e import faults, scene
from tests.e2e.scene import Scene

_REFUSED = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)


def unmediated(ai: Scene) -> list[dict[str, Any]]:
    return [each for each in ai.recorded() if scene.header(each, "authorization") != [f"Bearer {scene.KEY}"]]


def test_a_killed_filter_comes_back_and_nothing_passes_without_it(ai: Scene) -> None:
    before = faults.restarts(ai)
    with faults.traffic(ai) as seen:
        scene.until(lambda: seen.served, "there is traffic")
        faults.kill_filters(ai)
        scene.until(lambda: faults.restarts(ai) > before, "the filter was started again")
        ai.wait_until_served()
        served = seen.served
        scene.until(lambda: seen.served > served, "the client is served again")
    assert unmediated(ai) == []
    # Without an answer: its only pod is not ready for a moment, and the Service then takes no connection.
    assert len(seen.broken) < len(seen.answers)
    assert {answer.status_code for answer in seen.refused} <= {500, *_REFUSED}
    assert all(answer.json()["error"]["message"] for answer in seen.refused)


def test_without_the_webhook_pods_have_no_filter_and_serve_nothing(ai: Scene) -> None:
    def pods_without_filter() -> bool:
        pods = ai.pods()
        return bool(pods) and all(
            not faults.filter_states(pod)
            and all(state["ready"] for state in pod["status"].get("containerStatuses", []))
            for pod in pods
        )

    def refused() -> bool:
        try:
            return ai.post().status_code in _REFUSED
        except httpx.HTTPError:
            return False

    with faults.without_webhook(ai):
        faults.replace_pods(ai)
        scene.until(pods_without_filter, "pods without a filter run")
        # Before, kube-proxy may still lead to a pod that is on its way out, with its filter.
        scene.until(refused, "requests are refused")
        assert unmediated(ai) == []
        ai.forget()
        answer = ai.post()
        assert answer.status_code in _REFUSED
        assert answer.json()["error"]["message"]
        assert ai.recorded() == []
    # The controller sees pods without their filter, and has them replaced.
    scene.until(ai.serves, "the controller puts it right", limit=240)
    ai.wait_until_served()
    assert unmediated(ai) == []


def test_without_a_controller_what_runs_goes_on_and_nothing_starts_without_its_filter(ai: Scene) -> None:
    with faults.without_controller(ai):
        with faults.traffic(ai) as seen:
            scene.until(lambda: seen.served > 20, "there is traffic")
        assert seen.refused == []
        assert seen.broken == []
        faults.replace_pods(ai)
        scene.until(lambda: not ai.pods(), "no Envoy starts without its filter")
        scene.until(lambda: "webhook" in _reason(ai), "the Deployment says why")
    ai.wait_until_served()
    assert unmediated(ai) == []


def _reason(ai: Scene) -> str:
    conditions = scene.conditions(ai.deployment())
    return str(conditions.get("ReplicaFailure", {}).get("message", ""))
