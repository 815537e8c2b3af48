"""The status of a route says when the filter that serves it is gone, and when it is back."""

import signal

from tests.gateway.live.conftest import Live
from tests.gateway.live.worlds import chat_world
from tests.support.controller import condition
from tests.support.waiting import wait_until

PORT = 8930


def test_a_filter_that_is_gone_is_in_the_status_of_its_routes(live: Live) -> None:
    live.apply(chat_world("told", PORT))
    proxy = live.proxy("default/told")

    def programmed() -> dict[str, str]:
        found = live.api.get("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute", "told")
        return condition(found, "Programmed") if found.get("status") else {}

    wait_until(lambda: programmed().get("status") == "True", lambda: str(programmed()))
    live.processes.end(f"{proxy.name}-filter", signal.SIGKILL)
    try:
        wait_until(lambda: programmed().get("status") == "False", lambda: str(programmed()), limit=30)
        assert "no filter of Gateway default/told is connected" in programmed()["message"]
    finally:
        proxy.start_filter()
    wait_until(lambda: programmed().get("status") == "True", lambda: str(programmed()))
