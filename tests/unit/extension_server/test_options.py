"""Flags and environment of the controller process."""

import pytest

from extension_server.api.container import EnvVar
from extension_server.options import Address, BadFlags, Certificates, ExtProc, Options, read, without_effect

HERE = {"POD_NAMESPACE": "aigw-system", "POD_NAME": "pod-1"}


def test_defaults() -> None:
    found = read([], HERE)
    assert found.identity.startswith("pod-1_")
    assert found == Options(
        namespace="aigw-system",
        identity=found.identity,
        service_name="ai-gateway-controller",
        hooks=Address("0.0.0.0", 1063),
        webhook_port=9443,
        config_port=18003,
        config_address="ai-gateway-controller.aigw-system.svc.cluster.local:18003",
        metrics_port=8080,
        envoy_gateway_namespace="envoy-gateway-system",
        gateway_controller_name="gateway.envoyproxy.io/gatewayclass-controller",
        watch_namespaces=(),
        leader_election=True,
        cache_sync_timeout=120.0,
        shutdown_delay=0.0,
        log_level="info",
        log_format="text",
        root_prefix="/",
        endpoint_prefixes=(("openai", "/"), ("cohere", "/cohere"), ("anthropic", "/anthropic")),
        log_attributes=(("agent-session-id", "session.id"),),
        ext_proc=ExtProc(
            image="aigw/ai-gateway-extproc:latest",
            image_pull_policy="IfNotPresent",
            image_pull_secrets=(),
            extra_env_vars=(),
            log_level="info",
            log_format="text",
        ),
        certificates=Certificates(
            secret_name="self-signed-cert-for-mutating-webhook",
            ca_name="ca.crt",
            certificate_name="tls.crt",
            key_name="tls.key",
        ),
        ignored=(),
    )


def test_flags_are_written_with_one_dash_or_two() -> None:
    flags = ["-port=127.0.0.1:7", "--watchNamespaces", "a, b,,a", "-enableLeaderElection=false", "-logLevel", "DEBUG"]
    found = read([*flags, "--rootPrefix=/ai", "-cacheSyncTimeout=1m30s", "-serviceName=mine", "-configPort=7"], HERE)
    assert (found.hooks, found.watch_namespaces) == (Address("127.0.0.1", 7), ("a", "b"))
    assert (found.leader_election, found.log_level, found.root_prefix) == (False, "debug", "/ai")
    assert (found.cache_sync_timeout, found.config_address) == (90.0, "mine.aigw-system.svc.cluster.local:7")


def test_the_flags_that_the_chart_writes() -> None:
    found = read(
        [
            "--extProcExtraEnvVars=A=1 ;B=x=y;;",
            "--extProcImagePullSecrets=one;two",
            "--extProcLogLevel=info+1",
            "--endpointPrefixes=openai:,cohere:/co,anthropic:/anthropic",
            "--requestHeaderAttributes=x-team:team.id, X-User:user.id",
            "--logRequestHeaderAttributes=x-user:enduser",
            "--quotaRateLimitServiceAddr=envoy-ai-gateway-ratelimit.envoy-gateway-system",
            "--mcpSessionEncryptionSeed=s3cret",
            "--mcpSessionEncryptionIterations=5",
        ],
        HERE,
    )
    assert found.ext_proc.extra_env_vars == (EnvVar(name="A", value="1 "), EnvVar(name="B", value="x=y"))
    assert found.ext_proc.image_pull_secrets == ("one", "two")
    assert found.ext_proc.log_level == "warn"
    assert dict(found.endpoint_prefixes) == {"openai": "/", "cohere": "/co", "anthropic": "/anthropic"}
    assert found.log_attributes == (("x-team", "team.id"), ("x-user", "enduser"))
    assert found.ignored == (
        ("--requestHeaderAttributes: no effect on spans and metrics, which have no attributes of headers yet"),
        (
            "--mcpSessionEncryptionSeed, --mcpSessionEncryptionIterations: no effect, "
            "kind MCPRoute is not served by this release"
        ),
    )


def test_attributes_of_spans_and_metrics_are_said_to_have_no_effect() -> None:
    flags = ["--spanRequestHeaderAttributes=x-team:team", "--metricsRequestHeaderAttributes=x-team:team"]
    told = (
        "--spanRequestHeaderAttributes: no effect, spans have no attributes of headers yet",
        "--metricsRequestHeaderAttributes: no effect, metrics have no labels of headers yet",
    )
    assert read(flags, HERE).ignored == told
    assert without_effect([*flags, "--of-another-release"]) == told
    assert without_effect([*flags, "--webhookPort=none"]) == ()


def test_variables_of_the_sidecar_may_be_written_as_in_containers() -> None:
    text = '[{"name": "A", "value": "1;2"}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]'
    first, second = read([f"--extProcExtraEnvVars={text}"], HERE).ext_proc.extra_env_vars
    assert (first.name, first.value) == ("A", "1;2")
    assert second.value_from is not None
    assert second.value_from.secret_key_ref is not None
    assert (second.value_from.secret_key_ref.name, second.value_from.secret_key_ref.key) == ("s", "k")


def test_an_empty_value_switches_the_attributes_of_access_logs_off() -> None:
    assert read(["--logRequestHeaderAttributes="], HERE).log_attributes == ()


@pytest.mark.parametrize("address", ["limiter", "limiter:81", "fd00::1", "[fd00::1]", "[fd00::1]:81"])
def test_addresses_of_the_rate_limit_service(address: str) -> None:
    read([f"--quotaRateLimitServiceAddr={address}"], HERE)


@pytest.mark.parametrize(
    ("text", "level"), [("DEBUG-9", "debug"), ("info", "info"), ("warn+1", "error"), ("error+9", "error")]
)
def test_levels_between_two_are_the_quieter_one(text: str, level: str) -> None:
    assert read([f"--extProcLogLevel={text}"], HERE).ext_proc.log_level == level


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("port=1063", 'invalid port: "1063", must be like ":1063"'),
        ("port=:70000", 'invalid port: ":70000", must be like ":1063"'),
        ("webhookPort=-1", 'invalid webhookPort: "-1", must be between 0 and 65535'),
        ("configAddress=here", 'invalid configAddress: "here", must be host:port'),
        ("shutdownDelay=2", 'invalid shutdownDelay: "2", must be like "2m" or "1m30s"'),
        ("cacheSyncTimeout=2", 'invalid cacheSyncTimeout: "2", must be like "2m" or "1m30s"'),
        ("rootPrefix=ai", 'invalid root prefix: "ai", must begin with "/"'),
        ("logLevel=loud", 'invalid log level: "loud"'),
        ("logFormat=xml", 'invalid log format: "xml", must be "text" or "json"'),
        ("extProcLogFormat=xml", 'external processor: invalid log format: "xml", must be "text" or "json"'),
        ("extProcLogLevel=loud", 'invalid external processor log level: "loud"'),
        ("extProcImagePullPolicy=Often", 'invalid external processor pull policy: "Often"'),
        (
            "requestHeaderAttributes=a:b,",
            "invalid request header attributes: empty header-attribute pair at position 2",
        ),
        (
            "spanRequestHeaderAttributes=a",
            (
                'invalid tracing header attributes: invalid header-attribute pair at position 1: "a" '
                "(expected format: header:attribute)"
            ),
        ),
        (
            "metricsRequestHeaderAttributes=a:b,:c",
            'invalid metrics header attributes: empty header or attribute at position 2: ":c"',
        ),
        (
            "logRequestHeaderAttributes= ,a:b",
            "invalid access log header attributes: empty header-attribute pair at position 1",
        ),
        ("endpointPrefixes=openai:/a,", "invalid endpoint prefixes: empty endpointPrefixes pair at position 2"),
        (
            "endpointPrefixes=openai",
            (
                'invalid endpoint prefixes: invalid endpointPrefixes pair at position 1: "openai" '
                "(expected format: key:value)"
            ),
        ),
        (
            "endpointPrefixes=x:/a",
            (
                'invalid endpoint prefixes: unknown endpointPrefixes key "x" at position 1 '
                "(allowed: openai, cohere, anthropic)"
            ),
        ),
        (
            "extProcExtraEnvVars=A=1;B",
            'invalid extProc extra env vars: invalid env var pair at position 2: "B" (expected format: KEY=value)',
        ),
        (
            "extProcExtraEnvVars= =1",
            'invalid extProc extra env vars: empty env var name at position 1: " =1"',
        ),
        (
            'extProcExtraEnvVars=[{"name": "A", "from": 1}]',
            "invalid extProc extra env vars: 0.from: Extra inputs are not permitted",
        ),
        ("mcpSessionEncryptionIterations=0", "mcp session encryption iterations must be positive: 0"),
        ("quotaRateLimitServiceAddr=:80", 'invalid quotaRateLimitServiceAddr ":80": the host is empty'),
        ("quotaRateLimitServiceAddr=a:0", 'invalid quotaRateLimitServiceAddr "a:0": "0" is not a port'),
    ],
)
def test_wrong_flags_are_named(flag: str, says: str) -> None:
    with pytest.raises(BadFlags) as caught:
        read([f"--{flag}"], HERE)
    assert str(caught.value) == says


def test_iterations_of_the_fallback_matter_only_with_a_seed() -> None:
    read(["--mcpFallbackSessionEncryptionIterations=0"], HERE)
    with pytest.raises(BadFlags, match="mcp fallback session encryption iterations must be positive: 0"):
        read(["--mcpFallbackSessionEncryptionIterations=0", "--mcpFallbackSessionEncryptionSeed=s"], HERE)


def test_an_unknown_flag_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read(["--no-such-flag"], HERE)
    assert caught.value.code == 2
    assert "--no-such-flag" in capsys.readouterr().err
