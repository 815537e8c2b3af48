"""The controller with the rights that the chart gives it, on a real API server that checks them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from extension_server.sidecar.container import HASH_ANNOTATION
from filters.contract import jsonlib
from tests.support import helm
from tests.support.apiserver import ApiServer
from tests.support.controller_world import accepted, documents, get, http_route, route
from tests.support.envoy import free_port
from tests.support.waiting import LIMIT, eventually

pytestmark = pytest.mark.skipif(bool(helm.missing()), reason="not run: helm not built (`make tools`)")

ACCOUNT = "ai-gateway-controller"
CLASS = "example.com/rights"
"""of GatewayClasses that no other controller on this API server serves"""


def install(cluster: ApiServer, namespace: str, values: Mapping[str, Any]) -> list[str]:
    """Applies the release, and returns the controller's flags."""
    settings = {**values, "controller.gatewayControllerName": CLASS, "envoyGateway.namespace": f"{namespace}-eg"}
    rendered = helm.documents(helm.text("ai-gateway-helm", settings, namespace=namespace))
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{namespace}-eg"}})
    for document in rendered:
        if document["kind"] == "Deployment":
            arguments: list[str] = document["spec"]["template"]["spec"]["containers"][0]["args"]
        else:
            cluster.apply(document)
    return arguments


def uninstall(cluster: ApiServer, namespace: str) -> None:
    """What is in no namespace."""
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/envoy-ai-gateway-gateway-pod-mutator."
    assert cluster.http.delete(path + namespace).is_success


def kubeconfig(cluster: ApiServer, namespace: str, target: Path) -> Path:
    """Of the controller's service account."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{ACCOUNT}/token"
    answer = cluster.http.post(path, json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})
    answer.raise_for_status()
    found = yaml.safe_load(cluster.kubeconfig.read_text())
    found["users"][0]["user"] = {"token": answer.json()["status"]["token"]}
    target.write_text(yaml.safe_dump(found))
    return target


@contextlib.asynccontextmanager
async def controller(arguments: list[str], namespace: str, config: Path, log: Path) -> AsyncIterator[int]:
    """The process as the chart starts it, on free ports; its port of probes."""
    port = free_port()
    own = ("--port=127.0.0.1:0", "--webhookPort=0", "--configPort=0", f"--metricsPort={port}")
    environment = {**os.environ, "KUBECONFIG": str(config), "POD_NAMESPACE": namespace}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "extension_server.main", *arguments, *own, env=environment, stderr=output
        )
    try:
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        assert await asyncio.wait_for(process.wait(), LIMIT) == 0


def world(namespace: str) -> list[dict[str, Any]]:
    found = documents(namespace)
    for each in found:
        if each["kind"] == "Gateway":
            each["spec"]["gatewayClassName"] = "rights"
    labels = {
        "app.kubernetes.io/managed-by": "envoy-gateway",
        "gateway.envoyproxy.io/owning-gateway-name": "edge",
        "gateway.envoyproxy.io/owning-gateway-namespace": namespace,
    }
    proxy = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "envoy-edge", "namespace": f"{namespace}-eg", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "envoy", "image": "envoy"}]},
            },
        },
        "status": {},
    }
    return [*found, proxy]


@pytest.mark.parametrize("namespaced", [False, True], ids=["everywhere", "some namespaces"])
async def test_the_controller_can_do_its_work_with_these_rights(
    cluster: ApiServer, namespace: str, tmp_path: Path, namespaced: bool
) -> None:
    gateway_class = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "rights"},
        "spec": {"controllerName": CLASS},
    }
    cluster.apply(gateway_class)
    arguments = install(cluster, namespace, {"controller.watch.namespaces": [namespace] if namespaced else []})
    for document in world(namespace):
        cluster.apply(document)
    log = tmp_path / "log"
    config = kubeconfig(cluster, namespace, tmp_path / "config")
    try:
        async with controller(arguments, namespace, config, log) as port:
            await accepted(cluster, namespace, "True")
            assert http_route(cluster, namespace)
            await eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/readyz").is_success, "ready")

            def deployment() -> dict[str, Any]:
                return get(cluster, "apps/v1", "Deployment", "envoy-edge", f"{namespace}-eg")

            def marked() -> bool:
                metadata = deployment()["spec"]["template"]["metadata"]
                return HASH_ANNOTATION in metadata.get("annotations", {})

            # The status is a Deployment controller's, which is not there. A patch: ours may write at the same time.
            status = {"status": {"observedGeneration": deployment()["metadata"]["generation"]}}
            cluster.http.patch(
                f"/apis/apps/v1/namespaces/{namespace}-eg/deployments/envoy-edge/status",
                content=jsonlib.encode(status),
                headers={"content-type": "application/merge-patch+json"},
            ).raise_for_status()
            await eventually(marked, "the Deployment of the proxy is marked")

            name = f"envoy-ai-gateway-gateway-pod-mutator.{namespace}"

            def told() -> bool:
                kind = "MutatingWebhookConfiguration"
                hooks = cluster.get("admissionregistration.k8s.io/v1", kind, name)["webhooks"]
                return all(hook["clientConfig"].get("caBundle") for hook in hooks)

            await eventually(told, "the API server knows the authority")
            assert get(cluster, "v1", "Secret", "self-signed-cert-for-mutating-webhook", namespace)
            cluster.delete(route(cluster, namespace))
            await eventually(lambda: not route(cluster, namespace), "the route is gone")
    finally:
        uninstall(cluster, namespace)
        cluster.delete(gateway_class)
    assert [line for line in log.read_text().splitlines() if "orbidden" in line] == []


def may(config: Path, cluster: ApiServer, namespace: str, verb: str, what: str, name: str = "") -> bool:
    resource, _, group = what.partition(".")
    resource, _, part = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": part}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**attributes, "name": name}},
    }
    token = yaml.safe_load(config.read_text())["users"][0]["user"]["token"]
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = cluster.http.post(path, json=review, headers={"authorization": f"Bearer {token}"})
    answer.raise_for_status()
    return bool(answer.json()["status"]["allowed"])


def test_rights_end_at_the_namespaces_that_are_watched(cluster: ApiServer, namespace: str, tmp_path: Path) -> None:
    install(cluster, namespace, {"controller.watch.namespaces": [f"{namespace}-eg"]})
    config = kubeconfig(cluster, namespace, tmp_path / "config")
    own, team, other = namespace, f"{namespace}-eg", "default"
    hooks = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
    try:
        for verb, what, where, allowed in (
            ("create", "tokenreviews.authentication.k8s.io", "", True),
            ("get", "pods", team, True),
            ("get", "pods", other, False),
            ("list", "secrets", team, True),
            ("list", "secrets", other, False),
            ("list", "secrets", "", False),
            ("create", "secrets", own, True),
            ("create", "secrets", team, False),
            ("delete", "secrets", own, False),
            ("create", "pods", team, False),
            ("create", "events", team, True),
            ("update", "leases.coordination.k8s.io", own, True),
            ("update", "leases.coordination.k8s.io", other, False),
            ("patch", "aigatewayroutes/status.aigateway.envoyproxy.io", team, True),
            ("delete", "aigatewayroutes.aigateway.envoyproxy.io", team, False),
            ("delete", "httproutes.gateway.networking.k8s.io", other, False),
            ("update", hooks, "", False),
        ):
            assert may(config, cluster, where, verb, what) is allowed, (verb, what, where)
        assert may(config, cluster, "", "update", hooks, f"envoy-ai-gateway-gateway-pod-mutator.{namespace}")
    finally:
        uninstall(cluster, namespace)
