"""Patches on xDS that real Envoy Gateways wrote."""

import pytest

from extension_server.xds import attempts, edge, listener_filter, patches, pool, processor
from extension_server.xds.pool import Message
from extension_server.xds.resources import Resources
from tests.support.xds import RECORDED, backends, bytes_of, managers, mediation, recorded

ALL = sorted(path.stem for path in RECORDED.glob("*.bin"))
LISTENER = "default/gw/http"


def patched(name: str, *rules: tuple[int, ...], plan: str = "single", first: int = 0) -> Resources:
    resources = recorded(name)
    compiled = (backends(*priorities, first=first) for priorities in rules)
    patches.apply(resources, mediation(*compiled, plan=plan))  # type: ignore[arg-type]
    return resources


def cluster(resources: Resources, name: str) -> Message:
    return next(each for each in resources.clusters if each.name == name)


def marks(of: Message) -> list[tuple[int, str]]:
    return [
        (
            locality.priority,
            endpoint.metadata.filter_metadata["aigateway.envoy.io"]["per_route_rule_backend_name"],
        )
        for locality in of.load_assignment.endpoints
        for endpoint in locality.lb_endpoints
    ]


@pytest.mark.parametrize("plan", ["single", "attempt"])
@pytest.mark.parametrize("name", ALL)
def test_patching_twice_is_patching_once(name: str, plan: str) -> None:
    resources = patched(name, (0, 1), plan=plan)
    once = bytes_of(resources)
    patches.apply(resources, mediation(backends(0, 1), plan=plan))  # type: ignore[arg-type]
    assert bytes_of(resources) == once


@pytest.mark.parametrize("name", ALL)
def test_the_same_input_gives_the_same_bytes(name: str) -> None:
    assert bytes_of(patched(name, (0, 1), plan="attempt")) == bytes_of(patched(name, (0, 1), plan="attempt"))


@pytest.mark.parametrize("name", ALL)
def test_without_ai_rules_nothing_changes(name: str) -> None:
    resources = recorded(name)
    before = bytes_of(resources)
    unrelated = mediation(backends(0))
    object.__setattr__(unrelated.compiled, "rules", ())
    object.__setattr__(unrelated.compiled, "fallbacks", ())
    patches.apply(resources, unrelated)
    assert bytes_of(resources) == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1.8-b04-fallback-priorities", ["ours", "header_to_metadata", "router"]),
        (
            "1.8-d04-apikey-and-response-override",
            ["custom_response/backendtrafficpolicy/default/ro", "api_key_auth", "ours", "header_to_metadata", "router"],
        ),
        (
            "1.8-d08-extproc",
            ["ours", "ext_proc/envoyextensionpolicy/default/ep/extproc/0", "header_to_metadata", "router"],
        ),
    ],
)
def test_the_filter_stands_after_authentication_and_before_filters_of_users(name: str, expected: list[str]) -> None:
    manager = managers(patched(name, (0, 1)))[LISTENER]
    chain = ["ours" if each.name == processor.FILTER else each.name for each in manager.http_filters]
    assert [name.removeprefix("envoy.filters.http.") for name in chain] == expected
    (ours,) = [each for each in manager.http_filters if each.name == processor.FILTER]
    assert ours.disabled
    assert manager.scheme_header_transformation.match_upstream


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (["router"], 0),
        (["lua", "jwt_authn", "router"], 2),
        (["ratelimit", "cors", "ext_authz", "wasm/envoyextensionpolicy/a/b/0", "router"], 3),
        (["api_key_auth", "rbac", "local_ratelimit", "router"], 2),
        (["rbac.dfp_loopback_deny", "router"], 0),
        (["oauth2/securitypolicy/a/b", "buffer", "credential_injector/x", "compressor", "router"], 2),
    ],
)
def test_its_place_is_read_from_the_actual_chain(chain: list[str], expected: int) -> None:
    assert listener_filter.position([f"envoy.filters.http.{name}" for name in chain]) == expected


def test_client_sent_internal_headers_are_stripped_once() -> None:
    manager = managers(patched("1.8-b04-fallback-priorities", (0, 1)))[LISTENER]
    (extension,) = manager.early_header_mutation_extensions
    assert extension.name == edge.NAME
    (mutation,) = pool.unpacked(extension.typed_config).mutations
    assert mutation.remove_on_match.key_matcher.prefix == "x-ai-eg-"


def test_listeners_without_ai_routes_and_without_http_are_left_alone() -> None:
    before = {each.name: pool.serialized(each) for each in recorded("1.8-c01-http-and-tcp").listeners}
    after = {each.name: pool.serialized(each) for each in patched("1.8-c01-http-and-tcp", (0,)).listeners}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {LISTENER}


def test_only_the_fallback_switches_the_filter_on_and_names_the_configuration() -> None:
    resources = patched("1.8-b04-fallback-priorities", (0, 1))
    (configuration,) = resources.routes
    rule, fallback = configuration.virtual_hosts[0].routes
    assert processor.FILTER not in rule.typed_per_filter_config
    override = pool.unpacked(fallback.typed_per_filter_config[processor.FILTER])
    metadata = {each.key: each.value for each in override.overrides.grpc_initial_metadata}
    assert metadata["x-ai-eg-listener"] == configuration.name
    assert len(metadata["x-ai-eg-config"]) == 16


def test_ai_routes_name_their_route_and_keep_internal_headers_in() -> None:
    resources = patched("1.8-b04-fallback-priorities", (0, 1))
    rule, fallback = resources.routes[0].virtual_hosts[0].routes
    assert rule.metadata.filter_metadata["aigateway.envoy.io"]["aigw_route_name"] == "default/llm"
    assert {"x-ai-eg-rule", "x-ai-eg-original-path"} <= set(rule.request_headers_to_remove)
    assert not fallback.request_headers_to_remove


def test_a_silent_stream_ends_after_its_idle_timeout() -> None:
    resources = recorded("1.8-b04-fallback-priorities")
    patches.apply(resources, mediation(backends(0, 1), stream_idle_timeout=1.5))
    policy = resources.routes[0].virtual_hosts[0].routes[0].route.retry_policy
    assert (policy.per_try_idle_timeout.seconds, policy.per_try_idle_timeout.nanos) == (1, 500_000_000)
    assert policy.num_retries.value == 5


def test_what_a_request_is_signed_for_is_put_into_it_by_its_route() -> None:
    plain, signed = recorded("1.8-b04-fallback-priorities"), recorded("1.8-b04-fallback-priorities")
    patches.apply(plain, mediation(backends(0, 1)))
    patches.apply(signed, mediation(backends(0, 1), authority="signed.example"))
    rewrites = [each.routes[0].virtual_hosts[0].routes[0].route for each in (plain, signed)]
    assert rewrites[0].auto_host_rewrite.value
    assert rewrites[1].host_rewrite_literal == "signed.example"
    assert plain.routes[0].virtual_hosts[0].routes[1] == signed.routes[0].virtual_hosts[0].routes[1]


def test_a_route_that_leads_nowhere_is_not_made_one_that_does() -> None:
    resources = recorded("1.8-b04-fallback-priorities")
    (rule, _) = resources.routes[0].virtual_hosts[0].routes
    rule.direct_response.status = 500
    patches.apply(resources, mediation(backends(0, 1), authority="signed.example", stream_idle_timeout=1.0))
    assert resources.routes[0].virtual_hosts[0].routes[0].direct_response.status == 500


def test_priorities_and_backends_are_paired_by_region() -> None:
    resources = patched("1.8-b04-fallback-priorities", (0, 1))
    assert marks(cluster(resources, "httproute/default/llm/rule/0")) == [
        (0, "default/b0/route/llm/rule/0/ref/0"),
        (1, "default/b1/route/llm/rule/0/ref/1"),
    ]


def test_a_backend_of_weight_zero_does_not_shift_the_others() -> None:
    """The one locality that is left is backendRef 1's."""
    resources = patched("1.8-b03-two-fqdn-weight0", (0,), plan="attempt", first=1)
    assert marks(cluster(resources, "httproute/default/llm/rule/0")) == [(0, "default/b1/route/llm/rule/0/ref/1")]


def test_clusters_of_one_backend_are_marked_by_their_name() -> None:
    resources = patched("1.8-b06-mixed-fqdn-ip", (0, 0))
    assert marks(cluster(resources, "httproute/default/llm/rule/0/backend/0")) == [
        (0, "default/b0/route/llm/rule/0/ref/0")
    ]
    eds = cluster(resources, "httproute/default/llm/rule/0/backend/1")
    mark = eds.metadata.filter_metadata["aigateway.envoy.io"]["per_route_rule_backend_name"]
    assert mark == "default/b1/route/llm/rule/0/ref/1"


def test_merged_clusters_say_nothing_about_the_rule_and_are_left_alone() -> None:
    before = [pool.serialized(each) for each in recorded("1.9-h01-merge-backends").clusters]
    after = patched("1.9-h01-merge-backends", (0, 0)).clusters
    assert [pool.serialized(each) for each in after[: len(before)]] == before


@pytest.mark.parametrize("name", ["1.8-b04-fallback-priorities", "1.8-b08-backend-tls", "1.9-b04-fallback-priorities"])
def test_attempts_are_translated_by_a_filter_of_the_cluster(name: str) -> None:
    of = cluster(patched(name, (0, 1), plan="attempt"), "httproute/default/llm/rule/0")
    options = pool.unpacked(of.typed_extension_protocol_options[pool.HTTP_PROTOCOL_OPTIONS])
    assert [each.name for each in options.http_filters] == [
        processor.FILTER,
        attempts.LENGTH_FILTER,
        attempts.CODEC_FILTER,
    ]
    kept = "auto_config" if "tls" in name else "explicit_http_config"
    assert options.WhichOneof("upstream_protocol_options") == kept
    config = pool.unpacked(options.http_filters[0].typed_config)
    # Bodies at this level, or a cluster shared with the listener level, can crash Envoy.
    assert config.processing_mode.request_body_mode == config.processing_mode.BodySendMode.Value("NONE")
    assert config.processing_mode.response_body_mode == config.processing_mode.BodySendMode.Value("NONE")
    assert config.grpc_service.envoy_grpc.cluster_name == processor.ATTEMPT_CLUSTER != processor.REQUEST_CLUSTER
    assert list(config.metadata_options.forwarding_namespaces.untyped) == ["aigateway.envoy.io"]


def test_a_single_plan_has_no_filter_in_the_cluster() -> None:
    of = cluster(patched("1.8-b04-fallback-priorities", (0, 1)), "httproute/default/llm/rule/0")
    assert pool.HTTP_PROTOCOL_OPTIONS not in of.typed_extension_protocol_options


def test_existing_upstream_filters_come_before_ours_and_the_codec_last() -> None:
    resources = recorded("1.8-b04-fallback-priorities")
    of = cluster(resources, "httproute/default/llm/rule/0")
    injector = {"name": "envoy.filters.http.credential_injector"}
    codec = {"name": "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}
    options = pool.message(pool.HTTP_PROTOCOL_OPTIONS, http_filters=[injector, codec])
    pool.replace(of.typed_extension_protocol_options[pool.HTTP_PROTOCOL_OPTIONS], options)
    patches.apply(resources, mediation(backends(0, 1), plan="attempt"))
    after = pool.unpacked(of.typed_extension_protocol_options[pool.HTTP_PROTOCOL_OPTIONS])
    chain = [each.name for each in after.http_filters]
    assert chain == [injector["name"], processor.FILTER, attempts.LENGTH_FILTER, codec["name"]]


def test_both_ways_to_the_filter_are_wide_enough() -> None:
    resources = patched("1.8-b04-fallback-priorities", (0, 1))
    for name in (processor.REQUEST_CLUSTER, processor.ATTEMPT_CLUSTER):
        (threshold,) = cluster(resources, name).circuit_breakers.thresholds
        limits = (threshold.max_connections, threshold.max_pending_requests, threshold.max_requests)
        assert {limit.value for limit in limits} == {100_000}


def test_a_filter_is_missing_when_nobody_would_wait_for_it_any_longer() -> None:
    resources = patched("1.8-b04-fallback-priorities", (0, 1))
    request = cluster(resources, processor.REQUEST_CLUSTER)
    (probe,) = request.health_checks
    assert probe.HasField("tcp_health_check")
    assert probe.unhealthy_threshold.value * probe.interval.seconds == processor.MESSAGE_TIMEOUT
    assert probe.no_traffic_interval == probe.interval
    assert request.common_lb_config.HasField("healthy_panic_threshold")
    assert request.common_lb_config.healthy_panic_threshold.value == 0
    assert not cluster(resources, processor.ATTEMPT_CLUSTER).health_checks


def test_a_gateway_without_ai_routes_gets_no_cluster_of_ours() -> None:
    resources = recorded("1.8-b04-fallback-priorities")
    elsewhere = mediation(backends(0))
    object.__setattr__(elsewhere.compiled, "fallbacks", ())
    patches.apply(resources, elsewhere)
    assert all(not each.name.startswith(processor.REQUEST_CLUSTER) for each in resources.clusters)


def test_request_bodies_are_buffered_and_response_bodies_on_demand() -> None:
    manager = managers(patched("1.8-b04-fallback-priorities", (0, 1)))[LISTENER]
    config = pool.unpacked(next(each for each in manager.http_filters if each.name == processor.FILTER).typed_config)
    mode = config.processing_mode
    value = mode.BodySendMode.Value
    assert (mode.request_body_mode, mode.response_body_mode) == (value("BUFFERED"), value("NONE"))
    assert config.allow_mode_override
    assert config.mutation_rules.allow_all_routing.value
    assert config.grpc_service.retry_policy.num_retries.value == processor.STREAM_RETRIES
    assert not config.failure_mode_allow
