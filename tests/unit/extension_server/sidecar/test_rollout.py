from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from extension_server.sidecar import mutation, rollout
from extension_server.sidecar.container import HASH_ANNOTATION
from extension_server.sidecar.rollout import AGAIN_AFTER, AGAIN_ANNOTATION
from tests.unit.extension_server.sidecar.proxies import SETTINGS, proxy, workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WITH = {**mutation.mutated(proxy(), SETTINGS, None, "ca"), "kind": "Pod"}
WITHOUT = proxy()


def test_a_proxy_that_needs_the_filter_is_rolled_out_once() -> None:
    assert rollout.decide(workload(), [WITHOUT], "hash", NOW).annotations == {HASH_ANNOTATION: "hash"}
    assert not rollout.decide(workload({HASH_ANNOTATION: "hash"}), [WITH], "hash", NOW).annotations


def test_a_changed_container_is_rolled_out() -> None:
    decision = rollout.decide(workload({HASH_ANNOTATION: "old"}), [WITH], "new", NOW)
    assert decision.annotations == {HASH_ANNOTATION: "new"}
    assert decision.patch == {"spec": {"template": {"metadata": {"annotations": {HASH_ANNOTATION: "new"}}}}}


def test_the_filter_goes_with_the_last_route() -> None:
    has = {HASH_ANNOTATION: "hash", AGAIN_ANNOTATION: "x"}
    assert rollout.decide(workload(has), [WITH], None, NOW).annotations == dict.fromkeys(has)
    assert not rollout.decide(workload(), [WITHOUT], None, NOW).annotations


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
    assert not rollout.decide(busy, [WITHOUT], "hash", NOW).annotations
    assert not rollout.decide(busy, [WITHOUT], None, NOW).annotations


def test_a_proxy_that_is_just_being_made_gets_the_filter_at_once() -> None:
    new = workload(observedGeneration=0, replicas=0, updatedReplicas=0)
    assert rollout.decide(new, [], "hash", NOW).annotations == {HASH_ANNOTATION: "hash"}


def test_pods_without_the_filter_are_tried_again_but_not_soon() -> None:
    hashed = {HASH_ANNOTATION: "hash"}
    decision = rollout.decide(workload(hashed), [WITH, WITHOUT], "hash", NOW)
    assert decision.annotations == {AGAIN_ANNOTATION: NOW.isoformat(timespec="seconds")}
    tried = workload({**hashed, AGAIN_ANNOTATION: NOW.isoformat()})
    assert not rollout.decide(tried, [WITHOUT], "hash", NOW + AGAIN_AFTER - timedelta(seconds=1)).annotations
    assert rollout.decide(tried, [WITHOUT], "hash", NOW + AGAIN_AFTER).annotations
    assert rollout.decide(workload({**hashed, AGAIN_ANNOTATION: "rubbish"}), [WITHOUT], "hash", NOW).annotations


def test_pods_that_are_going_and_images_of_others_are_no_reason() -> None:
    going = {**WITHOUT, "metadata": {**WITHOUT["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    rewritten = {
        **WITH,
        "spec": {**WITH["spec"], "initContainers": [{"name": "ai-gateway-extproc", "image": "mirror"}]},
    }
    assert not rollout.decide(workload({HASH_ANNOTATION: "hash"}), [going, rewritten], "hash", NOW).annotations
