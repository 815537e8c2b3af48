"""Base xDS against what a real Envoy Gateway made of the same resources, and what it refuses."""

from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Any

import pytest
import yaml

from aigw.standalone.base_xds import access_log, build, tls
from aigw.standalone.base_xds.world import NotServable, World
from aigw.standalone.default_log import default_access_log
from extension_server.api import base, kinds
from extension_server.api import envoy_gateway as eg
from extension_server.compile.gateway import compile_gateway
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import Snapshot
from extension_server.xds import pool
from extension_server.xds.pool import Message
from extension_server.xds.resources import Resources
from tests.support.xds import managers, recorded

RECORDED = Path(__file__).parent / "recorded"
SCENARIOS = sorted(path.stem for path in RECORDED.glob("*.bin"))
NO_LOG = eg.AccessLog()


def snapshot(text: str) -> Snapshot:
    documents = [document for document in yaml.safe_load_all(text) if document]
    return Snapshot(base.parse(kinds.model_of(each["apiVersion"], each["kind"]), each) for each in documents)


def built(text: str, *, log: eg.AccessLog = NO_LOG) -> tuple[Resources, tls.Files]:
    resources = snapshot(text)
    compiled = compile_gateway(resources, ObjectRef("Gateway", "default", "gw"), token_key=b"k")
    files = tls.Files(PurePath("/keys"), PurePath("/ca.pem"))
    return build.build(World(resources, compiled), files, default_log=log, address="0.0.0.0"), files


def scenario(name: str) -> str:
    return (RECORDED / f"{name}.yaml").read_text()


def named(messages: Iterable[Message]) -> dict[str, Message]:
    return {message.name: message for message in messages}


@pytest.mark.parametrize("name", SCENARIOS)
def test_routes_are_those_of_envoy_gateway(name: str) -> None:
    theirs, (ours, _) = named(recorded(name, RECORDED).routes), built(scenario(name))
    for configuration in theirs.values():
        for host in configuration.virtual_hosts:
            for route in host.routes:
                # Nothing that standalone serves is upgraded; and nothing reads the names of policies.
                if route.HasField("route"):
                    route.route.ClearField("upgrade_configs")
                route.metadata.filter_metadata["envoy-gateway"].fields.pop("policies", None)
    assert named(ours.routes) == theirs


@pytest.mark.parametrize("name", SCENARIOS)
def test_clusters_of_host_names_are_those_of_envoy_gateway(name: str) -> None:
    theirs, (ours, _) = named(recorded(name, RECORDED).clusters), built(scenario(name))
    assert named(ours.clusters).keys() == theirs.keys()
    for cluster in ours.clusters:
        if cluster.type == cluster.DiscoveryType.Value("STRICT_DNS"):
            assert cluster == theirs[cluster.name]


@pytest.mark.parametrize("name", SCENARIOS)
def test_connection_managers_are_those_of_envoy_gateway(name: str) -> None:
    theirs = managers(recorded(name, RECORDED))
    del theirs["envoy-gateway-proxy-ready-0.0.0.0-19003"]
    ours = managers(built(scenario(name))[0])
    for manager in theirs.values():
        del manager.access_log[:]
        manager.stat_prefix = manager.stat_prefix.replace("10080", "80")  # standalone listens on the port itself
    for manager in ours.values():
        # Bytes of typed configs differ by map order only; compare what they say.
        manager.rds.config_source.SetInParent()
    assert ours == theirs


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_input_gives_one_output(name: str) -> None:
    one, other = built(scenario(name))[0], built(scenario(name))[0]
    for kind in ("listeners", "routes", "clusters"):
        texts = [[pool.serialized(each) for each in getattr(resources, kind)] for resources in (one, other)]
        assert texts[0] == texts[1]


def test_two_gateways_never_share_a_port() -> None:
    (listener,) = built(scenario("b02-two-fqdn-weights"))[0].listeners
    assert listener.HasField("enable_reuse_port")
    assert not listener.enable_reuse_port.value


GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: eg, listeners: [LISTENERS]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: b}]}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: b}
spec: {endpoints: [ENDPOINTS]}
"""
HTTP = "{name: http, protocol: HTTP, port: 80}"
IP = "{ip: {address: 10.0.0.1, port: 80}}"
NAME = "{fqdn: {hostname: a.example, port: 80}}"


def gateway(listeners: str = HTTP, endpoints: str = IP) -> str:
    return GATEWAY.replace("LISTENERS", listeners).replace("ENDPOINTS", endpoints)


@pytest.mark.parametrize(
    ("endpoints", "expected"), [(IP, "STATIC"), (NAME, "STRICT_DNS"), (f"{IP}, {NAME}", "STRICT_DNS")]
)
def test_addresses_and_names_stay_one_cluster(endpoints: str, expected: str) -> None:
    """Envoy Gateway splits a mixture into weighted clusters, which makes priorities meaningless."""
    (cluster,) = built(gateway(endpoints=endpoints))[0].clusters
    assert cluster.name == "httproute/default/r/rule/0"
    assert cluster.type == cluster.DiscoveryType.Value(expected)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            gateway().replace("kind: Backend, name: b}", "kind: Backend, name: x}"),
            ("HTTPRoute default/r", "backendRefs[0]"),
        ),
        (gateway("{name: a, protocol: HTTPS, port: 443}"), ("Gateway default/gw", "certificateRefs")),
        (
            gateway("{name: a, protocol: HTTPS, port: 443, tls: {certificateRefs: [{name: c}]}}"),
            ("Gateway default/gw", "certificateRefs[0]", "default/c not found"),
        ),
        (gateway(f"{HTTP}, {{name: a, protocol: HTTPS, port: 80}}"), ("listeners[1].protocol", "both")),
    ],
)
def test_what_cannot_be_served_is_refused_by_object_and_field(text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(NotServable) as refused:
        built(text)
    for part in parts:
        assert part in str(refused.value)


def test_a_private_key_is_in_a_file_beside_xds_and_nowhere_in_it() -> None:
    secret = (
        "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: c}\nstringData: {tls.crt: CHAIN, tls.key: PRIVATE}\n"
    )
    listener = "{name: a, protocol: HTTPS, port: 443, tls: {certificateRefs: [{name: c}]}}"
    resources, files = built(gateway(listener) + secret)
    assert sorted(text.reveal() for text in files.content.values()) == ["CHAIN", "PRIVATE"]
    everything = b"".join(pool.serialized(each) for each in resources.listeners)
    assert b"PRIVATE" not in everything
    assert all(name.encode() in everything for name in files.content)
    assert "PRIVATE" not in repr(files)


def access_logs(resources: Resources) -> list[Any]:
    (manager,) = managers(resources).values()
    return list(manager.access_log)


def test_without_an_envoy_proxy_ai_requests_are_logged_as_json_on_standard_output() -> None:
    (log,) = access_logs(built(gateway(), log=default_access_log())[0])
    config = pool.unpacked(log.typed_config)
    assert config.path == "/dev/stdout"
    fields = config.log_format.json_format
    assert fields["gen_ai.request.model"] == "%REQ(X-AI-EG-MODEL)%"
    assert fields["gen_ai.usage.input_tokens"] == "%DYNAMIC_METADATA(io.envoy.ai_gateway:llm_input_token)%"
    assert log.filter.header_filter.header.name == "x-ai-eg-model"


@pytest.mark.parametrize(
    "expression",
    [
        "request.headers['x-ai-eg-model'] != ''",
        'request.headers["x-ai-eg-model"]!=""',
        " request.headers['x-ai-eg-model'] != \"\" ",
    ],
)
def test_the_presence_of_a_header_is_asked_of_envoys_own_filter(expression: str) -> None:
    header = access_log.condition((expression,))["header_filter"]["header"]
    assert header == {"name": "x-ai-eg-model", "string_match": {"exact": ""}, "invert_match": True}


@pytest.mark.parametrize(
    "expression",
    [
        "request.headers['x-ai-eg-model'] == ''",
        "request.headers['x-ai-eg-model'] != 'm'",
        "request.headers['X-Ai-Eg-Model'] != ''",
        "request.headers['a'] != '' || request.headers['b'] != ''",
        "response.headers['a'] != ''",
        "!(request.headers['a'] != '')",
        "response.code >= 400",
    ],
)
def test_every_other_condition_is_left_to_cel(expression: str) -> None:
    both = access_log.condition((expression, "request.headers['a'] != ''"))["and_filter"]["filters"]
    packed = both[0]["extension_filter"]["typed_config"]
    type_ = pool.message_class("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter")
    assert type_.FromString(packed["value"]).expression == expression
    assert "header_filter" in both[1]
