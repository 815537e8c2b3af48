"""The configuration that serves every case, by every plan that can serve it: one file for `aigw run`, or objects for a
cluster with Envoy Gateway.

Each (case, plan) is a rule that matches on the header CASE_HEADER. The plan follows from the backends: one backend is
`single`; a second one of another schema and a lower priority, which is never used, makes the rule `attempt`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from conformance.case import Case, Plan
from filters.contract.config import AwsCredential, Backend, Credential

CASE_HEADER: Final = "x-conformance-case"
NAMESPACE: Final = "conformance"
RULES: Final = 15
"""of one route, where they are batched: as many as the definition allows"""
COSTS: Final = {
    "input": "InputToken",
    "output": "OutputToken",
    "total": "TotalToken",
    "cached": "CachedInputToken",
    "cache_creation": "CacheCreationInputToken",
    "reasoning": "ReasoningToken",
}
"""metadata key (a member of Usage) → type of llmRequestCosts"""

_GROUP: Final = "aigateway.envoyproxy.io/v1beta1"
_EG: Final = "gateway.envoyproxy.io/v1alpha1"
_GATEWAY_API: Final = "gateway.networking.k8s.io/v1"
_LOG: Final = {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "log"}
Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One case served by one plan."""

    case: Case
    plan: Plan
    number: int
    port: int
    """of the upstream that replays the case"""

    @property
    def key(self) -> str:
        """Value of CASE_HEADER; also the name of the objects."""
        return f"run-{self.number}"


def document(runs: Sequence[Run], *, port: int, access_log: str) -> str:
    """The whole file: a Gateway on `port`, a route per run, the access log as JSON lines in the file `access_log`."""
    documents = [*_gateway(port, access_log)]
    for run in runs:
        documents += [*_backends(run, "127.0.0.1"), _route(run.key, [run])]
    return yaml.safe_dump_all(documents, sort_keys=False)


def objects(runs: Sequence[Run], *, port: int, access_log: str, address: str) -> list[Document]:
    """The same for a cluster: the upstreams are at `address`, and few routes have all the rules."""
    namespace: Document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    found = [namespace, *_gateway(port, access_log)]
    for run in runs:
        found += _backends(run, address)
    found += [_route(f"runs-{first}", runs[first : first + RULES]) for first in range(0, len(runs), RULES)]
    return found


def _object(version: str, kind: str, name: str, **members: Any) -> Document:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **members}


def _gateway(port: int, access_log: str) -> Iterator[Document]:
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
        spec={
            "gatewayClassName": "aigw",
            "listeners": [{"name": "http", "protocol": "HTTP", "port": port}],
            "infrastructure": {
                "parametersRef": {"group": "gateway.envoyproxy.io", "kind": "EnvoyProxy", "name": "log"}
            },
        },
    )
    fields = {key: f"%DYNAMIC_METADATA(io.envoy.ai_gateway:{key})%" for key in COSTS}
    fields |= {
        "case": f"%REQ({CASE_HEADER.upper()})%",
        "model": "%DYNAMIC_METADATA(io.envoy.ai_gateway:response_model)%",
        "status": "%RESPONSE_CODE%",
    }
    setting = {
        "format": {"type": "JSON", "json": fields},
        "sinks": [{"type": "File", "file": {"path": access_log}}],
    }
    yield _object(_EG, "EnvoyProxy", "log", spec={"telemetry": {"accessLog": {"settings": [setting]}}})


def _backends(run: Run, address: str) -> Iterator[Document]:
    yield from _backend(run.key, run.case, address, run.port)
    if run.plan == "attempt":
        yield _service_backend(f"{run.key}-spare", {"name": _another_schema(run.case.backend)}, run.key)


def _route(name: str, runs: Iterable[Run]) -> Document:
    return _object(
        _GROUP,
        "AIGatewayRoute",
        name,
        spec={
            "parentRefs": [{"name": "gateway", "kind": "Gateway", "group": "gateway.networking.k8s.io"}],
            "rules": [_rule(run) for run in runs],
            "llmRequestCosts": [{"metadataKey": key, "type": type_} for key, type_ in COSTS.items()],
        },
    )


def _rule(run: Run) -> Document:
    references: list[Document] = [{"name": run.key, "priority": 0}]
    if run.case.backend.model_override:
        references[0]["modelNameOverride"] = run.case.backend.model_override
    if run.plan == "attempt":
        references.append({"name": f"{run.key}-spare", "priority": 1})
    match = {"headers": [{"type": "Exact", "name": CASE_HEADER, "value": run.key}]}
    return {"matches": [match], "backendRefs": references}


def _another_schema(backend: Backend) -> str:
    return "Anthropic" if backend.schema.name == "OpenAI" else "OpenAI"


def _backend(name: str, case: Case, address: str, port: int) -> Iterator[Document]:
    backend = case.backend
    endpoint = {"ip": {"address": address, "port": port}}
    yield _object(_EG, "Backend", name, spec={"type": "Endpoints", "endpoints": [endpoint]})
    schema = {"name": backend.schema.name, "prefix": backend.schema.prefix, "version": backend.schema.version}
    headers, body = backend.header_mutation, backend.body_mutation
    mutations = {
        "headerMutation": {"set": _pairs("name", headers.set), "remove": list(headers.remove)},
        "bodyMutation": {"set": _pairs("path", body.set), "remove": list(body.remove)},
    }
    mutations = {key: {part: value for part, value in each.items() if value} for key, each in mutations.items()}
    yield _service_backend(
        name,
        {key: value for key, value in schema.items() if value},
        name,
        **{key: each for key, each in mutations.items() if each},
    )
    if case.credential is not None:
        yield from _credential(name, case.credential)


def _pairs(key: str, pairs: Sequence[tuple[str, str]]) -> list[Document]:
    return [{key: name, "value": value} for name, value in pairs]


def _service_backend(name: str, schema: Document, target: str, **more: Document) -> Document:
    reference = {"name": target, "kind": "Backend", "group": "gateway.envoyproxy.io"}
    return _object(_GROUP, "AIServiceBackend", name, spec={"schema": schema, "backendRef": reference, **more})


def _credential(name: str, credential: Credential) -> Iterator[Document]:
    reference = {"secretRef": {"name": name}}
    if isinstance(credential, AwsCredential):
        policy: Document = {
            "type": "AWSCredentials",
            "awsCredentials": {"region": credential.region, "credentialsFile": reference},
        }
        secret = {"credentials": _credentials_file(credential)}
    else:
        type_, member, scheme = _HEADERS[credential.name.lower()]
        policy = {"type": type_, member: reference}
        secret = {"apiKey": credential.value.reveal().removeprefix(scheme)}
    yield _object("v1", "Secret", name, stringData=secret)
    target = {"group": "aigateway.envoyproxy.io", "kind": "AIServiceBackend", "name": name}
    yield _object(_GROUP, "BackendSecurityPolicy", name, spec={**policy, "targetRefs": [target]})


_HEADERS: Final[Mapping[str, tuple[str, str, str]]] = {
    "authorization": ("APIKey", "apiKey", "Bearer "),
    "x-api-key": ("AnthropicAPIKey", "anthropicAPIKey", ""),
    "api-key": ("AzureAPIKey", "azureAPIKey", ""),
}
"""header of a HeaderCredential → BackendSecurityPolicy type, its member, scheme that the gateway adds"""


def _credentials_file(credential: AwsCredential) -> str:
    lines = [
        "[default]",
        f"aws_access_key_id = {credential.access_key_id}",
        f"aws_secret_access_key = {credential.secret_access_key.reveal()}",
    ]
    if credential.session_token:
        lines.append(f"aws_session_token = {credential.session_token.reveal()}")
    return "\n".join(lines) + "\n"
