"""Proxies as Envoy Gateway makes them, for the tests of what is done to them."""

from typing import Any

from extension_server.api.aigateway import GatewayConfig
from extension_server.sidecar.container import Settings

Document = dict[str, Any]

SETTINGS = Settings(image="aigw/ai-gateway-extproc:1.0", config_address="controller.aigw.svc:18003")
LABELS = {
    "app.kubernetes.io/managed-by": "envoy-gateway",
    "gateway.envoyproxy.io/owning-gateway-name": "gw",
    "gateway.envoyproxy.io/owning-gateway-namespace": "default",
}


def proxy(**spec: Any) -> Document:
    envoy = {"name": "envoy", "image": "envoy", "volumeMounts": [{"name": "certs", "mountPath": "/certs"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "envoy-default-gw-", "labels": LABELS},
        "spec": {"containers": [envoy, {"name": "shutdown-manager", "image": "gateway"}], "volumes": [], **spec},
    }


def config(**kubernetes: Any) -> GatewayConfig:
    return GatewayConfig.model_validate(
        {
            "apiVersion": "aigateway.envoyproxy.io/v1beta1",
            "kind": "GatewayConfig",
            "metadata": {"name": "config", "namespace": "default"},
            "spec": {"extProc": {"kubernetes": kubernetes}},
        },
        strict=False,
    )


def workload(annotations: dict[str, str] | None = None, kind: str = "Deployment", **status: Any) -> Document:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "envoy-default-gw", "namespace": "proxies", "labels": LABELS, "generation": 3},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS, "annotations": annotations or {}}},
        },
        "status": {"observedGeneration": 3, "replicas": 1, "updatedReplicas": 1, **status},
    }
