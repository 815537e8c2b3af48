"""When a proxy's Deployment or DaemonSet must be rolled out again, so that its pods get, change or lose the filter.

The pod template's hash annotation is the memory: a template that carries the wanted hash is not touched, whatever other
webhooks made of its pods. Only pods that lack the filter altogether are a reason to try again, and then not soon: when
the webhook is not called, trying again changes nothing. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from extension_server.sidecar import container
from extension_server.sidecar.container import Document

AGAIN_ANNOTATION: Final = "aigateway.envoyproxy.io/extproc-rolled-out-at"
"""of a pod template: when it was rolled out because pods lacked the filter"""
AGAIN_AFTER: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Decision:
    annotations: dict[str, str | None]
    """merge patch of the pod template's annotations; empty: nothing is to be done"""
    why: str = ""

    @property
    def patch(self) -> Document:
        """of the workload"""
        return {"spec": {"template": {"metadata": {"annotations": self.annotations}}}}


NOTHING: Final = Decision({})


def decide(workload: Document, pods: Sequence[Document], wanted: str | None, now: datetime) -> Decision:
    """`pods`: those of the workload. `wanted`: hash of the filter that they are to have, None for none."""
    has = _template_annotations(workload)
    if in_progress(workload):
        return NOTHING
    if has.get(container.HASH_ANNOTATION) != wanted:
        if wanted is None:
            return Decision(
                {container.HASH_ANNOTATION: None, AGAIN_ANNOTATION: None}, "no AI routes are left; the filter goes"
            )
        if container.HASH_ANNOTATION not in has:
            return Decision({container.HASH_ANNOTATION: wanted}, "AI routes are attached; the filter comes")
        return Decision({container.HASH_ANNOTATION: wanted}, "the filter's container has changed")
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if wanted is not None and any(not has_filter(pod) for pod in alive) and _long_ago(has.get(AGAIN_ANNOTATION), now):
        return Decision({AGAIN_ANNOTATION: now.isoformat(timespec="seconds")}, "pods lack the filter")
    return NOTHING


def has_filter(pod: Document) -> bool:
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return any(each.get("name") == container.CONTAINER for each in containers)


def in_progress(workload: Document) -> bool:
    """A rollout is under way; of a Deployment or a DaemonSet."""
    status: dict[str, Any] = workload.get("status") or {}
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return True
    if workload.get("kind") == "DaemonSet":
        return bool(status.get("currentNumberScheduled", 0) > status.get("updatedNumberScheduled", 0))
    return bool(status.get("replicas", 0) > status.get("updatedReplicas", 0))


def _template_annotations(workload: Document) -> dict[str, str]:
    metadata = workload["spec"]["template"].get("metadata") or {}
    return metadata.get("annotations") or {}


def _long_ago(text: str | None, now: datetime) -> bool:
    try:
        return text is None or now - datetime.fromisoformat(text) >= AGAIN_AFTER
    except (ValueError, TypeError):
        return True
