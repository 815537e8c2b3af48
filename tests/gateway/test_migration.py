"""What an earlier controller of these kinds left in the cluster: taken over, let go, or left alone."""

from copy import deepcopy
from typing import Any

import pytest

from tests.support.apiserver import ApiServer
from tests.support.controller import condition, running
from tests.support.controller_world import AIGW, EG, GW, accepted, by_kind, documents, get, http_route, route
from tests.support.waiting import eventually

FINALIZER = "aigateway.envoyproxy.io/finalizer"


def left_over(owner: dict[str, Any], namespace: str) -> dict[str, Any]:
    """An HTTPRoute as earlier controllers generated it: no token, and not one of our fields."""
    return {
        "apiVersion": GW,
        "kind": "HTTPRoute",
        "metadata": {
            "name": "chat",
            "namespace": namespace,
            "annotations": {"gateway.envoyproxy.io/ai-gateway-generated": "true"},
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": "AIGatewayRoute",
                    "name": "chat",
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "parentRefs": [{"name": "edge"}],
            "hostnames": ["old.example.com"],
            "rules": [
                {
                    "matches": [
                        {
                            "path": {"type": "PathPrefix", "value": "/"},
                            "headers": [{"name": "x-ai-eg-model", "value": "m1"}],
                        }
                    ],
                    "timeouts": {"request": "5s"},
                    "backendRefs": [{"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "provider"}],
                }
            ],
        },
    }


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
async def test_generated_routes_of_an_earlier_controller_become_ours(
    cluster: ApiServer, namespace: str, version: str
) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    owner = deepcopy(route(cluster, namespace))
    owner["apiVersion"] = f"aigateway.envoyproxy.io/{version}"
    old = cluster.apply(left_over(owner, namespace), manager="earlier").object
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        await accepted(cluster, namespace, "True")
        found = http_route(cluster, namespace)
        assert found["metadata"]["uid"] == old["metadata"]["uid"]
        assert "hostnames" not in found["spec"]
        rule = found["spec"]["rules"][0]
        assert "x-ai-eg-rule" in {header["name"] for header in rule["matches"][0]["headers"]}
        assert rule["timeouts"] != {"request": "5s"}


async def test_every_kind_with_an_earlier_finalizer_can_be_deleted(cluster: ApiServer, namespace: str) -> None:
    kinds = ("AIGatewayRoute", "AIServiceBackend", "BackendSecurityPolicy")
    world = by_kind(namespace)
    for each in world.values():
        if each["kind"] in kinds:
            each["metadata"]["finalizers"] = [FINALIZER]
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        for kind in kinds:
            cluster.delete(world[kind])
        for kind in kinds:
            name = world[kind]["metadata"]["name"]
            await eventually(lambda kind=kind, name=name: not get(cluster, AIGW, kind, name, namespace), kind)


async def test_the_status_of_an_earlier_controller_is_replaced(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    stale = {
        "type": "NotAccepted",
        "status": "False",
        "reason": "ReconciliationFailed",
        "message": "of another time",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    url = f"{cluster.path({'apiVersion': AIGW, 'kind': 'AIGatewayRoute', 'metadata': {'namespace': namespace}})}/chat"
    content = {"status": {"conditions": [stale]}}
    headers = {"content-type": "application/merge-patch+json"}
    assert cluster.http.patch(f"{url}/status", json=content, headers=headers).is_success
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        await accepted(cluster, namespace, "True")
        assert condition(route(cluster, namespace), "NotAccepted") == {}
        assert get(cluster, EG, "HTTPRouteFilter", "ai-eg-host-rewrite-chat", namespace)
