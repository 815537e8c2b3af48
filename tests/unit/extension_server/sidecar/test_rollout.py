from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from extension_server.sidecar import mutation, rollout
from extension_server.sidecar.container import HASH_ANNOTATION
from extension_server.sidecar.rollout import AGAIN_AFTER, AGAIN_ANNOTATION, AGAIN_LATEST
from tests.unit.extension_server.sidecar.proxies import SETTINGS, proxy, workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALWAYS = datetime.min.replace(tzinfo=UTC)


def with_filter(hashed: str) -> dict[str, Any]:
    """As the webhook makes it."""
    pod = mutation.mutated(proxy(), SETTINGS, None, "ca")
    pod["metadata"]["annotations"][HASH_ANNOTATION] = hashed
    return pod


WITH = with_filter("hash")
WITHOUT = proxy()


def test_a_proxy_that_needs_the_filter_is_rolled_out_once() -> None:
    assert rollout.decide(workload(), [WITHOUT], "hash", NOW, registered=ALWAYS).annotations == {
        HASH_ANNOTATION: "hash"
    }
    assert not rollout.decide(workload({HASH_ANNOTATION: "hash"}), [WITH], "hash", NOW, registered=ALWAYS).annotations


def test_a_changed_container_is_rolled_out() -> None:
    decision = rollout.decide(workload({HASH_ANNOTATION: "old"}), [WITH], "new", NOW, registered=ALWAYS)
    assert decision.annotations == {HASH_ANNOTATION: "new"}
    assert decision.patch == {"spec": {"template": {"metadata": {"annotations": {HASH_ANNOTATION: "new"}}}}}


def test_the_filter_goes_with_the_last_route() -> None:
    has = {HASH_ANNOTATION: "hash", AGAIN_ANNOTATION: "x"}
    assert rollout.decide(workload(has), [WITH], None, NOW, registered=ALWAYS).annotations == dict.fromkeys(has)
    assert not rollout.decide(workload(), [WITHOUT], None, NOW, registered=ALWAYS).annotations


@pytest.mark.parametrize(
    "busy",
    [
        workload(observedGeneration=2),
        workload(replicas=2, updatedReplicas=1),
        workload(kind="DaemonSet", currentNumberScheduled=2, updatedNumberScheduled=1),
    ],
)
def test_a_rollout_under_way_is_left_alone(busy: dict[str, Any]) -> None:
    assert rollout.in_progress(busy)
    busy["spec"]["template"]["metadata"]["annotations"] = {HASH_ANNOTATION: "old"}
    assert not rollout.decide(busy, [WITHOUT], "hash", NOW, registered=ALWAYS).annotations
    assert not rollout.decide(busy, [WITHOUT], None, NOW, registered=ALWAYS).annotations


def test_a_proxy_that_is_just_being_made_gets_the_filter_at_once() -> None:
    new = workload(observedGeneration=0, replicas=0, updatedReplicas=0)
    assert rollout.decide(new, [], "hash", NOW, registered=ALWAYS).annotations == {HASH_ANNOTATION: "hash"}


def test_pods_without_the_filter_are_tried_again_but_not_soon() -> None:
    hashed = {HASH_ANNOTATION: "hash"}
    decision = rollout.decide(workload(hashed), [WITH, WITHOUT], "hash", NOW, registered=ALWAYS)
    assert decision.annotations == {AGAIN_ANNOTATION: "2026-01-01T00:00:00+00:00 1"}
    assert not rollout.decide(workload(hashed), [WITH], "hash", NOW, registered=ALWAYS).annotations


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("2026-01-01T00:00:00+00:00 1", AGAIN_AFTER),
        ("2026-01-01T00:00:00+00:00", AGAIN_AFTER),
        ("2026-01-01T00:00:00+00:00 3", AGAIN_AFTER * 4),
        ("2026-01-01T00:00:00+00:00 99999999999999999999", AGAIN_LATEST),
    ],
)
def test_each_further_try_is_later_for_none_may_ever_help(text: str, pause: timedelta) -> None:
    tried = workload({HASH_ANNOTATION: "hash", AGAIN_ANNOTATION: text})
    assert not rollout.decide(
        tried, [WITHOUT], "hash", NOW + pause - timedelta(seconds=1), registered=ALWAYS
    ).annotations
    assert rollout.decide(tried, [WITHOUT], "hash", NOW + pause, registered=ALWAYS).annotations


@pytest.mark.parametrize("text", ["", "rubbish", "2026-01-01T00:00:00 1", "2026-01-01T00:00:00+00:00 some"])
def test_a_try_that_nobody_can_read_was_none(text: str) -> None:
    tried = workload({HASH_ANNOTATION: "hash", AGAIN_ANNOTATION: text})
    assert rollout.decide(tried, [WITHOUT], "hash", NOW, registered=ALWAYS).annotations == {
        AGAIN_ANNOTATION: f"{NOW.isoformat()} 1"
    }


def test_a_pod_that_a_replica_made_which_knew_less_is_replaced() -> None:
    hashed = workload({HASH_ANNOTATION: "new"})
    assert rollout.decide(hashed, [WITH], "new", NOW, registered=ALWAYS).annotations == {
        AGAIN_ANNOTATION: f"{NOW.isoformat()} 1"
    }
    assert not rollout.decide(hashed, [with_filter("new")], "new", NOW, registered=ALWAYS).annotations


def test_tries_are_forgotten_when_something_else_is_wanted() -> None:
    tried = workload({HASH_ANNOTATION: "old", AGAIN_ANNOTATION: f"{NOW.isoformat()} 9"})
    assert rollout.decide(tried, [WITHOUT], "new", NOW, registered=ALWAYS).annotations == {
        HASH_ANNOTATION: "new",
        AGAIN_ANNOTATION: None,
    }


def waiting(reason: str) -> dict[str, Any]:
    states = [{"name": "ai-gateway-extproc", "state": {"waiting": {"reason": reason}}}]
    return {**with_filter("old"), "status": {"initContainerStatuses": states}}


@pytest.mark.parametrize(
    ("status", "pod", "corrected"),
    [
        ({}, waiting("ImagePullBackOff"), True),
        ({}, waiting("PodInitializing"), False),
        ({"conditions": [{"type": "Progressing", "status": "False"}]}, WITH, True),
        ({"conditions": [{"type": "ReplicaFailure", "status": "True"}]}, WITH, True),
        ({"conditions": [{"type": "Progressing", "status": "True"}]}, WITH, False),
    ],
)
def test_a_rollout_that_cannot_end_is_corrected_without_waiting_for_its_end(
    status: dict[str, Any], pod: dict[str, Any], corrected: bool
) -> None:
    busy = workload({HASH_ANNOTATION: "old"}, replicas=2, updatedReplicas=1, **status)
    assert bool(rollout.decide(busy, [pod], "new", NOW, registered=ALWAYS).annotations) is corrected
    assert not rollout.decide(busy, [pod], "old", NOW, registered=ALWAYS).annotations


def test_pods_without_the_filter_are_left_while_the_webhook_is_away() -> None:
    marked = workload({HASH_ANNOTATION: "hash"})
    assert not rollout.decide(marked, [WITHOUT], "hash", NOW, registered=None).annotations
    assert rollout.decide(marked, [WITHOUT], "hash", NOW, registered=ALWAYS).annotations


def test_what_was_tried_before_the_webhook_came_back_counts_nothing() -> None:
    tried = workload({HASH_ANNOTATION: "hash", AGAIN_ANNOTATION: f"{NOW.isoformat()} 7"})
    soon = NOW + timedelta(seconds=20)
    assert not rollout.decide(tried, [WITHOUT], "hash", soon, registered=ALWAYS).annotations
    assert rollout.decide(tried, [WITHOUT], "hash", soon, registered=NOW + timedelta(seconds=10)).annotations


def test_pods_that_are_going_and_images_of_others_are_no_reason() -> None:
    going: dict[str, Any] = {
        **WITHOUT,
        "metadata": {**WITHOUT["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"},
    }
    rewritten = {
        **WITH,
        "spec": {**WITH["spec"], "initContainers": [{"name": "ai-gateway-extproc", "image": "mirror"}]},
    }
    assert not rollout.decide(
        workload({HASH_ANNOTATION: "hash"}), [going, rewritten], "hash", NOW, registered=ALWAYS
    ).annotations
