"""What a person reads about an object, and when nothing new is said."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from extension_server.compile.result import Finding, ObjectRef
from extension_server.controller import status
from extension_server.controller.ports import ReportedFilters
from extension_server.controller.status import Condition
from tests.unit.extension_server.controller.objects import CHAT, EDGE, POLICY, SECRET, WORLD, documents
from tests.unit.extension_server.controller.test_world import Both

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SERVICE = ObjectRef("AIServiceBackend", "n", "provider")
BSP = ObjectRef("BackendSecurityPolicy", "n", "policy")


def said(both: Both, ref: ObjectRef, reports: ReportedFilters | None = None, **more: Any) -> dict[str, Condition]:
    held = both.store.held(ref)
    assert held is not None
    found = status.conditions(held, both.world.part(ref), both.world, both.store, reports or ReportedFilters(), **more)
    return {each.type: each for each in found}


def world(*without: str, text: str = WORLD) -> Both:
    both = Both()
    both.put(*(each for each in documents(text) if each["kind"] not in without))
    return both


def running(both: Both) -> ReportedFilters:
    reports = ReportedFilters()
    compiled = both.world.compiled(EDGE)
    assert compiled is not None
    reports.report(EDGE, "pod", compiled.config_hash)
    return reports


def test_all_is_well() -> None:
    both = world()
    assert list(said(both, CHAT, running(both)).values()) == [
        Condition("ResolvedRefs", "True", "ResolvedRefs", "all references are resolved"),
        Condition("Programmed", "True", "Programmed", "every filter of Gateway n/edge runs it"),
        Condition("Accepted", "True", "ReconciliationSucceeded", "AI Gateway Route reconciled successfully"),
    ]
    assert list(said(both, SERVICE)) == ["ResolvedRefs", "Accepted"]


@pytest.mark.parametrize(
    ("without", "type_", "reason", "message"),
    [
        ("Gateway", "ResolvedRefs", "NoMatchingParent", "spec.parentRefs: Gateway n/edge not found; create it or"),
        ("Gateway", "Programmed", "NotAttached", "no listener of any Gateway serves the route"),
        ("GatewayClass", "Accepted", "NoMatchingParent", "GatewayClass envoy not found"),
        (
            "AIServiceBackend",
            "ResolvedRefs",
            "BackendNotFound",
            "spec.rules[0].backendRefs[0].name: AIServiceBackend n/provider not found; create it or correct the name",
        ),
        (
            "Backend",
            "Accepted",
            "BackendNotFound",
            "AIServiceBackend n/provider: spec.backendRef.name: Backend n/provi",
        ),
        ("Backend", "NotAccepted", "ReconciliationFailed", "see condition Accepted"),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(without: str, type_: str, reason: str, message: str) -> None:
    both = world(without)
    found = said(both, CHAT)
    assert (found[type_].status, found[type_].reason) == ("False", reason)
    assert message in found[type_].message
    assert list(found)[-1] == "NotAccepted"


def test_other_kinds_speak_of_themselves_only() -> None:
    both = world("Backend")
    both.put(*documents(POLICY))
    assert said(both, SERVICE)["Accepted"].message == (
        "spec.backendRef.name: Backend n/provider not found; create it or correct the name"
    )
    assert said(both, BSP)["ResolvedRefs"].reason == "SecretNotFound"


def named(text: str, name: str) -> dict[str, Any]:
    (document,) = documents(text)
    document["metadata"]["name"] = name
    return document


def test_a_policy_says_that_its_backend_is_not_there_yet() -> None:
    both = world("AIServiceBackend")
    both.put(*documents(POLICY), *documents(SECRET))
    assert said(both, BSP)["Accepted"] == Condition(
        "Accepted",
        "True",
        "ReconciliationSucceeded",
        "BackendSecurityPolicy reconciled successfully. Note: spec.targetRefs[0].name: AIServiceBackend n/provider not "
        "found; the policy has no effect there before it is created",
    )


def test_two_policies_of_one_backend_name_each_other() -> None:
    both = world()
    both.put(*documents(POLICY), *documents(SECRET), named(POLICY, "second"))
    assert said(both, BSP)["Accepted"].message == (
        "spec.targetRefs[0].name: AIServiceBackend n/provider is targeted by second, too; requests for it answer 503 "
        "until only one policy does"
    )
    assert said(both, ObjectRef("BackendSecurityPolicy", "n", "second"))["Accepted"].reason == "Conflicted"
    assert "(policy, second)" in said(both, SERVICE)["Accepted"].message
    assert said(both, CHAT)["Accepted"].reason == "Conflicted"


def test_a_gateway_config_has_the_reasons_that_people_know() -> None:
    text = """
    apiVersion: aigateway.envoyproxy.io/v1beta1
    kind: GatewayConfig
    metadata: {name: c}
    spec: {globalLLMRequestCosts: [{metadataKey: k, type: CEL, cel: "nope +"}]}
    """
    both = world(text=text)
    ref = ObjectRef("GatewayConfig", "n", "c")
    assert {name: each.reason for name, each in said(both, ref).items()} == {
        "Accepted": "InvalidCost",
        "NotAccepted": "NotAccepted",
    }


def test_a_route_that_works_in_part_says_so() -> None:
    both = world()
    (route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
    route["spec"]["rules"].append({"backendRefs": [{"name": "missing"}]})
    both.put(route)
    assert said(both, CHAT)["Accepted"].message.startswith("1 of 2 rules are not served. spec.rules[1].backendRefs[0]")


@pytest.mark.parametrize(
    ("rules", "accepted"),
    [
        (1, "AIServiceBackend n/provider: spec.backendRef.name: "),
        (2, "No rule is served. AIServiceBackend n/provider: "),
    ],
)
def test_a_route_of_which_nothing_works_says_so(rules: int, accepted: str) -> None:
    both = world("Backend")
    (route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
    route["spec"]["rules"] *= rules
    both.put(route)
    found = said(both, CHAT, running(both))
    assert found["Accepted"].message.startswith(accepted)
    assert found["Programmed"].message == "every filter of Gateway n/edge runs it; no rule is served, see Accepted"


def test_nothing_is_said_about_references_of_what_is_not_served() -> None:
    text = """
    apiVersion: aigateway.envoyproxy.io/v1beta1
    kind: MCPRoute
    metadata: {name: m}
    spec: {parentRefs: [{name: edge}], backendRefs: [{name: b}]}
    """
    assert list(said(world(text=text), ObjectRef("MCPRoute", "n", "m"))) == ["Accepted", "NotAccepted"]


def test_an_object_that_is_refused_says_what_stays_in_use() -> None:
    both = world()
    (route,) = (each for each in documents(WORLD, generation=2) if each["kind"] == "AIGatewayRoute")
    route["spec"]["rules"][0]["backendRefs"][0]["weight"] = -1
    both.put(route)
    found = said(both, CHAT)["Accepted"]
    assert found.reason == "Invalid"
    assert found.message.endswith("; the last good state stays in use")


def test_a_refused_write_is_told() -> None:
    found = said(world(), CHAT, refusal="Invalid: HTTPRoute chat is invalid")["Accepted"]
    assert (found.reason, found.message) == ("WriteRefused", "Invalid: HTTPRoute chat is invalid")


def test_what_is_seen_in_envoy_is_told() -> None:
    note = Finding(severity="warning", object=EDGE, field="spec.listeners", reason="X", message="a filter runs after")
    assert said(world(), CHAT, more=(note,))["Accepted"].message == (
        "AI Gateway Route reconciled successfully. Note: Gateway n/edge: spec.listeners: a filter runs after"
    )


def test_a_route_that_is_spread_says_what_policies_have_to_target() -> None:
    both = world()
    (route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
    route["spec"]["rules"][0]["backendRefs"] *= 17
    both.put(route)
    assert said(both, CHAT)["Accepted"].message == (
        "AI Gateway Route reconciled successfully. Note: spec.rules: is served by several HTTPRoutes (chat, chat-1); "
        "a policy has to target all of them, or give the AIGatewayRoute a label, which all of them get, and select it "
        "by targetSelectors"
    )


def spread() -> Both:
    both = world()
    (route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
    route["spec"]["rules"][0]["backendRefs"] *= 17
    both.put(route)
    return both


def targeting(kind: str, *names: str, **more: Any) -> dict[str, Any]:
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", **more}
    text = f"{{apiVersion: gateway.envoyproxy.io/v1alpha1, kind: {kind}, metadata: {{name: p}}, spec: {{jwt: 7}}}}"
    (document,) = documents(text)
    document["spec"]["targetRefs"] = [{**target, "name": name} for name in names]
    return document


def test_a_policy_for_a_part_of_a_spread_route_is_named() -> None:
    both = spread()
    both.put(targeting("BackendTrafficPolicy", "chat"))
    found = said(both, CHAT)["Accepted"]
    assert found.status == "True"
    assert "BackendTrafficPolicy n/p is for a part of the route only" in found.message
    assert "add chat-1 to its targetRefs" in found.message


def test_a_part_of_a_route_without_its_authentication_is_an_error() -> None:
    both = spread()
    both.put(targeting("SecurityPolicy", "chat-1"))
    found = said(both, CHAT)["Accepted"]
    assert (found.status, found.reason) == ("False", "PolicyIncomplete")
    assert "add chat to its targetRefs" in found.message


@pytest.mark.parametrize(
    "policy",
    [
        targeting("SecurityPolicy", "chat", "chat-1"),
        targeting("SecurityPolicy", "chat", sectionName="rule"),
        targeting("SecurityPolicy", "other"),
    ],
)
def test_policies_for_all_of_a_route_or_for_something_else_are_none_of_our_business(policy: dict[str, Any]) -> None:
    both = spread()
    both.put(policy)
    assert "PolicyIncomplete" not in str(said(both, CHAT))
    assert said(both, CHAT)["Accepted"].status == "True"


def test_programmed_follows_every_filter_of_every_gateway() -> None:
    both = world()
    reports = ReportedFilters()
    assert said(both, CHAT, reports)["Programmed"].status == "Unknown"
    reports.settle()
    assert said(both, CHAT, reports)["Programmed"].reason == "NoFilter"
    now = running(both).running(EDGE) or ()
    reports.report(EDGE, "one", now[0])
    reports.report(EDGE, "two", "something old")
    assert said(both, CHAT, reports)["Programmed"].message.startswith("1 of 2 filters of Gateway n/edge do not run")
    reports.gone(EDGE, "two")
    assert said(both, CHAT, reports)["Programmed"].status == "True"


def test_a_gateway_that_envoy_gateway_never_asks_about_is_not_programmed() -> None:
    asked = 'metadata: {name: edge, annotations: {aigateway.envoyproxy.io/mediated: "true"}}'
    both = world(text=WORLD.replace(asked, "metadata: {name: edge}"))
    reports = ReportedFilters()
    reports.settle()
    assert said(both, CHAT, reports)["Programmed"].reason == "NoFilter"
    reports = running(both)
    found = said(both, CHAT, reports)["Programmed"]
    assert (found.status, found.reason) == ("False", "NotMediated")
    assert found.message.startswith("Envoy Gateway has not asked its extension server about Gateway n/edge, requests")
    assert "extensionManager" in found.message
    both.put(*(each for each in documents(WORLD) if each["kind"] == "Gateway"))
    assert said(both, CHAT, reports)["Programmed"].status == "True"


def test_a_gateway_whose_envoys_do_not_ask_their_filters_any_more_is_not_programmed() -> None:
    both = world()
    reports = running(both)
    reports.report(EDGE, "second", (reports.running(EDGE) or ())[0])
    pods = {name: ObjectRef("Pod", "n", f"p-{name}") for name in ("pod", "second")}
    reports.report_unasked(EDGE, "second", pods["second"], long=True)
    found = said(both, CHAT, reports)["Programmed"]
    assert (found.status, found.reason) == ("False", "NotMediated")
    assert found.message.startswith(
        "of Gateway n/edge, the Envoy of Pod n/p-second does not ask its filter, requests are answered with 503: "
    )
    reports.report_unasked(EDGE, "pod", pods["pod"], long=True)
    found = said(both, CHAT, reports)["Programmed"]
    assert found.message.startswith("no Envoy of Gateway n/edge asks its filter, requests are answered with 503: ")
    assert "check that extensionManager" in found.message
    for each in pods:
        reports.asked(EDGE, each)
    assert said(both, CHAT, reports)["Programmed"].status == "True"


def test_what_was_programmed_before_it_was_noted_who_is_asked_about_stays_so() -> None:
    known = {"type": "Programmed", "status": "True", "reason": "R", "message": "m", "observedGeneration": 1}
    both = world("Gateway")
    (edge, route) = (each for each in documents(WORLD) if each["kind"] in ("Gateway", "AIGatewayRoute"))
    del edge["metadata"]["annotations"]
    both.put(edge, {**route, "status": {"conditions": [known]}})
    assert said(both, CHAT, running(both))["Programmed"].status == "True"


def test_a_filter_that_refuses_its_configuration_says_why() -> None:
    both = world()
    reports = running(both)
    reports.trouble(EDGE, "pod", "the filter of Pod n/p keeps its last configuration: no")
    found = said(both, CHAT, reports)["Programmed"]
    assert (found.status, found.reason) == ("False", "FilterRefuses")
    assert found.message == "the filter of Pod n/p keeps its last configuration: no"
    reports.trouble(EDGE, "pod", "")
    assert said(both, CHAT, reports)["Programmed"].status == "True"
    reports.trouble(EDGE, "pod", "again")
    reports.gone(EDGE, "pod")
    reports.settle()
    assert said(both, CHAT, reports)["Programmed"].reason == "NoFilter"


def test_a_route_that_did_not_change_stays_programmed_while_others_do() -> None:
    both = world()
    reports = running(both)
    second = documents(WORLD)[4]
    second["metadata"]["name"] = "second"
    both.put(second)
    assert said(both, CHAT, reports)["Programmed"].status == "True"
    assert said(both, ObjectRef("AIGatewayRoute", "n", "second"), reports)["Programmed"].reason == "Pending"


def test_before_filters_had_time_to_connect_the_last_word_holds() -> None:
    known = {"type": "Programmed", "status": "True", "reason": "R", "message": "m", "observedGeneration": 1}
    both = world()
    (route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
    both.put({**route, "status": {"conditions": [known]}})
    assert said(both, CHAT)["Programmed"] == Condition("Programmed", "True", "R", "m")
    both.put(*({**each, "status": {"conditions": [known]}} for each in documents(WORLD, generation=2)[4:]))
    assert said(both, CHAT)["Programmed"].status == "Unknown"


def test_a_long_list_of_errors_is_cut() -> None:
    both = world()
    (route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
    route["spec"]["rules"][0]["backendRefs"] = [{"name": f"missing-{number}"} for number in range(12)]
    both.put(route)
    assert said(both, CHAT)["Accepted"].message.endswith("; and 4 more")


@pytest.mark.parametrize(
    ("count", "fields"),
    [
        (2, "spec.rules[0].backendRefs[0].name, spec.rules[0].backendRefs[1].name"),
        (
            7,
            (
                "spec.rules[0].backendRefs[0].name, spec.rules[0].backendRefs[1].name, "
                "spec.rules[0].backendRefs[2].name, spec.rules[0].backendRefs[3].name and 3 more"
            ),
        ),
    ],
)
def test_the_same_about_several_fields_is_said_once(count: int, fields: str) -> None:
    both = world("AIServiceBackend")
    (route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
    route["spec"]["rules"][0]["backendRefs"] *= count
    both.put(route)
    assert said(both, CHAT)["Accepted"].message == (
        f"{fields}: AIServiceBackend n/provider not found; create it or correct the name"
    )


def test_a_time_changes_with_its_status_only() -> None:
    wanted = (Condition("Accepted", "True", "R", "m"), Condition("Programmed", "False", "R", "m"))
    both = world()
    held = both.store.held(CHAT)
    assert held is not None
    first = status.merged(held, wanted, NOW)
    assert first is not None
    assert first[0] == {
        "type": "Accepted",
        "status": "True",
        "reason": "R",
        "message": "m",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "observedGeneration": 1,
    }
    (route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
    both.put({**route, "status": {"conditions": deepcopy(first)}})
    held = both.store.held(CHAT)
    assert held is not None
    later = datetime(2027, 1, 1, tzinfo=UTC)
    assert status.merged(held, wanted, later) is None
    second = status.merged(held, (wanted[0], Condition("Programmed", "True", "R", "m")), later)
    assert second is not None
    assert [each["lastTransitionTime"] for each in second] == ["2026-01-02T03:04:05Z", "2027-01-01T00:00:00Z"]
