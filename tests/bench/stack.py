"""What is measured: a bare Envoy and a gateway (`aigw run`), before one upstream process, on ports of their own."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from conformance.gateway import free_port, running
from tests.bench.client import Target, request
from tests.bench.processes import Processes, command_line, descendants
from tests.bench.scenarios import Scenario
from tests.support.envoy import running_envoy

START_LIMIT: Final = 120.0
"""seconds; 2,000 rules take a while on busy cores"""
KEY_HEADER: Final = "x-bench-answer"
NAMESPACE: Final = "bench"
_GROUP: Final = "aigateway.envoyproxy.io/v1beta1"
_EG: Final = "gateway.envoyproxy.io/v1alpha1"
_GATEWAY_API: Final = "gateway.networking.k8s.io/v1"
_TYPE: Final = "type.googleapis.com/envoy.extensions"
_RULES_PER_ROUTE: Final = 15
"""the CRD's limit"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One system under load."""

    port: int
    envoy: Processes
    filter: Processes
    """empty for the bare Envoy"""
    parent: Processes
    ready_seconds: float = 0.0
    """from process start to the first answer"""

    def target(self, scenario: Scenario) -> Target:
        headers = [(KEY_HEADER, scenario.backends[0].answer)] if not self.filter.pids else []
        return Target(port=self.port, request=request("/v1/chat/completions", headers, scenario.body()))


@contextlib.contextmanager
def upstreams(keys: Sequence[str]) -> Iterator[Mapping[str, int]]:
    """Answer key → port."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.upstream", *keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield msgspec.json.decode(process.stdout.readline(), type=dict[str, int])
        finally:
            process.stdin.close()
            process.wait(10)


@contextlib.contextmanager
def bare_envoy(ports: Mapping[str, int]) -> Iterator[Measured]:
    """Envoy with the gateway's listener and cluster options and nothing but its router: a route per answer."""
    port = free_port()
    with running_envoy(_bare_bootstrap(port, ports)) as envoy:
        yield Measured(port, Processes((envoy.pid,)), Processes(()), Processes(()))


@contextlib.contextmanager
def gateway(scenarios: Sequence[Scenario], ports: Mapping[str, int], routes: int = 1) -> Iterator[Measured]:
    """`aigw run` with a rule per model, with token accounting, metadata and access log on, and more rules that no
    request asks for until there are `routes`."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        file = directory / "gateway.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump_all(_documents(scenarios, ports, port, str(directory / "access.log"), routes)))
        with running(str(file), port=port, start_limit=START_LIMIT) as found:
            children = {pid: command_line(pid) for pid in descendants(found.process.pid)}
            filters = tuple(pid for pid, command in children.items() if "filters.main" in command)
            envoys = tuple(pid for pid, command in children.items() if "envoy" in command.partition(" ")[0])
            parent = Processes((found.process.pid,))
            yield Measured(port, Processes(envoys), Processes(filters), parent, found.ready_seconds)


def _bare_bootstrap(port: int, ports: Mapping[str, int]) -> dict[str, Any]:
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": KEY_HEADER, "string_match": {"exact": key}}]},
            "route": {"cluster": key, "timeout": "60s", "append_x_forwarded_host": True},
        }
        for key in ports
    ]
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bare",
        # As in the gateway's listener, so that only what the gateway does makes a difference.
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "server_header_transformation": "PASS_THROUGH",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router", "suppress_envoy_headers": True},
            }
        ],
    }
    listener = {
        "name": "bare",
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 52_428_800,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    clusters = [
        {
            "name": key,
            "type": "STATIC",
            "connect_timeout": "10s",
            "per_connection_buffer_limit_bytes": 32_768,
            "lb_policy": "LEAST_REQUEST",
            "load_assignment": {"cluster_name": key, "endpoints": [{"lb_endpoints": [_endpoint(each)]}]},
        }
        for key, each in ports.items()
    ]
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def _endpoint(port: int) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}


def _object(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def _documents(
    scenarios: Sequence[Scenario], ports: Mapping[str, int], port: int, access_log: str, routes: int
) -> Iterator[dict[str, Any]]:
    yield {
        "apiVersion": _GATEWAY_API,
        "kind": "GatewayClass",
        "metadata": {"name": "aigw"},
        "spec": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
    }
    yield _object(
        _GATEWAY_API,
        "Gateway",
        "gateway",
        {
            "gatewayClassName": "aigw",
            "listeners": [{"name": "http", "protocol": "HTTP", "port": port}],
            "infrastructure": {
                "parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "proxy"}
            },
        },
    )
    yield _object(_EG, "EnvoyProxy", "proxy", {"telemetry": {"accessLog": {"settings": [_access_log(access_log)]}}})
    yield _object(
        _EG,
        "ClientTrafficPolicy",
        "buffer",
        {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gateway"}],
            "connection": {"bufferLimit": "50Mi"},
        },
    )
    by_model = {scenario.model: scenario for scenario in scenarios if scenario.kind != "bare"}
    for scenario in by_model.values():
        for index, backend in enumerate(scenario.backends):
            yield from _backend(f"{scenario.model}-{index}", backend.schema, ports[backend.answer])
    rules = [_rule(scenario.model, scenario.model, len(scenario.backends)) for scenario in by_model.values()]
    first = next(iter(by_model))
    rules += [_rule(f"unused-{index}", first, 1) for index in range(routes - len(rules))]
    for start in range(0, len(rules), _RULES_PER_ROUTE):
        yield from _route(f"route-{start // _RULES_PER_ROUTE}", rules[start : start + _RULES_PER_ROUTE])


def _access_log(path: str) -> dict[str, Any]:
    fields = {
        "start_time": "%START_TIME%",
        "response_code": "%RESPONSE_CODE%",
        "duration": "%DURATION%",
        "gen_ai.request.model": "%REQ(X-AI-EG-MODEL)%",
        "gen_ai.response.model": "%DYNAMIC_METADATA(io.envoy.ai_gateway:response_model)%",
        "gen_ai.usage.input_tokens": "%DYNAMIC_METADATA(io.envoy.ai_gateway:llm_input_token)%",
        "gen_ai.usage.output_tokens": "%DYNAMIC_METADATA(io.envoy.ai_gateway:llm_output_token)%",
    }
    return {"format": {"type": "JSON", "json": fields}, "sinks": [{"type": "File", "file": {"path": path}}]}


def _rule(model: str, backend: str, count: int) -> dict[str, Any]:
    return {
        "matches": [{"headers": [{"type": "Exact", "name": "x-ai-eg-model", "value": model}]}],
        "backendRefs": [{"name": f"{backend}-{index}", "priority": index} for index in range(count)],
    }


def _route(name: str, rules: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield _object(
        _GROUP,
        "AIGatewayRoute",
        name,
        {
            "parentRefs": [{"name": "gateway", "kind": "Gateway", "group": "gateway.networking.k8s.io"}],
            "rules": list(rules),
            "llmRequestCosts": [
                {"metadataKey": "llm_input_token", "type": "InputToken"},
                {"metadataKey": "llm_output_token", "type": "OutputToken"},
            ],
        },
    )
    if any(len(rule["backendRefs"]) > 1 for rule in rules):
        retry = {
            "retry": {
                "numRetries": 1,
                "numAttemptsPerPriority": 1,
                "retryOn": {"triggers": ["connect-failure", "retriable-status-codes"], "httpStatusCodes": [503]},
                "perRetry": {"backOff": {"baseInterval": "1ms", "maxInterval": "2ms"}},
            }
        }
        target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": name}
        yield _object(_EG, "BackendTrafficPolicy", f"{name}-retry", {"targetRefs": [target], **retry})


def _backend(name: str, schema: str, port: int) -> Iterator[dict[str, Any]]:
    yield _object(
        _EG, "Backend", name, {"type": "Endpoints", "endpoints": [{"ip": {"address": "127.0.0.1", "port": port}}]}
    )
    reference = {"name": name, "kind": "Backend", "group": "gateway.envoyproxy.io"}
    yield _object(_GROUP, "AIServiceBackend", name, {"schema": {"name": schema}, "backendRef": reference})
    type_, member, key = _POLICIES[schema]
    credential: dict[str, Any] = {"secretRef": {"name": name}}
    if schema == "AWSBedrock":
        credential = {"region": "us-east-1", "credentialsFile": credential}
    target = {"group": "aigateway.envoyproxy.io", "kind": "AIServiceBackend", "name": name}
    yield _object(_GROUP, "BackendSecurityPolicy", name, {"type": type_, member: credential, "targetRefs": [target]})
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": {key: _CREDENTIALS_FILE if key == "credentials" else "bench-key"},
    }


_CREDENTIALS_FILE: Final = "[default]\naws_access_key_id = AKIABENCH\naws_secret_access_key = bench\n"
_POLICIES: Final = {
    "OpenAI": ("APIKey", "apiKey", "apiKey"),
    "Anthropic": ("AnthropicAPIKey", "anthropicAPIKey", "apiKey"),
    "AWSBedrock": ("AWSCredentials", "awsCredentials", "credentials"),
}
