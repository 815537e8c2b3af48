"""The process: hooks before everything else, restarts that nobody notices, an end that gives the Lease back."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.support.apiserver import ApiServer
from tests.support.controller import LIMIT, eventually
from tests.support.controller_world import (
    accepted,
    by_kind,
    documents,
    http_route,
)
from tests.support.envoy import free_port

HEALTH = "/grpc.health.v1.Health/Check"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/envoy-ai-gateway-controller"


class Process:
    """One controller process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

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


async def start(kubeconfig: Path, namespace: str) -> Process:
    port = free_port()
    flags = ("--port", f"127.0.0.1:{port}", "--watchNamespaces", namespace, "--metricsPort", "0")
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "POD_NAMESPACE": namespace}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "extension_server.main", *flags, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    return Process(process, port)


@pytest.fixture
async def controller(cluster: ApiServer, namespace: str) -> AsyncIterator[Process]:
    found = await start(cluster.kubeconfig, namespace)
    yield found
    await found.end()


async def test_the_process_serves_hooks_and_reconciles(
    cluster: ApiServer,
    namespace: str,
    controller: Process,
) -> None:
    assert await controller.healthy() == b"\x08\x01"
    for each in documents(namespace):
        cluster.apply(each)
    await accepted(cluster, namespace, "True")
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
    finally:
        assert await process.end() == 0


async def test_without_a_cluster_the_process_ends_with_1(tmp_path: Path) -> None:
    process = await start(tmp_path / "missing", "default")
    assert await asyncio.wait_for(process.process.wait(), LIMIT) == 1
