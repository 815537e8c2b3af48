"""The environment → a configuration in the format of files, with the names that people rely on; and the demo's."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw.standalone import autoconfig, resources, verdicts
from aigw.standalone.autoconfig import DemoPorts, Sink, access_log_sink
from aigw.standalone.resources import BadResources, Loaded
from extension_server.api import core, envoy_gateway, gateway
from extension_server.api.aigateway import AIGatewayRoute, AIServiceBackend, BackendSecurityPolicy
from extension_server.api.envoy_gateway import NamedValue
from extension_server.compile.snapshot import ref_of
from filters.contract.config import AwsCredential, Backend, Cost, Credential, HeaderCredential, HeaderMutation, Schema
from filters.contract.secret import Secret
from tests.support.gateway import credentials_apart

PORTS = DemoPorts(openai=1, anthropic=2, bedrock=3, down=4)


def loaded(environment: Mapping[str, str], **options: int | bool) -> Loaded:
    text = autoconfig.from_environment(environment, **options)  # type: ignore[arg-type]
    assert text is not None
    return resources.read(text, "environment", environment)


def the_backend(environment: Mapping[str, str]) -> tuple[Backend, Mapping[str, Credential]]:
    """With its credential under the backend's own name."""
    judged = verdicts.judge(loaded(environment), token_key=b"k")
    assert (judged.errors, judged.warnings) == ((), ())
    (backend,) = judged.compiled.filter_config.backends
    credentials = judged.compiled.filter_config.credentials
    value: Any = credentials.get(backend.credential, "")
    backends, values = credentials_apart([msgspec.structs.replace(backend, credential=value)])
    return backends[0], values


def test_without_a_key_there_is_no_configuration() -> None:
    assert autoconfig.from_environment({"OPENAI_API_KEY": "", "OPENAI_BASE_URL": "https://x"}) is None


def test_the_names_of_the_objects() -> None:
    assert {str(ref_of(each)) for each in loaded({"OPENAI_API_KEY": "k"}).snapshot} == {
        "GatewayClass aigw-run",
        "Gateway default/aigw-run",
        "EnvoyProxy default/envoy-ai-gateway",
        "ClientTrafficPolicy default/client-buffer-limit",
        "AIGatewayRoute default/aigw-run",
        "AIServiceBackend default/openai",
        "Backend default/openai",
        "BackendTLSPolicy default/openai-tls",
        "Secret default/openai-apikey",
        "BackendSecurityPolicy default/openai-apikey",
    }


NAME = "default/{0}/route/aigw-run/rule/0/ref/0"


@pytest.mark.parametrize(
    ("environment", "backend"),
    [
        (
            {"OPENAI_API_KEY": "sk"},
            Backend(
                name=NAME.format("openai"),
                short_name="default/openai",
                schema=Schema(name="OpenAI", prefix="v1"),
                host="api.openai.com",
                credential=HeaderCredential(name="authorization", value=Secret("Bearer sk")),
            ),
        ),
        (
            {
                "OPENAI_API_KEY": "sk",
                "OPENAI_BASE_URL": "https://OpenRouter.ai/api/v1/",
                "OPENAI_ORG_ID": "org-1",
                "OPENAI_PROJECT_ID": "proj-1",
                "ANTHROPIC_API_KEY": "ignored",
            },
            Backend(
                name=NAME.format("openai"),
                short_name="default/openai",
                schema=Schema(name="OpenAI", prefix="api/v1"),
                host="openrouter.ai",
                credential=HeaderCredential(name="authorization", value=Secret("Bearer sk")),
                header_mutation=HeaderMutation(set=(("openai-organization", "org-1"), ("openai-project", "proj-1"))),
            ),
        ),
        (
            {"OPENAI_API_KEY": "unused", "OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"},
            Backend(
                name=NAME.format("openai"),
                short_name="default/openai",
                schema=Schema(name="OpenAI", prefix="v1"),
                credential=HeaderCredential(name="authorization", value=Secret("Bearer unused")),
            ),
        ),
        (
            {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://[::1]:8000/a%20b/v1"},
            Backend(
                name=NAME.format("openai"),
                short_name="default/openai",
                schema=Schema(name="OpenAI", prefix="a%20b/v1"),
                credential=HeaderCredential(name="authorization", value=Secret("Bearer k")),
            ),
        ),
        (
            {
                "AZURE_OPENAI_API_KEY": "az",
                "AZURE_OPENAI_ENDPOINT": "https://me.openai.azure.com/",
                "OPENAI_API_VERSION": "2024-12-01-preview",
                "OPENAI_API_KEY": "ignored",
            },
            Backend(
                name=NAME.format("openai"),
                short_name="default/openai",
                schema=Schema(name="AzureOpenAI", version="2024-12-01-preview"),
                host="me.openai.azure.com",
                credential=HeaderCredential(name="api-key", value=Secret("az")),
            ),
        ),
        (
            {"ANTHROPIC_API_KEY": "an"},
            Backend(
                name=NAME.format("anthropic"),
                short_name="default/anthropic",
                schema=Schema(name="Anthropic", prefix="v1"),
                host="api.anthropic.com",
                credential=HeaderCredential(name="x-api-key", value=Secret("an")),
            ),
        ),
        (
            {"ANTHROPIC_API_KEY": "an", "ANTHROPIC_BASE_URL": "https://proxy.example:8443/claude"},
            Backend(
                name=NAME.format("anthropic"),
                short_name="default/anthropic",
                schema=Schema(name="Anthropic", prefix="claude"),
                host="proxy.example",
                credential=HeaderCredential(name="x-api-key", value=Secret("an")),
            ),
        ),
    ],
)
def test_the_provider_that_the_environment_asks_for(environment: dict[str, str], backend: Backend) -> None:
    backends, credentials = credentials_apart([backend])
    assert the_backend(environment) == (backends[0], credentials)


@pytest.mark.parametrize(
    ("url", "endpoint", "tls"),
    [
        ("https://a.example", {"fqdn": {"hostname": "a.example", "port": 443}}, True),
        ("http://a.example", {"fqdn": {"hostname": "a.example", "port": 80}}, False),
        ("http://localhost:9/v1", {"fqdn": {"hostname": "localhost", "port": 9}}, False),
        ("http://10.0.0.1:8000", {"ip": {"address": "10.0.0.1", "port": 8000}}, False),
        ("https://10.0.0.1", {"ip": {"address": "10.0.0.1", "port": 443}}, True),
        ("http://[::1]:8000", {"ip": {"address": "::1", "port": 8000}}, False),
    ],
)
def test_the_address_of_the_provider(url: str, endpoint: dict[str, object], tls: bool) -> None:
    found = loaded({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url}).snapshot
    backend = found.get(envoy_gateway.Backend, "default", "openai")
    assert backend is not None
    assert [each.dump() for each in backend.spec.endpoints] == [endpoint]
    assert (found.get(gateway.BackendTLSPolicy, "default", "openai-tls") is not None) == tls


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (
            {"AZURE_OPENAI_API_KEY": "k"},
            (
                "AZURE_OPENAI_ENDPOINT: must be set, because AZURE_OPENAI_API_KEY is",
                "OPENAI_API_VERSION: must be set, because AZURE_OPENAI_API_KEY is",
            ),
        ),
        (
            {
                "AZURE_OPENAI_API_KEY": "k",
                "AZURE_OPENAI_ENDPOINT": "https://a.example/openai",
                "OPENAI_API_VERSION": "1",
            },
            (("AZURE_OPENAI_ENDPOINT: must not have a path, only the resource's URL (https://NAME.openai.azure.com)"),),
        ),
        (
            {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "api.openai.com/v1", "OTEL_LOGS_EXPORTER": "zipkin"},
            (
                "OPENAI_BASE_URL: must start with http:// or https://",
                ('OTEL_LOGS_EXPORTER: unsupported OTEL_LOGS_EXPORTER value "zipkin" (allowed: otlp, console, none)'),
            ),
        ),
        *(
            ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": url}, (f"OPENAI_BASE_URL: {says}",))
            for url, says in (
                ("https://", "has no host name"),
                ("https://user:sk-1@a.example", "must not hold a user name or password"),
                ("https://a.example/v1?key=x", "must not have a query or fragment"),
                ("https://[::1]/v1", "https needs a host name or an IPv4 address"),
                ("http://a.example:0", "port must be between 1 and 65535"),
                ("http://a.example:70000", "not a URL: Port out of range 0-65535"),
            )
        ),
    ],
)
def test_a_bad_variable_is_named(environment: dict[str, str], says: tuple[str, ...]) -> None:
    with pytest.raises(BadResources) as caught:
        autoconfig.from_environment(environment)
    assert caught.value.messages == says


@pytest.mark.parametrize(
    ("environment", "sink"),
    [
        ({}, Sink()),
        ({"OTEL_LOGS_EXPORTER": "console", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, Sink()),
        ({"OTEL_LOGS_EXPORTER": "none"}, None),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
            Sink(backend="otel", host="collector", port=4317),
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://other",
                "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://logs.example",
                "OTEL_EXPORTER_OTLP_HEADERS": "ignored=1",
                "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "authorization=Bearer%20t, x-a=b=c",
                "OTEL_RESOURCE_ATTRIBUTES": "team=a%2Cb,service.name=old",
                "OTEL_SERVICE_NAME": "edge",
            },
            Sink(
                backend="otel-logs",
                host="logs.example",
                port=443,
                tls=True,
                headers=(("authorization", "Bearer t"), ("x-a", "b=c")),
                resources=(("service.name", "edge"), ("team", "a,b")),
            ),
        ),
    ],
)
def test_where_the_access_log_goes(environment: dict[str, str], sink: Sink | None) -> None:
    assert access_log_sink(environment) == sink


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (
            {"OTEL_LOGS_EXPORTER": "otlp"},
            "OTEL_EXPORTER_OTLP_ENDPOINT: must be set, because OTEL_LOGS_EXPORTER is otlp",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            'OTEL_EXPORTER_OTLP_PROTOCOL: OTEL logs support gRPC protocol only, got "http/protobuf"',
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_HEADERS": "secret"},
            "OTEL_EXPORTER_OTLP_HEADERS: must be a list of name=value separated by commas",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://"}, "OTEL_EXPORTER_OTLP_ENDPOINT: has no host name"),
    ],
)
def test_a_bad_access_log_variable_is_named(environment: dict[str, str], says: str) -> None:
    with pytest.raises(BadResources) as caught:
        access_log_sink(environment)
    assert caught.value.messages == (says,)


def test_the_access_log_as_an_object() -> None:
    environment = {
        "OPENAI_API_KEY": "k",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://10.0.0.9:4317",
        "OTEL_EXPORTER_OTLP_HEADERS": 'x-key=${NOT_A_VARIABLE}"$$',
    }
    found = loaded(environment).snapshot
    proxy = found.get(envoy_gateway.EnvoyProxy, "default", "envoy-ai-gateway")
    assert proxy is not None
    assert proxy.spec.telemetry.access_log is not None
    (setting,) = proxy.spec.telemetry.access_log.settings
    assert setting.sinks[0].open_telemetry is not None
    assert setting.sinks[0].open_telemetry.headers == (NamedValue(name="x-key", value='${NOT_A_VARIABLE}"$$'),)
    assert setting.format is not None
    assert setting.format.json_ is not None
    assert len(setting.format.json_) == 26
    assert found.get(gateway.BackendTLSPolicy, "default", "otel-tls") is not None


def test_port_and_log_level() -> None:
    found = loaded({"OPENAI_API_KEY": "k"}, port=8080, debug=True).snapshot
    listener = found.all(gateway.Gateway)[0].spec.listeners[0]
    assert (listener.name, listener.port, listener.protocol) == ("http", 8080, "HTTP")
    levels = found.all(envoy_gateway.EnvoyProxy)[0].spec.logging.level
    # Envoy's http and ext_proc print headers, and so API keys, at debug.
    assert levels == {"default": "debug", "http": "info", "ext_proc": "info"}
    assert loaded({"OPENAI_API_KEY": "k"}).snapshot.all(envoy_gateway.EnvoyProxy)[0].spec.logging.level == {
        "default": "error"
    }


def test_the_key_stays_out_of_the_text() -> None:
    text = autoconfig.from_environment({"OPENAI_API_KEY": "sk-secret", "OPENAI_ORG_ID": "org-secret"})
    assert text is not None
    assert "secret" not in text.replace("secretRef", "")
    assert '"${OPENAI_API_KEY}"' in text


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40))
def test_any_key_arrives_as_it_is(key: str) -> None:
    (credential,) = the_backend({"ANTHROPIC_API_KEY": key})[1].values()
    assert credential == HeaderCredential(name="x-api-key", value=Secret(key))


def test_every_model_goes_to_the_provider_for_at_most_two_minutes_and_is_counted() -> None:
    found = loaded({"OPENAI_API_KEY": "k"})
    route = found.snapshot.get(AIGatewayRoute, "default", "aigw-run")
    assert route is not None
    assert route.spec is not None
    (rule,) = route.spec.rules
    (header,) = rule.matches[0].headers
    assert (header.name, header.type, header.value) == ("x-ai-eg-model", "RegularExpression", ".*")
    assert rule.timeouts is not None
    assert rule.timeouts.request == "120s"
    costs = verdicts.judge(found, token_key=b"k").compiled.filter_config.rules[0].costs
    assert costs == (
        Cost(metadata_key="llm_input_token", type="InputToken"),
        Cost(metadata_key="llm_output_token", type="OutputToken"),
        Cost(metadata_key="llm_reasoning_token", type="ReasoningToken"),
    )


def test_the_demo_is_a_sound_configuration_of_four_models() -> None:
    found = resources.read(autoconfig.demo(PORTS, {}, port=2000), "demo", {})
    judged = verdicts.judge(found, token_key=b"k")
    assert (judged.errors, judged.warnings) == ((), ())
    (listener,) = judged.compiled.filter_config.listeners
    assert [model.id for model in listener.virtual_hosts[0].models] == [
        "demo-anthropic",
        "demo-bedrock",
        "demo-failover",
        "demo-openai",
    ]
    rules = {rule.rule: rule for rule in judged.compiled.rules}
    assert [rules[index].plan for index in range(4)] == ["single", "single", "single", "attempt"]
    assert [backend.priority for backend in rules[3].backends] == [0, 1]
    config = judged.compiled.filter_config
    assert isinstance(config.credentials[config.backends[2].credential], AwsCredential)
    assert len(found.snapshot.all(envoy_gateway.BackendTrafficPolicy)) == 1


def test_the_demo_shows_each_sort_of_object() -> None:
    found = resources.read(autoconfig.demo(PORTS, {"OTEL_LOGS_EXPORTER": "none"}), "demo", {}).snapshot
    assert len(found.all(AIServiceBackend)) == 4
    assert {policy.spec.type for policy in found.all(BackendSecurityPolicy) if policy.spec} == {
        "APIKey",
        "AnthropicAPIKey",
        "AWSCredentials",
    }
    assert len(found.all(core.Secret)) == 3
    assert found.all(envoy_gateway.EnvoyProxy)[0].spec.telemetry.access_log is None
