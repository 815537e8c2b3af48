"""Nothing is lost when the API server goes away, or the controller does in the middle of its work."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.support import apiserver, envoy_gateway_crds
from tests.support.apiserver import ApiServer
from tests.support.controller import CLASS_CONTROLLER, running
from tests.support.controller_world import FOREIGN, GW, by_kind, documents, http_route, route
from tests.support.waiting import eventually, wait_until

NAMESPACE = "default"


@pytest.fixture
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server of this test alone."""
    if names := apiserver.missing():
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    foreign = envoy_gateway_crds.write(tmp_path_factory.mktemp("crds") / "foreign.yaml", *FOREIGN)
    with apiserver.running_apiserver(crds=[apiserver.CRDS, foreign]) as api:
        api.apply(
            {
                "apiVersion": GW,
                "kind": "GatewayClass",
                "metadata": {"name": "envoy"},
                "spec": {"controllerName": CLASS_CONTROLLER},
            }
        )
        yield api


def wait_until_ready(api: ApiServer) -> None:
    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return api.http.get("/readyz").is_success
        return False

    wait_until(ready, api.log)


def start_again(server: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(server.args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def test_updates_during_an_outage_are_not_lost(mortal: ApiServer) -> None:
    for each in documents(NAMESPACE):
        mortal.apply(each)
    async with running(mortal.kubeconfig, [NAMESPACE]) as controller:
        await controller.leading()
        server = mortal.processes[1]
        server.kill()
        await asyncio.to_thread(server.wait)
        restarted = await asyncio.to_thread(start_again, server)
        try:
            await asyncio.to_thread(wait_until_ready, mortal)
            # Before the watches are back: what they miss comes with their resource version, or with a new list.
            changed = by_kind(NAMESPACE)["AIGatewayRoute"]
            changed["spec"]["hostnames"] = ["after.example.com"]
            mortal.apply(changed)
            other = by_kind(NAMESPACE)["AIGatewayRoute"]
            other["metadata"]["name"] = "second"
            mortal.apply(other)
            mortal.delete(by_kind(NAMESPACE)["BackendSecurityPolicy"])
            await eventually(lambda: http_route(mortal, NAMESPACE)["spec"].get("hostnames") == ["after.example.com"])
            await eventually(lambda: http_route(mortal, NAMESPACE, "second"))
            await eventually(
                lambda: all(
                    not backend.credential
                    for each in controller.sink.compiled.values()
                    for backend in each.filter_config.backends
                )
            )
        finally:
            restarted.kill()
            restarted.wait()


async def test_a_controller_that_dies_in_the_middle_is_continued(mortal: ApiServer) -> None:
    for each in documents(NAMESPACE):
        mortal.apply(each)
    for number in range(40):
        more = by_kind(NAMESPACE)["AIGatewayRoute"]
        more["metadata"]["name"] = f"route-{number}"
        mortal.apply(more)
    async with running(mortal.kubeconfig, [NAMESPACE]) as first:
        await eventually(lambda: len(first.writes) > 20)
    assert len(first.writes) < 40 * 4
    mortal.delete(by_kind(NAMESPACE)["AIGatewayRoute"])
    async with running(mortal.kubeconfig, [NAMESPACE]) as second:
        await second.leading()
        await eventually(lambda: all(http_route(mortal, NAMESPACE, f"route-{number}") for number in range(40)))
        await eventually(lambda: not http_route(mortal, NAMESPACE))
        await second.idle()
        applied = [write for write in (*first.writes, *second.writes) if write.startswith("apply")]
        assert len(applied) - len(set(applied)) <= 8, "only what was in flight is applied again"
    assert route(mortal, NAMESPACE, "route-0")["status"]["conditions"]
