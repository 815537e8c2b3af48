"""Recorded requests of real Envoy Gateways: what is changed in them, and that all else comes back bit for bit."""

import pytest

from extension_server.hooks import messages
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from tests.support import hooks
from tests.support.hooks import SCENARIOS, Scenario, again, answered, differences

EVERY = pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
WITHOUT_AI = ("plain-control", "gateway-no-routes", "mcp-two-backends")


@EVERY
def test_the_change_is_the_expected_one(scenario: Scenario) -> None:
    """`python -m tests.support.hooks` rewrites the expectation."""
    assert differences(scenario) == scenario.expected.read_text()


@EVERY
def test_what_is_not_ours_comes_back_bit_for_bit(scenario: Scenario) -> None:
    request = messages.request("PostTranslateModify").FromString(scenario.translation)
    answer = answered(HookService(scenario.results()), "PostTranslateModify", scenario.translation)
    for field in messages.TRANSLATION:
        before, after = [*getattr(request, field)], [*getattr(answer, field)]
        type_ = hooks.TYPES.get(field)
        for index, raw in enumerate(before):
            if type_ is None or hooks.readable(_parsed(type_, raw)) == hooks.readable(_parsed(type_, after[index])):
                assert after[index] == raw
    if scenario.folder.name in WITHOUT_AI:
        assert all([*getattr(answer, field)] == [*getattr(request, field)] for field in messages.TRANSLATION)


@EVERY
def test_without_a_compiled_result_only_the_edge_strip_is_added(scenario: Scenario) -> None:
    """The controller has just started: AI routes end at their 503, and no client can send the header of a rule."""
    request = messages.request("PostTranslateModify").FromString(scenario.translation)
    answer = answered(HookService(CompiledResults()), "PostTranslateModify", scenario.translation)
    for field in ("clusters", "secrets", "routes"):
        assert [*getattr(answer, field)] == [*getattr(request, field)]
    marked = b"ai-gateway-generated" in b"".join(request.routes)
    changed = [raw for raw, before in zip(answer.listeners, request.listeners, strict=True) if raw != before]
    assert bool(changed) == marked
    assert all(b"aigw/strip-internal-headers" in raw for raw in changed)


@EVERY
@pytest.mark.parametrize("user_filters", [(), ("default/gw/http",)], ids=["compiled", "all-attempt"])
def test_patching_twice_is_patching_once_to_the_byte(scenario: Scenario, user_filters: tuple[str, ...]) -> None:
    service = HookService(scenario.results(user_filters=user_filters))
    once = answered(service, "PostTranslateModify", scenario.translation)
    twice = answered(service, "PostTranslateModify", again(once))
    assert twice == once
    for data in scenario.endpoints:
        marked = answered(service, "PostEndpointsModify", data)
        request = messages.request("PostEndpointsModify")(resource=marked.resource)
        assert answered(service, "PostEndpointsModify", request.SerializeToString()) == marked


@EVERY
def test_the_same_request_gives_the_same_bytes(scenario: Scenario) -> None:
    results = [HookService(scenario.results()).answer("PostTranslateModify", scenario.translation) for _ in range(2)]
    assert results[0] == results[1]


def _parsed(type_: str, raw: bytes) -> object:
    return hooks.pool.message_class(type_).FromString(raw)
