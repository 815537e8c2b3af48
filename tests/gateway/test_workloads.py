"""Proxies' Deployments and pods on a real API server: rolled out again, told a new authority."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extension_server.compile.result import ObjectRef
from extension_server.controller.client import KubernetesApi
from extension_server.controller.workloads import DEPLOYMENTS, PODS, Workloads
from extension_server.sidecar import container, mutation
from tests.support.apiserver import ApiServer
from tests.unit.extension_server.sidecar.proxies import LABELS, SETTINGS, proxy

GATEWAY = ObjectRef("Gateway", "default", "gw")
ALWAYS = datetime.min.replace(tzinfo=UTC)


@pytest.fixture
async def client(cluster: ApiServer) -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi(await KubernetesApi.configuration(Path(cluster.kubeconfig))) as api:
        yield api


@pytest.fixture
def proxies(cluster: ApiServer, namespace: str) -> str:
    """A namespace with the Deployment of one proxy, and others that are none of ours."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}
    cluster.create(account)
    for name, labels in (
        ("proxy", LABELS),
        ("web", {"app": "web"}),
        ("limiter", {"app.kubernetes.io/managed-by": "envoy-gateway"}),
    ):
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "envoy", "image": "envoy"}]}}
        cluster.create(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {"selector": {"matchLabels": labels}, "template": template},
            }
        )
    return namespace


async def settled(client: KubernetesApi, namespace: str) -> dict[str, Any]:
    """The proxy's Deployment, as its controller would leave it."""
    found = await client.get(DEPLOYMENTS, namespace, "proxy")
    status = {"observedGeneration": found["metadata"]["generation"], "replicas": 1, "updatedReplicas": 1}
    return await client.patch(DEPLOYMENTS, namespace, "proxy", {"status": status}, part="status")


def annotations(workload: dict[str, Any]) -> dict[str, str]:
    return workload["spec"]["template"]["metadata"].get("annotations") or {}


def following(
    client: KubernetesApi,
    proxies: str,
    wanted: dict[ObjectRef, str],
    *,
    authorities: str | None = None,
    **more: Any,
) -> Workloads:
    """Of one namespace; the webhook was always there."""
    return Workloads(
        client,
        lambda: wanted,
        lambda: authorities,
        lambda: datetime.now(UTC),
        namespaces=(proxies,),
        registered=lambda: ALWAYS,
        **more,
    )


async def test_a_proxy_is_rolled_out_when_routes_come_and_when_they_go(client: KubernetesApi, proxies: str) -> None:
    wanted: dict[ObjectRef, str] = {}
    workloads = following(client, proxies, wanted)
    await settled(client, proxies)
    assert not await workloads.look()
    wanted[GATEWAY] = "hash"
    assert await workloads.look()
    assert annotations(await settled(client, proxies)) == {container.HASH_ANNOTATION: "hash"}
    before = (await client.get(DEPLOYMENTS, proxies, "proxy"))["metadata"]["resourceVersion"]
    assert not await workloads.look()
    assert (await client.get(DEPLOYMENTS, proxies, "proxy"))["metadata"]["resourceVersion"] == before
    wanted.clear()
    assert await workloads.look()
    assert annotations(await settled(client, proxies)) == {}
    for other in ("web", "limiter"):
        assert (await client.get(DEPLOYMENTS, proxies, other))["metadata"]["generation"] == 1


async def test_what_has_changed_is_done_at_once(client: KubernetesApi, proxies: str) -> None:
    wanted: dict[ObjectRef, str] = {}
    since = (await settled(client, proxies))["metadata"]["resourceVersion"]
    workloads = following(client, proxies, wanted, period=3600)

    async def changed() -> None:
        async for event in client.watch(DEPLOYMENTS, proxies, since):
            if event.object["metadata"]["name"] == "proxy" and annotations(event.object):
                return

    task = asyncio.create_task(workloads.run())
    try:
        wanted[GATEWAY] = "hash"
        workloads.wake()
        await asyncio.wait_for(changed(), 30)
    finally:
        task.cancel()


async def test_running_sidecars_are_told_a_new_authority(
    cluster: ApiServer, client: KubernetesApi, proxies: str
) -> None:
    pod = mutation.mutated(
        proxy(serviceAccountName="default", automountServiceAccountToken=False), SETTINGS, None, "old"
    )
    pod["spec"]["containers"][0]["volumeMounts"] = []
    pod["metadata"] |= {"name": "proxy", "namespace": proxies}
    await asyncio.to_thread(cluster.create, pod)
    plain = proxy(serviceAccountName="default", automountServiceAccountToken=False)
    plain["spec"]["containers"][0]["volumeMounts"] = []
    plain["metadata"] |= {"name": "plain", "namespace": proxies}
    await asyncio.to_thread(cluster.create, plain)
    workloads = following(client, proxies, {}, authorities="new")
    await workloads.look()
    assert (await client.get(PODS, proxies, "proxy"))["metadata"]["annotations"][container.CA_ANNOTATION] == "new"
    assert "annotations" not in (await client.get(PODS, proxies, "plain"))["metadata"]
