"""When a proxy's Deployment or DaemonSet must be rolled out again, so that its pods get, change or lose the filter.

The pod template's hash annotation is the memory: a template that carries the wanted hash is not touched, whatever other
webhooks made of its pods' images. Only pods that the webhook did not see, or a replica of it that knew less, are a
reason to try again, and then later and later: when the webhook is not called, trying again changes nothing. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from extension_server.sidecar import container
from extension_server.sidecar.container import Document

AGAIN_ANNOTATION: Final = "aigateway.envoyproxy.io/extproc-rolled-out-at"
"""of a pod template: `<time> <number>`, when it was last rolled out because pods lacked the filter, and how often"""
AGAIN_AFTER: Final = timedelta(minutes=1)
"""after the first time; doubled each time"""
AGAIN_LATEST: Final = timedelta(days=1)

_STARTING: Final = ("PodInitializing", "ContainerCreating")


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


def decide(
    workload: Document, pods: Sequence[Document], wanted: str | None, now: datetime, *, registered: datetime | None
) -> Decision:
    """`pods`: those of the workload. `wanted`: hash of the filter that they are to have, None for none.
    `registered`: since when the API server asks the webhook. Without it, pods would come back as they are, and what was
    tried before counts nothing."""
    has = _template_annotations(workload)
    own, tried = has.get(container.HASH_ANNOTATION), has.get(AGAIN_ANNOTATION)
    if in_progress(workload) and not (own != wanted and (_is_new(workload) or _is_stuck(workload, pods))):
        return NOTHING
    if own != wanted:
        forgotten = {AGAIN_ANNOTATION: None} if tried is not None else {}
        return Decision({container.HASH_ANNOTATION: wanted, **forgotten}, _why(own, wanted))
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    if wanted is None or registered is None or all(_is_current(pod, wanted) for pod in alive):
        return NOTHING
    last = _tries(tried)
    if (
        last.times
        and last.at > registered
        and now - last.at < min(AGAIN_AFTER * 2 ** min(last.times - 1, 20), AGAIN_LATEST)
    ):
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


def _is_new(workload: Document) -> bool:
    """None of its pods serves anybody yet."""
    status: dict[str, Any] = workload.get("status") or {}
    return not (status.get("observedGeneration") or status.get("replicas") or status.get("currentNumberScheduled"))


def _is_stuck(workload: Document, pods: Sequence[Document]) -> bool:
    """The rollout under way cannot end: its correction must not wait for that."""
    conditions = (workload.get("status") or {}).get("conditions") or ()
    said = {condition.get("type"): condition.get("status") for condition in conditions}
    return (
        said.get("ReplicaFailure") == "True"
        or said.get("Progressing") == "False"
        or any(_cannot_start(each) for pod in pods for each in _filter_states(pod))
    )


def _filter_states(pod: Document) -> list[Document]:
    status = pod.get("status") or {}
    states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return [each.get("state") or {} for each in states if each.get("name") == container.CONTAINER]


def _cannot_start(state: Document) -> bool:
    """`ErrImagePull`, `CrashLoopBackOff`, …"""
    reason = (state.get("waiting") or {}).get("reason")
    return reason is not None and reason not in _STARTING


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


def _tries(text: str | None) -> _Tries:
    """What nobody can read was never tried."""
    time, _, times = (text or "").partition(" ")
    try:
        at = datetime.fromisoformat(time)
        if at.tzinfo is not None:
            return _Tries(max(1, min(int(times or 1), 1000)), at)
    except ValueError:
        pass
    return _Tries(0, datetime.min.replace(tzinfo=UTC))
