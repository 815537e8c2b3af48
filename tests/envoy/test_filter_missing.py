"""What the real Envoy makes of a filter that is not there, is away for a moment, or does not come back.

Whether Envoy waited is read from its statistics, not from the clock.
"""

import concurrent.futures
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.envoy.test_plan_rules import ANSWER, Upstream, upstream
from tests.standalone import files
from tests.support.envoy import RunningEnvoy
from tests.support.patched import Patched
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

CLUSTER = "cluster.ai-gateway-extproc-uds"


class World:
    def __init__(self, patched: Patched, envoy: RunningEnvoy, provider: Upstream, socket: str) -> None:
        self.patched = patched
        self.envoy = envoy
        self.provider = provider
        self.socket = socket

    def ask(self) -> httpx.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        return httpx.post(f"{self.patched.url}/v1/chat/completions", json=body, timeout=30, trust_env=False)

    def stat(self, name: str) -> int:
        (value,) = self.envoy.stats(f"^{CLUSTER}.{name}$").values()
        return value

    def waited(self) -> int:
        """How often Envoy tried again or gave up waiting."""
        return self.stat("upstream_rq_retry") + sum(self.envoy.stats("ext_proc.message_timeouts").values())

    def wait_for_filter(self, there: bool) -> None:
        wait_until(
            lambda: self.stat("membership_healthy") == int(there), lambda: f"Envoy does not see that there={there}"
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Without a filter."""
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(upstream(ANSWER))
        patched = Patched(
            tmp_path,
            files.text(
                files.gateway(),
                files.backend("up", "OpenAI", provider.port),
                files.api_key("up", "key"),
                files.route({"m": [{"name": "up"}]}),
            ),
        )
        socket = str(tmp_path / "s")
        yield World(patched, stack.enter_context(patched.envoy(socket)), provider, socket)


def error(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    assert document["type"] == "error"
    found: dict[str, Any] = document["error"]
    return found


def test_a_missing_filter_is_named_at_once_and_one_that_comes_is_noticed(world: World) -> None:
    answer = world.ask()
    assert answer.status_code == 503
    told = error(answer)
    assert (told["type"], told["code"]) == ("ServiceUnavailable", "filter_missing")
    assert "no filter of the AI gateway runs beside this Envoy" in told["message"]
    assert world.waited() == 0
    with world.patched.filter("--socket", world.socket):
        assert world.provider.seen == []
        world.wait_for_filter(True)
        assert world.ask().status_code == 200


def test_a_filter_that_is_killed_is_waited_for_until_it_is_back(world: World) -> None:
    with world.patched.filter("--socket", world.socket) as first:
        world.wait_for_filter(True)
        assert world.ask().status_code == 200
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(world.ask)
        wait_until(lambda: world.stat("upstream_cx_connect_fail") > 0, lambda: "nobody asks for the filter")
        with world.patched.filter("--socket", world.socket):
            assert answer.result(30).status_code == 200


def test_a_filter_that_does_not_come_back_is_missing_after_a_while(world: World) -> None:
    with world.patched.filter("--socket", world.socket) as first:
        world.wait_for_filter(True)
        assert world.ask().status_code == 200
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    world.provider.seen.clear()
    world.wait_for_filter(False)
    before = world.waited()
    assert error(world.ask())["code"] == "filter_missing"
    assert world.waited() == before
    assert world.provider.seen == []


def test_a_filter_that_is_too_busy_to_answer_is_not_missing(world: World) -> None:
    with world.patched.filter("--socket", world.socket) as filter_:
        world.wait_for_filter(True)
        filter_.process.send_signal(signal.SIGSTOP)
        try:
            before = world.stat("health_check.success")
            wait_until(lambda: world.stat("health_check.success") > before + 1, lambda: "no probe has succeeded")
            assert world.stat("health_check.failure") <= 1
        finally:
            filter_.process.send_signal(signal.SIGCONT)
        assert world.ask().status_code == 200
