"""What the hooks remember changes nothing of what they answer."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from extension_server.hooks import messages, splicing
from extension_server.hooks.recall import Opened, Table
from extension_server.hooks.service import HookService
from extension_server.hooks.transition import GRACE
from tests.support.hooks import SCENARIOS, Scenario, answered, decoded, scenario
from tests.support.map_order import reordered


@pytest.mark.parametrize("recorded", SCENARIOS, ids=str)
def test_the_second_answer_is_the_first(recorded: Scenario) -> None:
    service = HookService(recorded.results())
    first = service.answer("PostTranslateModify", recorded.translation)
    assert service.answer("PostTranslateModify", recorded.translation) == first


def test_another_rule_is_patched_anew() -> None:
    recorded = scenario("two-fqdn-weights")
    results = recorded.results()
    service = HookService(results)
    service.answer("PostTranslateModify", recorded.translation)
    changed = recorded.compiled()
    rules = tuple(replace(rule, plan="attempt", stream_idle_timeout=3.0) for rule in changed.rules)
    results.put(replace(changed, rules=rules))
    again = service.answer("PostTranslateModify", recorded.translation)
    assert again == HookService(results).answer("PostTranslateModify", recorded.translation)


def test_a_rule_that_was_closed_is_opened_again() -> None:
    recorded = scenario("extproc")
    results, now = recorded.results(), 0.0
    service = HookService(results, clock=lambda: now)
    closed = service.answer("PostTranslateModify", recorded.translation)
    results.put(recorded.compiled(user_filters=("default/gw/http",)))
    fresh = HookService(results).answer("PostTranslateModify", recorded.translation)
    opened = service.answer("PostTranslateModify", recorded.translation)
    assert opened not in (closed, fresh)  # clusters of the other plan are kept for a while
    now += GRACE + 1
    assert service.answer("PostTranslateModify", recorded.translation) == fresh


def test_what_one_translation_did_not_hold_is_forgotten() -> None:
    made: list[bytes] = []

    def make(opened: Opened) -> bytes:
        made.append(opened.hollow)
        return opened.hollow

    table: Table[bytes, Sequence[bytes]] = Table(make, tuple)
    for translation in ((b"a", b"b"), (b"b", b"a"), (b"a",), (b"a", b"b"), (b"b", b"b", b"c"), ()):
        assert [each for run in table.recall(translation) for each in run.summary] == [*translation]
        table.turn()
    assert made == [b"a", b"b", b"b", b"c"]


@pytest.mark.parametrize("recorded", SCENARIOS, ids=str)
def test_maps_in_another_order_are_the_same_resource(recorded: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    service = HookService(recorded.results())
    first = answered(service, "PostTranslateModify", recorded.translation)
    monkeypatch.setattr(splicing, "rule_route", None)
    monkeypatch.setattr(splicing, "rule_cluster", None)
    for _ in range(20):
        again = answered(service, "PostTranslateModify", reordered(recorded.translation, chance))
        for field in ("clusters", "listeners", "routes"):
            assert decoded(field, again) == decoded(field, first)


def test_metadata_that_says_something_else_is_another_resource() -> None:
    recorded = scenario("one-fqdn")
    service = HookService(recorded.results())
    service.answer("PostTranslateModify", recorded.translation)
    other = recorded.translation.replace(b"ai-gateway-generated", b"ai-gateway-Generated", 1)
    assert other != recorded.translation
    fresh = HookService(recorded.results()).answer("PostTranslateModify", other)
    assert service.answer("PostTranslateModify", other) == fresh


def test_resources_of_users_come_back_bit_for_bit_in_any_order() -> None:
    recorded = scenario("ai-and-plain")
    service = HookService(recorded.results())
    chance = random.Random(1)
    for _ in range(5):
        data = reordered(recorded.translation, chance)
        request = messages.request("PostTranslateModify").FromString(data)
        answer = answered(service, "PostTranslateModify", data)
        users = {raw for raw in request.clusters if b"ai-gateway-generated" not in raw}
        assert users
        assert users <= set(answer.clusters)


def test_a_gateway_that_is_not_known_any_more_is_forgotten() -> None:
    recorded = scenario("one-fqdn")
    results = recorded.results()
    service = HookService(results)
    first = service.answer("PostTranslateModify", recorded.translation)
    results.remove(recorded.compiled().gateway)
    assert answered(service, "PostTranslateModify", recorded.translation)
    results.put(recorded.compiled())
    assert service.answer("PostTranslateModify", recorded.translation) == first
