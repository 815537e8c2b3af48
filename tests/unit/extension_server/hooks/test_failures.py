"""Broken, foreign and hostile input: one object costs only what depends on it, and nothing makes a hook fail."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extension_server.compile.routes import FAIL_CLOSED_STATUS
from extension_server.hooks import messages
from extension_server.hooks.messages import METHODS, Method
from extension_server.hooks.service import HookService, Refused
from extension_server.hooks.source import CompiledResults
from tests.support.hooks import (
    BROKEN,
    SCENARIOS,
    TYPES,
    Observed,
    Scenario,
    answered,
    decoded,
    filter_broken,
    options_broken,
    scenario,
    statuses,
)

AI_ROUTE = "httproute/default/llm/rule/0/match/0/*"


def changed(scenario_: Scenario, field: str, change: Callable[[Any], None]) -> bytes:
    """The recorded request after `change` of each resource of one field."""
    request = messages.request("PostTranslateModify").FromString(scenario_.translation)
    resources = decoded(field, request)
    for each in resources:
        change(each)
    del getattr(request, field)[:]
    getattr(request, field).extend(each.SerializeToString() for each in resources)
    return bytes(request.SerializeToString())


def test_a_cluster_that_cannot_be_patched_closes_its_rule_alone() -> None:
    recorded = scenario("two-fqdn-weights")
    sink = Observed()
    answer = answered(
        HookService(recorded.results(), sink), "PostTranslateModify", changed(recorded, "clusters", options_broken)
    )
    assert statuses(answer)[AI_ROUTE] == FAIL_CLOSED_STATUS
    (observation,) = sink.all
    (finding,) = observation.findings
    assert (finding.reason, str(finding.object)) == ("PatchFailed", "AIGatewayRoute default/llm")
    assert "cluster httproute/default/llm/rule/0" in finding.message


def test_a_plain_route_is_not_touched_by_it() -> None:
    recorded = scenario("ai-and-plain")
    results = recorded.results(user_filters=("default/gw/http",))
    answer = answered(HookService(results), "PostTranslateModify", changed(recorded, "clusters", options_broken))
    assert statuses(answer) == {
        "httproute/default/web/rule/0/match/0/*": 0,
        AI_ROUTE: FAIL_CLOSED_STATUS,
        "httproute/default/llm/rule/1/match/0/*": 404,
    }


def manager_broken(listener: Any) -> None:
    for network_filter in listener.default_filter_chain.filters:
        network_filter.typed_config.value += BROKEN


@pytest.mark.parametrize("known", [True, False])
def test_a_listener_that_cannot_be_protected_closes_the_routes_behind_it(known: bool) -> None:
    """Without the edge strip a client could send the header of a rule."""
    recorded = scenario("ai-and-plain")
    sink = Observed()
    service = HookService(recorded.results() if known else CompiledResults(), sink)
    answer = answered(service, "PostTranslateModify", changed(recorded, "listeners", manager_broken))
    assert statuses(answer) == {
        "httproute/default/web/rule/0/match/0/*": 0,
        AI_ROUTE: FAIL_CLOSED_STATUS,
        "httproute/default/llm/rule/1/match/0/*": FAIL_CLOSED_STATUS,
    }
    assert sink.reasons == {"PatchFailed"}


def test_a_listener_that_takes_only_the_edge_strip_closes_the_rules_behind_it() -> None:
    recorded = scenario("ai-and-plain")
    sink = Observed()
    answer = answered(
        HookService(recorded.results(), sink), "PostTranslateModify", changed(recorded, "listeners", filter_broken)
    )
    assert statuses(answer)[AI_ROUTE] == FAIL_CLOSED_STATUS
    assert b"aigw/strip-internal-headers" in b"".join(answer.listeners)
    assert b"ext_proc/aigateway" not in b"".join(answer.listeners)
    assert sink.reasons == {"PatchFailed"}


def test_a_sink_that_fails_does_not_fail_the_hook() -> None:
    class Failing(Observed):
        def observe(self, observation: object) -> None:
            raise RuntimeError("full")

    recorded = scenario("two-fqdn-weights")
    service = HookService(recorded.results(), Failing())
    expected = HookService(recorded.results()).answer("PostTranslateModify", recorded.translation)
    assert service.answer("PostTranslateModify", recorded.translation) == expected


@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_request_is_refused(method: Method) -> None:
    """An empty answer would delete everything; an error keeps what is there."""
    assert isinstance(HookService(CompiledResults()).answer(method, BROKEN), Refused)


def test_resources_that_are_no_messages_come_back() -> None:
    request = messages.request("PostTranslateModify")(
        clusters=[BROKEN], secrets=[BROKEN], listeners=[BROKEN], routes=[BROKEN + b"ai-gateway-generated"]
    )
    answer = answered(HookService(scenario("two-ip-eds").results()), "PostTranslateModify", request.SerializeToString())
    for field in messages.TRANSLATION:
        assert [*getattr(answer, field)] == [*getattr(request, field)]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(METHODS), st.binary(max_size=300))
def test_no_bytes_make_it_raise(method: Method, data: bytes) -> None:
    HookService(scenario("two-ip-eds").results()).answer(method, data)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SCENARIOS), st.data())
def test_no_damage_to_a_resource_fails_the_hook(recorded: Scenario, data: st.DataObject) -> None:
    request = messages.request("PostTranslateModify").FromString(recorded.translation)
    field = data.draw(st.sampled_from([each for each in messages.TRANSLATION if getattr(request, each)]))
    resources = getattr(request, field)
    index = data.draw(st.integers(0, len(resources) - 1))
    raw = bytearray(resources[index])
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
    resources[index] = bytes(raw)
    answer = answered(HookService(recorded.results()), "PostTranslateModify", request.SerializeToString())
    assert len(answer.routes) == len(request.routes)
    assert len(answer.listeners) == len(request.listeners)
    assert [*answer.secrets] == [*request.secrets]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([each for each in SCENARIOS if each.endpoints]), st.data())
def test_no_damage_to_endpoints_fails_the_hook(recorded: Scenario, data: st.DataObject) -> None:
    request = messages.request("PostEndpointsModify").FromString(recorded.endpoints[0])
    raw = bytearray(request.resource)
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    request.resource = bytes(raw)
    assert answered(HookService(recorded.results()), "PostEndpointsModify", request.SerializeToString()).resource


def test_types_of_all_fields_are_known() -> None:
    assert {*TYPES} >= {*messages.TRANSLATION} - {"secrets"}
