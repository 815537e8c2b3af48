"""A proxy pod, as Envoy Gateway makes it → the JSON patch that adds the filter. Pure; nothing to add, no patch.

Whatever is there already by our names is taken away first: a second pass over the same pod changes nothing, and nobody
can put a container of their own in the filter's place.
"""

from typing import Any, Final

from extension_server.api.aigateway import GatewayConfig
from extension_server.compile.result import ObjectRef
from extension_server.sidecar import container
from extension_server.sidecar.container import Document, Settings

OWNER_NAME: Final = "gateway.envoyproxy.io/owning-gateway-name"
OWNER_NAMESPACE: Final = "gateway.envoyproxy.io/owning-gateway-namespace"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "envoy-gateway"


def gateway_of(metadata: Document) -> ObjectRef | None:
    """The Gateway whose proxy it is, by the labels of Envoy Gateway; None for everything else."""
    labels = metadata.get("labels") or {}
    name, namespace = labels.get(OWNER_NAME), labels.get(OWNER_NAMESPACE)
    if labels.get(MANAGED_BY) != MANAGER or not name or not namespace:
        return None
    return ObjectRef("Gateway", namespace, name)


def has_envoy(pod: Document) -> bool:
    """Takes any document."""
    spec = pod.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(containers, list):
        return False
    return any(isinstance(each, dict) and each.get("name") == container.ENVOY for each in containers)


def patch(pod: Document, settings: Settings, config: GatewayConfig | None, ca: str) -> list[Document]:
    """Operations of RFC 6902. `ca`: PEM of what the sidecar is to trust."""
    changed = mutated(pod, settings, config, ca)
    return [
        *_replacements(pod.get("metadata") or {}, changed["metadata"], "/metadata"),
        *_replacements(pod.get("spec") or {}, changed["spec"], "/spec"),
    ]


def mutated(pod: Document, settings: Settings, config: GatewayConfig | None, ca: str) -> Document:
    """The pod with the filter in it. Raises ValueError for a pod without Envoy: there is nothing to mediate for."""
    spec = dict(pod.get("spec") or {})
    containers = [each for each in spec.get("containers") or () if each.get("name") != container.CONTAINER]
    if not any(each.get("name") == container.ENVOY for each in containers):
        raise ValueError(f"the pod has no container {container.ENVOY}")
    starters = [each for each in spec.get("initContainers") or () if each.get("name") != container.CONTAINER]
    ours = container.volumes()
    names = {volume["name"] for volume in ours}
    made = container.container(settings, config)
    if settings.native:
        starters.append(made)
    else:
        containers.append(made | container.lingering(spec.get("terminationGracePeriodSeconds")))
    if starters or "initContainers" in spec:
        spec["initContainers"] = starters
    spec["containers"] = [_with_socket(each) if each.get("name") == container.ENVOY else each for each in containers]
    spec["volumes"] = [*(each for each in spec.get("volumes") or () if each.get("name") not in names), *ours]
    secrets = [*(spec.get("imagePullSecrets") or ())]
    secrets += [{"name": name} for name in settings.pull_secrets if {"name": name} not in secrets]
    if secrets:
        spec["imagePullSecrets"] = secrets
    metadata = dict(pod.get("metadata") or {})
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        container.CA_ANNOTATION: ca,
        container.HASH_ANNOTATION: container.template_hash(settings, config),
    }
    return {**pod, "metadata": metadata, "spec": spec}


def _with_socket(envoy: Document) -> Document:
    mount = container.envoy_mount()
    others = [each for each in envoy.get("volumeMounts") or () if each.get("mountPath") != mount["mountPath"]]
    return {**envoy, "volumeMounts": [*others, mount]}


def _replacements(before: Document, after: Document, path: str) -> list[Document]:
    """Whole members: lists of containers have no operation that says "the one of this name"."""
    operations: list[Document] = []
    for member, value in after.items():
        if member not in before:
            operations.append(_operation("add", f"{path}/{member}", value))
        elif before[member] != value:
            operations.append(_operation("replace", f"{path}/{member}", value))
    return operations


def _operation(kind: str, path: str, value: Any) -> Document:
    return {"op": kind, "path": path, "value": value}
