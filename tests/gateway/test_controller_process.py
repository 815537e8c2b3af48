"""The process: hooks before everything else, restarts that nobody notices, an end that gives the Lease back."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest

from extension_server.compile.result import ObjectRef
from extension_server.controller.gateway_notes import TRANSLATE_ANNOTATION
from tests.support.apiserver import ApiServer
from tests.support.controller import running
from tests.support.controller_world import (
    accepted,
    by_kind,
    documents,
    http_route,
)
from tests.support.envoy import free_port
from tests.support.waiting import LIMIT, eventually

HEALTH = "/grpc.health.v1.Health/Check"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/envoy-ai-gateway-controller"


class Process:
    """One controller process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, metrics_port: int) -> None:
        self.process = process
        self.port = port
        self._admin = f"http://127.0.0.1:{metrics_port}"

    def get(self, path: str) -> httpx.Response | None:
        """Of the metrics port; None while it is not listened on."""
        try:
            return httpx.get(f"{self._admin}{path}")
        except httpx.TransportError:
            return None

    def readiness(self) -> tuple[int, str]:
        answer = self.get("/readyz")
        return (answer.status_code, answer.text.strip()) if answer is not None else (0, "")

    async def healthy(self) -> bytes:
        """Waits until the hooks answer."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            call = channel.unary_unary(HEALTH, request_serializer=None, response_deserializer=None)
            answer: bytes = await call(b"", wait_for_ready=True, timeout=LIMIT)
            return answer

    async def end(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), LIMIT)


async def start(kubeconfig: Path, namespace: str, *more: str) -> Process:
    port, metrics_port = free_port(), free_port()
    listens = ("--port", f"127.0.0.1:{port}", "--metricsPort", str(metrics_port), "--webhookPort", "0")
    flags = (*listens, "--configPort", "0", "--watchNamespaces", namespace, *more)
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": namespace}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "extension_server.main", *flags, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    return Process(process, port, metrics_port)


@pytest.fixture
async def controller(cluster: ApiServer, namespace: str) -> AsyncIterator[Process]:
    found = await start(cluster.kubeconfig, namespace)
    yield found
    await found.end()


async def test_a_replica_that_is_told_to_end_takes_calls_for_a_while(cluster: ApiServer, namespace: str) -> None:
    def holder() -> object:
        answer = cluster.http.get(LEASE.format(namespace))
        return answer.json()["spec"].get("holderIdentity", "") if answer.status_code == 200 else None

    controller = await start(cluster.kubeconfig, namespace, "--shutdownDelay=10m")
    try:
        await eventually(lambda: holder(), "leads")
        controller.process.send_signal(signal.SIGTERM)
        await eventually(lambda: holder() == "", "the Lease given back")
        assert await controller.healthy() == b"\x08\x01"
    finally:
        # Once more: at once.
        assert await controller.end() == 0


async def test_the_process_serves_hooks_and_reconciles(
    cluster: ApiServer,
    namespace: str,
    controller: Process,
) -> None:
    assert await controller.healthy() == b"\x08\x01"
    for each in documents(namespace):
        cluster.apply(each)
    await accepted(cluster, namespace, "True")
    await eventually(lambda: controller.readiness() == (200, "ok"), "ready")
    metrics = controller.get("/metrics")
    assert metrics is not None
    for name in ("aigw_ready 1.0", "aigw_leader 1.0", "aigw_certificate_expiry_timestamp_seconds "):
        assert name in metrics.text
    token = http_route(cluster, namespace)["spec"]["rules"][0]["matches"][0]["headers"][0]["value"]
    assert await controller.end() == 0
    lease = cluster.http.get(LEASE.format(namespace)).json()
    assert lease["spec"].get("holderIdentity", "") == ""

    before = http_route(cluster, namespace)["metadata"]["resourceVersion"]
    again = await start(cluster.kubeconfig, namespace)
    try:
        second = by_kind(namespace)["AIGatewayRoute"]
        second["metadata"]["name"] = "second"
        cluster.apply(second)
        await eventually(lambda: http_route(cluster, namespace, "second"))
    finally:
        assert await again.end() == 0
    kept = http_route(cluster, namespace)
    assert kept["metadata"]["resourceVersion"] == before
    assert kept["spec"]["rules"][0]["matches"][0]["headers"][0]["value"] == token


async def test_hooks_are_served_while_the_api_server_is_away(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        f"""
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{free_port()}"}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {{}}}}]
"""
    )
    process = await start(kubeconfig, "default")
    try:
        assert await process.healthy() == b"\x08\x01"
        assert process.process.returncode is None
        await eventually(lambda: process.readiness() == (503, "the API server has not been reached yet"))
    finally:
        assert await process.end() == 0


async def test_a_translation_before_anything_is_known_is_made_up_for(cluster: ApiServer, namespace: str) -> None:
    """It is turned away, and Envoy Gateway is made to translate the Gateway again."""
    async with running(cluster.kubeconfig, [namespace]) as controller:
        gateway = ObjectRef("Gateway", namespace, "edge")
        controller.controller.unanswered(gateway)
        await controller.idle()
        assert controller.writes == []
        for each in documents(namespace):
            cluster.apply(each)
        path = cluster.path(by_kind(namespace)["Gateway"])
        await eventually(
            lambda: TRANSLATE_ANNOTATION in cluster.http.get(f"{path}/edge").json()["metadata"].get("annotations", {}),
            "asked to translate again",
        )
        controller.controller.observed(gateway, (), ())
        await controller.idle()
        assert sum("patch Gateway" in each for each in controller.writes) == 1


async def test_without_a_cluster_the_process_ends_with_1(tmp_path: Path) -> None:
    process = await start(tmp_path / "missing", "default")
    assert await asyncio.wait_for(process.process.wait(), LIMIT) == 1
