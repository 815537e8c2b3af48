"""Our own previous release gives way to this one, and a newer one to it, while clients go on asking.

The controller comes first, then pod after pod; in between a new controller meets old filters. The other one is this one
with another contract, which is what makes two releases strangers to each other, and the sources of PREVIOUS.
"""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from extension_server.sidecar import container
from filters.contract import push
from tests.gateway.live.conftest import Live
from tests.gateway.live.load import WORKERS, Load, constant, served
from tests.gateway.live.worlds import chat_world, route
from tests.support import reuse_port
from tests.support.controller import condition
from tests.support.envoy_gateway import THIS, Proxy, Release
from tests.support.waiting import wait_until

AIGW = "aigateway.envoyproxy.io/v1beta1"
NAME = "released"
GATEWAY = f"default/{NAME}"
PORT = 8896
NEW_IMAGE: Final = ("--extProcImage", "aigw/ai-gateway-extproc:next")
STRANGERS: Final = {
    "the release before": Release(push.CONTRACT - 1),
    "the release after": Release(push.CONTRACT + 1),
}
PREVIOUS: Final = "e945cd673b"
"""Commit of the release before this one."""
_ROOT: Final = Path(__file__).parents[3]


@pytest.fixture
def refs() -> str:
    return f"[{{name: {NAME}}}]"


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Out of the history."""
    archived = subprocess.run(
        ["git", "-C", str(_ROOT), "archive", PREVIOUS, "aigw", "conformance", "extension_server", "filters"],
        check=False,
        capture_output=True,
    )
    if archived.returncode:
        pytest.skip(f"NOT RUN: the sources of {PREVIOUS} are not here ({archived.stderr.decode().strip()})")
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return Release(source=folder)


@pytest.fixture
def back(live: Live) -> Iterator[None]:
    """The others get the controller that they had."""
    yield
    live.controller.stop()
    live.controller.start()
    live.controller.wait_until_ready()


def pod(live: Live, number: int, release: Release) -> Proxy:
    made = Proxy(live.api, live.processes, live.folder, GATEWAY, number)
    made.release = release
    return made


def programmed(live: Live) -> dict[str, str]:
    return condition(live.api.get(AIGW, "AIGatewayRoute", NAME), "Programmed")


def with_old_pod(live: Live, number: int, old: Release) -> Proxy:
    """Everything is of the old release and serves."""
    live.controller.stop()
    live.controller.start(release=old)
    live.controller.wait_until_ready()
    live.apply(chat_world(NAME, PORT))
    first = pod(live, number, old)
    live.envoy_gateway.wait(first.workload, f"a Deployment for {GATEWAY}")
    wait_until(first.roll_out, lambda: live.controller.log()[-3000:])
    first.start()
    wait_until(first.filter_ready, lambda: live.processes.log(f"{first.name}-filter")[-3000:])
    return first


def rolled_out(live: Live, load: Load, before: Proxy, after: Proxy) -> None:
    """A pod of the new release takes the place of one of the old."""
    stale = before.pod["metadata"]["annotations"][container.HASH_ANNOTATION]

    def asked_for() -> bool:
        workload = after.workload()
        assert workload is not None
        annotations: dict[str, str] = workload["spec"]["template"]["metadata"]["annotations"]
        return after.roll_out() and annotations[container.HASH_ANNOTATION] != stale

    wait_until(asked_for, lambda: f"the Deployment asks for the new filter\n{live.controller.log()[-3000:]}")
    reuse_port.prefer(before.envoy_pid, PORT, 0)
    after.start()
    wait_until(after.filter_ready, lambda: live.processes.log(f"{after.name}-filter")[-3000:])
    wait_until(lambda: f":{PORT}" in after.admin("/listeners"), load.told)
    reuse_port.prefer(before.envoy_pid, PORT, 1)
    before.drain()
    load.more()


@pytest.mark.usefixtures("back")
@pytest.mark.parametrize("which", STRANGERS)
def test_an_old_filter_serves_on_until_the_rollout_replaces_it(live: Live, refs: str, which: str) -> None:
    number = 40 + 2 * list(STRANGERS).index(which)
    first = with_old_pod(live, number, STRANGERS[which])
    with constant(PORT, lambda: served(PORT), lambda: live.controller.log()[-3000:]) as load:
        load.more()
        live.controller.stop()
        load.more()
        live.controller.start(*NEW_IMAGE, release=THIS)
        live.controller.wait_until_ready()
        live.apply(route(NAME, NAME, {"m1": refs, "since-then": refs}))
        wait_until(lambda: programmed(live)["reason"] == "FilterRefuses", lambda: str(programmed(live)))
        assert "does not understand this controller's configuration" in programmed(live)["message"]
        load.more()
        assert not served(PORT, "since-then")
        second = pod(live, number + 1, THIS)
        rolled_out(live, load, first, second)
        wait_until(lambda: served(PORT, "since-then"), lambda: live.controller.log()[-3000:])
        wait_until(lambda: programmed(live)["status"] == "True", lambda: str(programmed(live)))
        load.models = ("m1", "since-then")
        load.more()
        assert not load.failures, load.told()
    second.stop()
    live.api.delete(second.pod)


@pytest.mark.usefixtures("back")
def test_the_previous_release_gives_way_to_this_one(live: Live, refs: str, previous: Release) -> None:
    first = with_old_pod(live, 60, previous)
    with constant(PORT, lambda: served(PORT), lambda: live.controller.log()[-3000:]) as load:
        load.more()
        live.controller.stop()
        load.more()
        live.controller.start(*NEW_IMAGE)
        live.controller.wait_until_ready()
        live.apply(route(NAME, NAME, {"m1": refs, "since-then": refs}))
        load.more()
        second = pod(live, 61, THIS)
        rolled_out(live, load, first, second)
        wait_until(lambda: served(PORT, "since-then"), lambda: live.controller.log()[-3000:])
        wait_until(lambda: programmed(live)["status"] == "True", lambda: str(programmed(live)))
        load.models = ("m1", "since-then")
        load.more()
        # When a release describes Envoy's way to the filter differently, Envoy ends what is on it (docs/operations.md).
        assert {each.code for each in load.failures} <= {"filter_unavailable", "cut"}, load.told()
        assert len(load.failures) <= WORKERS, load.told()
    second.stop()
    live.api.delete(second.pod)
