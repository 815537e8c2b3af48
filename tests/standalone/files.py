"""Resource files for tests, put together from backends and rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

GROUP = "aigateway.envoyproxy.io"
EG = "gateway.envoyproxy.io"
GATEWAY_API = "gateway.networking.k8s.io"

Document = dict[str, Any]


def object_(api_version: str, kind: str, name: str, spec: Document | None = None, **members: Any) -> Document:
    document: Document = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "default"}}
    if kind == "GatewayClass":
        del document["metadata"]["namespace"]
    return document | ({} if spec is None else {"spec": spec}) | members


def gateway(listener: Document | None = None) -> list[Document]:
    one = listener or {"name": "http", "protocol": "HTTP", "port": "PORT"}
    return [
        object_(
            f"{GATEWAY_API}/v1",
            "GatewayClass",
            "aigw",
            {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
        ),
        object_(f"{GATEWAY_API}/v1", "Gateway", "aigw", {"gatewayClassName": "aigw", "listeners": [one]}),
    ]


def backend(name: str, schema: str, port: int, *, host: str | None = None) -> list[Document]:
    endpoint = {"fqdn": {"hostname": host, "port": port}} if host else {"ip": {"address": "127.0.0.1", "port": port}}
    return [
        object_(f"{EG}/v1alpha1", "Backend", name, {"endpoints": [endpoint]}),
        object_(
            f"{GROUP}/v1beta1",
            "AIServiceBackend",
            name,
            {"schema": {"name": schema}, "backendRef": {"group": EG, "kind": "Backend", "name": name}},
        ),
    ]


def api_key(name: str, key: str, type_: str = "APIKey") -> list[Document]:
    """A credential for the AIServiceBackend of that name."""
    field = {"APIKey": "apiKey", "AnthropicAPIKey": "anthropicAPIKey"}[type_]
    return [
        object_("v1", "Secret", f"{name}-key", stringData={"apiKey": key}),
        object_(
            f"{GROUP}/v1beta1",
            "BackendSecurityPolicy",
            f"{name}-key",
            {
                "targetRefs": [{"group": GROUP, "kind": "AIServiceBackend", "name": name}],
                "type": type_,
                field: {"secretRef": {"name": f"{name}-key"}},
            },
        ),
    ]


def route(models: Mapping[str, Sequence[Document]], name: str = "llm", **spec: Any) -> Document:
    """One rule per model, with its backendRefs."""
    rules = [
        {"matches": [{"headers": [{"name": "x-ai-eg-model", "value": model}]}], "backendRefs": list(refs)}
        for model, refs in models.items()
    ]
    return object_(
        f"{GROUP}/v1beta1", "AIGatewayRoute", name, {"parentRefs": [{"name": "aigw"}], "rules": rules, **spec}
    )


def retry(name: str = "retry", target: str = "llm", **more: Any) -> Document:
    return object_(
        f"{EG}/v1alpha1",
        "BackendTrafficPolicy",
        name,
        {
            "targetRefs": [{"group": GATEWAY_API, "kind": "HTTPRoute", "name": target}],
            "retry": {"numRetries": 3, "numAttemptsPerPriority": 1, **more},
        },
    )


def text(*documents: Document | list[Document]) -> str:
    flat = [each for document in documents for each in (document if isinstance(document, list) else [document])]
    return yaml.safe_dump_all(flat, sort_keys=False).replace("'PORT'", "PORT").replace("port: PORT", "port: PORT")
