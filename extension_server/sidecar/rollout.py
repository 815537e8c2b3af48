"""When a proxy's Deployment or DaemonSet must be rolled out again, so that its pods get, change or lose the filter.

The pod template's hash annotation is the memory: a template that carries the wanted hash is not touched, whatever other
webhooks made of its pods' images. Only pods that the webhook did not see, or a replica of it that knew less, are a reason
to try again, and then later and later: when the webhook is not called, trying again changes nothing. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from extension_server.sidecar import container
from extension_server.sidecar.container import Document

AGAIN_ANNOTATION: Final = "aigateway.envoyproxy.io/extproc-rolled-out-at"
"""of a pod template: when it was rolled out because pods lacked the filter, and for how many times: `<time> <number>`"""
AGAIN_AFTER: Final = timedelta(minutes=5)
"""doubled each time"""
AGAIN_LATEST: Final = timedelta(days=1)


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
    own, tried = has.get(container.HASH_ANNOTATION), has.get(AGAIN_ANNOTATION)
    # A rollout that brings a wrong filter may never end, so its correction does not wait for it.
    if in_progress(workload) and (own in (None, wanted) or wanted is None):
        return NOTHING
    if own != wanted:
        forgotten = {AGAIN_ANNOTATION: None} if tried is not None else {}
        return Decision({container.HASH_ANNOTATION: wanted, **forgotten}, _why(own, wanted))
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if wanted is None or all(_is_current(pod, wanted) for pod in alive):
        return NOTHING
    last = _read(tried)
    if last.times and now - last.at < min(AGAIN_AFTER * 2 ** min(last.times - 1, 20), AGAIN_LATEST):
        return NOTHING
    text = f"{now.isoformat(timespec='seconds')} {last.times + 1}"
    return Decision({AGAIN_ANNOTATION: text}, "pods lack the filter, or have an old one")


def _why(own: str | None, wanted: str | None) -> str:
    if wanted is None:
        return "no AI routes are left; the filter goes"
    return "AI routes are attached; the filter comes" if own is None else "the filter's container has changed"


def _is_current(pod: Document, wanted: str) -> bool:
    """By what our webhook wrote on the pod; others may have changed its image."""
    said = (pod["metadata"].get("annotations") or {}).get(container.HASH_ANNOTATION)
    return has_filter(pod) and said == wanted


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


@dataclass(frozen=True, slots=True)
class _Tries:
    times: int
    at: datetime


def _read(text: str | None) -> _Tries:
    """What nobody can read was never tried."""
    time, _, times = (text or "").partition(" ")
    try:
        at = datetime.fromisoformat(time)
        if at.tzinfo is not None:
            return _Tries(max(1, min(int(times or 1), 1000)), at)
    except ValueError:
        pass
    return _Tries(0, datetime.min)
