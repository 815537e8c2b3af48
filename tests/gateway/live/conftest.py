"""Tests with a real Envoy Gateway: they run inside `tests.support.isolation`, where all ports are theirs."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hack.lab import envoy_gateway as releases
from hack.tools import build
from tests.support import apiserver, envoy_gateway, helm, isolation
from tests.support.apiserver import ApiServer, running_apiserver
from tests.support.envoy_gateway import Controller, EnvoyGateway, Processes, Provider, Proxy
from tests.support.waiting import wait_until

TOOLS = (*apiserver.TOOLS, *helm.TOOLS, "envoy-gateway-1.8", "envoy-gateway-1.9")
HOST = f"ai-gateway-controller.{envoy_gateway.OWN_NAMESPACE}.svc"
"""of the controller, as its certificate has it"""
OWN = """
apiVersion: v1
kind: Namespace
metadata: {name: envoy-gateway-system}
---
apiVersion: v1
kind: Namespace
metadata: {name: envoy-ai-gateway-system}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
"""


def why_not() -> str:
    """Why these tests cannot run here; empty when they can."""
    if not isolation.isolated():
        return "needs namespaces of its own; run `make test-gateway`"
    if names := build.missing(TOOLS):
        return f"{', '.join(names)} not built; run `make tools`"
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=f"NOT RUN: {reason}"))


@dataclass
class Live:
    """A cluster of processes. Nothing is in it but Envoy Gateway, our controller, and one provider."""

    api: ApiServer
    processes: Processes
    folder: Path
    envoy_gateway: EnvoyGateway
    controller: Controller
    provider: Provider
    proxies: dict[str, Proxy] = dataclasses.field(default_factory=dict)

    def apply(self, text: str, namespace: str = "default") -> None:
        for each in yaml.safe_load_all(text):
            if each:
                each["metadata"].setdefault("namespace", namespace)
                self.api.apply(each)

    def proxy(self, gateway: str) -> Proxy:
        """The proxy of `<namespace>/<name>`, started when it was not."""
        if gateway not in self.proxies:
            made = Proxy(self.api, self.processes, self.folder, gateway, len(self.proxies))
            self.envoy_gateway.wait(made.workload, f"a Deployment for {gateway}")
            wait_until(made.roll_out, lambda: f"{gateway} is to have the filter\n{self.controller.log()[-3000:]}")
            made.start()
            self.proxies[gateway] = made
        return self.proxies[gateway]


@contextlib.contextmanager
def running(folder: Path, tool: str, document: dict[str, Any] | None = None) -> Iterator[Live]:
    release = next(each for each in releases.RELEASES.values() if each.tool == tool)
    processes = Processes(folder)
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(running_apiserver(crds=[apiserver.CRDS, *releases.definitions(release)]))
        stack.callback(processes.end_all)
        for each in yaml.safe_load_all(OWN):
            api.apply(each)
        api.apply(helm.webhook(f"{HOST}:{envoy_gateway.WEBHOOK_PORT}"))
        recorder = stack.enter_context(envoy_gateway.provider(processes, 7000))
        controller, gateway = Controller(api, processes), EnvoyGateway(api, processes, folder, tool)
        controller.start()
        controller.wait_until_ready()
        gateway.start(document)
        yield Live(api, processes, folder, gateway, controller, recorder)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Envoy Gateway 1.8."""
    with running(tmp_path_factory.mktemp("live"), "envoy-gateway-1.8") as found:
        yield found


@pytest.fixture
def client() -> Iterator[Callable[[int], httpx.Client]]:
    """HTTP clients by port of a listener."""
    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
        )
