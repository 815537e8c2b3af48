"""What the hooks decide beyond the patches."""

from dataclasses import replace

import pytest

from extension_server.compile.result import ObjectRef
from extension_server.compile.routes import FAIL_CLOSED_STATUS
from extension_server.hooks import messages
from extension_server.hooks.messages import METHODS, Method
from extension_server.hooks.service import Cold, HookService, Refused
from extension_server.hooks.source import CompiledResults
from extension_server.xds import pool
from tests.support.hooks import GATEWAY, Observed, answered, decoded, scenario, statuses

AI_ROUTE = "httproute/default/llm/rule/0/match/0/*"


@pytest.mark.parametrize("method", [each for each in METHODS if each != "PostTranslateModify"])
def test_resources_of_the_other_hooks_come_back_untouched(method: Method) -> None:
    service = HookService(CompiledResults())
    request = messages.request(method)(resource=b"whatever it is")
    assert answered(service, method, request.SerializeToString()).resource == b"whatever it is"


@pytest.mark.parametrize("method", [each for each in METHODS if each != "PostTranslateModify"])
def test_a_request_without_resource_gets_an_answer_without(method: Method) -> None:
    """Which keeps the original; an empty resource would replace it."""
    assert HookService(CompiledResults()).answer(method, b"") == b""


def test_a_filter_of_the_users_after_ours_closes_rules_that_would_show_it_credentials() -> None:
    recorded = scenario("extproc")
    sink = Observed()
    answer = answered(HookService(recorded.results(), sink), "PostTranslateModify", recorded.translation)
    assert statuses(answer)[AI_ROUTE] == FAIL_CLOSED_STATUS
    (observation,) = sink.all
    assert observation.user_filters == {"default/gw/http"}
    assert sink.reasons == {"UserFilterAfterOurs"}


def test_rules_compiled_with_that_knowledge_are_served() -> None:
    recorded = scenario("extproc")
    sink = Observed()
    results = recorded.results(user_filters=("default/gw/http",))
    answer = answered(HookService(results, sink), "PostTranslateModify", recorded.translation)
    assert statuses(answer)[AI_ROUTE] == 0
    assert sink.all[0].user_filters == {"default/gw/http"}


def test_shared_clusters_close_rules_of_plan_attempt_alone() -> None:
    recorded = scenario("merge-backends", "1.9.1")
    sink = Observed()
    answer = answered(HookService(recorded.results(), sink), "PostTranslateModify", recorded.translation)
    assert statuses(answer) == {
        "httproute/default/llm/rule/0/match/0/*": 0,
        "httproute/default/llm/rule/1/match/0/*": FAIL_CLOSED_STATUS,
        "httproute/default/llm2/rule/0/match/0/*": 0,
        "httproute/default/llm/rule/2/match/0/*": 404,
        "httproute/default/llm2/rule/1/match/0/*": 404,
    }
    (finding,) = sink.all[0].findings
    assert (finding.reason, finding.field) == ("SharedCluster", "spec.rules[1].backendRefs")


def test_endpoints_that_nobody_tells_apart_are_reported() -> None:
    """Envoy Gateway is not configured to call the Endpoints hook."""
    recorded = scenario("two-ip-eds")
    sink = Observed()
    service = HookService(recorded.results(), sink)
    answered(service, "PostTranslateModify", recorded.translation)
    assert sink.reasons == {"EndpointsHookMissing"}
    sink.all.clear()
    answered(service, "PostEndpointsModify", recorded.endpoints[0])
    answered(service, "PostTranslateModify", recorded.translation)
    assert sink.reasons == set()


def test_an_observation_names_the_configuration_that_envoy_will_ask_for() -> None:
    recorded = scenario("two-fqdn-weights")
    sink = Observed()
    answered(HookService(recorded.results(), sink), "PostTranslateModify", recorded.translation)
    (observation,) = sink.all
    assert (observation.gateway, observation.config_hash) == (GATEWAY, recorded.compiled().config_hash)
    assert not observation.findings


def test_a_gateway_that_is_not_known_yet_is_observed_without_a_hash() -> None:
    sink = Observed()
    answered(HookService(CompiledResults(), sink), "PostTranslateModify", scenario("two-fqdn-weights").translation)
    (observation,) = sink.all
    assert (observation.gateway, observation.config_hash) == (GATEWAY, "")


def test_a_removed_result_is_not_used_any_more() -> None:
    recorded = scenario("two-fqdn-weights")
    results = recorded.results()
    unknown = HookService(CompiledResults()).answer("PostTranslateModify", recorded.translation)
    results.remove(GATEWAY)
    results.remove(ObjectRef("Gateway", "default", "never-there"))
    assert HookService(results).answer("PostTranslateModify", recorded.translation) == unknown
    assert results.for_gateway("default", "gw") is None


def test_a_listener_that_serves_several_gateways_stays_unmediated() -> None:
    """mergeGateways: the filter beside this Envoy has one Gateway's configuration."""
    recorded = scenario("two-fqdn-weights")
    request = messages.request("PostTranslateModify").FromString(recorded.translation)
    (configuration,) = decoded("routes", request)
    other = configuration.virtual_hosts.add()
    other.CopyFrom(configuration.virtual_hosts[0])
    section = pool.struct({"resources": [{"kind": "Gateway", "namespace": "default", "name": "other"}]})
    other.metadata.filter_metadata["envoy-gateway"].CopyFrom(section)
    request.routes[0] = configuration.SerializeToString()
    sink = Observed()
    answer = answered(HookService(recorded.results(), sink), "PostTranslateModify", request.SerializeToString())
    assert [*answer.routes] == [*request.routes]
    assert b"aigw/strip-internal-headers" in b"".join(answer.listeners)
    assert {str(each.gateway) for each in sink.all} == {"Gateway default/gw", "Gateway default/other"}
    assert sink.reasons == {"MergedGateways"}


@pytest.mark.parametrize("marked", [True, False])
def test_gateways_that_share_an_envoy_are_told_so_by_name(marked: bool) -> None:
    """mergeGateways with a port for each Gateway: no RouteConfiguration serves both."""
    recorded = scenario("two-fqdn-weights")
    request = messages.request("PostTranslateModify").FromString(recorded.translation)
    (configuration,) = decoded("routes", request)
    other = pool.message_class(pool.ROUTE_CONFIGURATION)()
    if marked:
        other.CopyFrom(configuration)
        for host in other.virtual_hosts:
            section = pool.struct({"resources": [{"kind": "Gateway", "namespace": "default", "name": "other"}]})
            host.metadata.filter_metadata["envoy-gateway"].CopyFrom(section)
    other.name = "default/other/http"
    request.routes.append(other.SerializeToString())
    results = recorded.results()
    if not marked:
        known = replace(recorded.compiled(), gateway=ObjectRef("Gateway", "default", "other"))
        results.put(known)
    sink = Observed()
    answered(HookService(results, sink), "PostTranslateModify", request.SerializeToString())
    said = {str(each.object): each.message for seen in sink.all for each in seen.findings}
    assert said["Gateway default/gw"].startswith("its Envoy also serves Gateway default/other (mergeGateways")
    assert sink.reasons == {"MergedGateways"}


def test_findings_are_logged_when_they_are_new(caplog: pytest.LogCaptureFixture) -> None:
    recorded = scenario("extproc")
    service = HookService(recorded.results())
    for _ in range(3):
        answered(service, "PostTranslateModify", recorded.translation)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("known", [True, False])
def test_listeners_that_are_not_sent_are_reported(known: bool) -> None:
    """Envoy Gateway's default: AI routes then answer 503, and somebody must hear why."""
    recorded = scenario("two-fqdn-weights")
    request = messages.request("PostTranslateModify").FromString(recorded.translation)
    del request.listeners[:]
    sink = Observed()
    service = HookService(recorded.results() if known else CompiledResults(), sink)
    answer = answered(service, "PostTranslateModify", request.SerializeToString())
    assert not answer.listeners
    assert "ListenersNotSent" in sink.reasons


def test_routes_that_are_not_sent_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    recorded = scenario("two-fqdn-weights")
    request = messages.request("PostTranslateModify").FromString(recorded.translation)
    del request.listeners[:], request.routes[:]
    answer = answered(HookService(recorded.results()), "PostTranslateModify", request.SerializeToString())
    assert [*answer.clusters] == [*request.clusters]
    assert "includeAll" in caplog.text


def test_before_anything_is_known_a_translation_with_ai_routes_is_turned_away() -> None:
    """Envoy Gateway then keeps what the data plane has; a 503 for every AI route would replace it."""
    recorded = scenario("one-fqdn")
    sink = Observed()
    results = CompiledResults(warm=False)
    service = HookService(results, sink)
    answer = service.answer("PostTranslateModify", recorded.translation)
    assert isinstance(answer, Cold)
    assert isinstance(answer.otherwise, Refused)
    assert answer.gateways == (GATEWAY,)
    assert sink.all == []
    service.turned_away(answer)
    assert sink.away == [GATEWAY]

    results.put(recorded.compiled())
    expected = HookService(recorded.results()).answer("PostTranslateModify", recorded.translation)
    assert service.answer("PostTranslateModify", recorded.translation) == expected


def test_before_anything_is_known_gateways_without_ai_routes_are_served() -> None:
    request = messages.request("PostTranslateModify")(clusters=[b"\x0a\x01c"], secrets=[b"s"])
    answer = answered(HookService(CompiledResults(warm=False)), "PostTranslateModify", request.SerializeToString())
    assert [*answer.clusters] == [b"\x0a\x01c"]


def test_when_everything_is_known_a_gateway_that_is_not_is_nobodys() -> None:
    results = CompiledResults(warm=False)
    results.warmed()
    answer = answered(HookService(results, sink := Observed()), "PostTranslateModify", scenario("one-fqdn").translation)
    assert answer.routes
    assert [each.known for each in sink.all] == [False]


def test_endpoints_of_rules_wait_too_and_then_stay_unmarked() -> None:
    recorded = scenario("two-ip-eds")
    answer = HookService(CompiledResults(warm=False)).answer("PostEndpointsModify", recorded.endpoints[0])
    assert isinstance(answer, Cold)
    assert isinstance(answer.otherwise, bytes)
    kept = messages.response("PostEndpointsModify").FromString(answer.otherwise)
    assert kept.resource == messages.request("PostEndpointsModify").FromString(recorded.endpoints[0]).resource
    assert answer.gateways == ()
