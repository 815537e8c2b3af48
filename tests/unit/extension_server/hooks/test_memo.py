"""What the hooks remember changes nothing of what they answer."""

from dataclasses import replace

import pytest

from extension_server.hooks.memo import Table
from extension_server.hooks.service import HookService
from tests.support.hooks import SCENARIOS, Scenario, answered, scenario


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
    results = recorded.results()
    service = HookService(results)
    closed = service.answer("PostTranslateModify", recorded.translation)
    results.put(recorded.compiled(user_filters=("default/gw/http",)))
    opened = service.answer("PostTranslateModify", recorded.translation)
    assert opened != closed
    assert opened == HookService(results).answer("PostTranslateModify", recorded.translation)


def test_what_one_translation_did_not_hold_is_forgotten() -> None:
    table: Table[str] = Table()
    table.put(b"a", "a")
    table.put(b"b", "b")
    table.turn()
    assert table.get(b"a") == "a"
    table.turn()
    assert (table.get(b"a"), table.get(b"b")) == ("a", None)


def test_a_gateway_that_is_not_known_any_more_is_forgotten() -> None:
    recorded = scenario("one-fqdn")
    results = recorded.results()
    service = HookService(results)
    first = service.answer("PostTranslateModify", recorded.translation)
    results.remove(recorded.compiled().gateway)
    assert answered(service, "PostTranslateModify", recorded.translation)
    results.put(recorded.compiled())
    assert service.answer("PostTranslateModify", recorded.translation) == first
