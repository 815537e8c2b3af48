"""What was read of a cluster: plain documents by kind, and how to look into them. Knows no verdicts and no API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from extension_server.sidecar import container, mutation

Document = dict[str, Any]

SIDECAR: Final = container.CONTAINER
ENVOY: Final = container.ENVOY
OWNING_NAME: Final = mutation.OWNER_NAME
OWNING_NAMESPACE: Final = mutation.OWNER_NAMESPACE
"""labels that Envoy Gateway puts on the pods of a Gateway"""
OWNING_CLASS: Final = "gateway.envoyproxy.io/owning-gatewayclass"
"""label of the pods that all Gateways of a class share"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are; names as in the charts."""

    namespace: str = "envoy-ai-gateway-system"
    """of our controller"""
    envoy_gateway_namespace: str = "envoy-gateway-system"
    controller: str = "ai-gateway-controller"
    """Deployment and Service"""
    controller_name: str = "gateway.envoyproxy.io/gatewayclass-controller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    settings: Settings
    server: str
    now: datetime
    objects: Mapping[str, Sequence[Document]]
    """by kind, sorted by namespace and name"""
    unreadable: Mapping[str, str]
    """kind → why it could not be listed; a kind that is not served is neither here nor in `objects`"""

    def all(self, kind: str) -> Sequence[Document]:
        return self.objects.get(kind, ())

    def get(self, kind: str, namespace: str, name: str) -> Document | None:
        """`namespace` is empty for kinds that have none."""
        return next((each for each in self.all(kind) if key(each) == (namespace, name)), None)

    def readable(self, *kinds: str) -> bool:
        return self.unreadable.keys().isdisjoint(kinds)


def key(document: Document) -> tuple[str, str]:
    """(namespace, name)"""
    metadata = document["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def title(document: Document) -> str:
    """`Kind namespace/name`"""
    return f"{document['kind']} {'/'.join(filter(None, key(document)))}"


def conditions(holder: Mapping[str, Any]) -> dict[str, Document]:
    """By type; of an object's status, or of anything that has `conditions`."""
    return {each["type"]: each for each in (holder.get("conditions") or ()) if "type" in each}


def status_of(document: Document) -> Document:
    found: Document = document.get("status") or {}
    return found


def holds(document: Document, type_: str) -> bool:
    return conditions(status_of(document)).get(type_, {}).get("status") == "True"


def containers(pod: Document) -> Iterator[Document]:
    """Those of the pod's spec, sidecars included."""
    spec = pod.get("spec") or {}
    yield from (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))


def container_status(pod: Document, name: str) -> Document:
    """Empty while the kubelet has said nothing."""
    found = status_of(pod)
    every = (*(found.get("initContainerStatuses") or ()), *(found.get("containerStatuses") or ()))
    return next((each for each in every if each.get("name") == name), {})


def flag(container: Document, name: str) -> str:
    """The value of `--name=value` or `--name value` (one dash or two) on the command line; empty: not given."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    for position, word in enumerate(words):
        bare, equals, value = str(word).lstrip("-").partition("=")
        if str(word).startswith("-") and bare == name:
            following = str(words[position + 1]) if position + 1 < len(words) else ""
            return value if equals else following
    return ""


def controller_flag(cluster: Cluster, name: str) -> str:
    """A flag of our controller, from its Deployment; empty: not given, or not known."""
    found = cluster.get("Deployment", cluster.settings.namespace, cluster.settings.controller)
    values = [flag(each, name) for each in containers(found["spec"]["template"])] if found else []
    return next(filter(None, values), "")


def certificate_secret(cluster: Cluster) -> str:
    """Name of the Secret with the controller's certificate."""
    return controller_flag(cluster, "tlsCertSecretName") or "self-signed-cert-for-mutating-webhook"


def moment(text: str | None) -> datetime | None:
    """A time of the API: RFC 3339."""
    try:
        return None if not text else datetime.fromisoformat(text)
    except ValueError:
        return None
