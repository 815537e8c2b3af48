"""What a person reads when the gateway is up: what listens where, which models there are, lines to copy."""

from dataclasses import dataclass

from extension_server.api import gateway as gw
from extension_server.compile.result import Compiled
from extension_server.compile.snapshot import Snapshot
from filters.contract import jsonlib

MODELS_SHOWN = 20
_QUESTION = "What is 6 x 7?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    seconds: float
    source: str
    """where the configuration comes from, for a person"""
    admin_port: int | None
    host: str
    """under which a client on this machine reaches the gateway"""


def text(snapshot: Snapshot, compiled: Compiled, started: Started) -> str:
    gateway = snapshot.get(gw.Gateway, compiled.gateway.namespace, compiled.gateway.name)
    assert gateway is not None
    urls = [
        f"{listener.protocol.lower()}://{_host(listener, started.host)}:{listener.port}"
        for listener in gateway.spec.listeners
    ]
    models = models_of(compiled)
    lines = [
        f"aigw is ready after {started.seconds:.1f} s ({started.source})",
        "",
        *(f"  gateway   {url}" for url in urls),
    ]
    if started.admin_port is not None:
        lines.append(f"  admin     http://127.0.0.1:{started.admin_port}/metrics  (and /health)")
    lines += [f"  models    {_listed(models)}", "", *_examples(urls[0], models[0] if models else "MODEL"), ""]
    return "\n".join(lines)


def models_of(compiled: Compiled) -> list[str]:
    """Names that a client can ask for, each once; rules with patterns name none."""
    hosts = (host for listener in compiled.filter_config.listeners for host in listener.virtual_hosts)
    return list(dict.fromkeys(model.id for host in hosts for model in host.models))


def _host(listener: gw.Listener, default: str) -> str:
    return listener.hostname if listener.hostname and "*" not in listener.hostname else default


def _listed(models: list[str]) -> str:
    if not models:
        return "any name that the provider knows"
    shown = ", ".join(models[:MODELS_SHOWN])
    return shown if len(models) <= MODELS_SHOWN else f"{shown} and {len(models) - MODELS_SHOWN} more"


def _examples(url: str, model: str) -> list[str]:
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": _QUESTION}]}
    chat = f"{url}/v1/chat/completions -H 'content-type: application/json'"
    return [
        "Try it:",
        f"  curl {chat} -d '{_json(body)}'",
        f"  curl -N {chat} -d '{_json({**body, 'stream': True})}'",
        f"  curl {url}/v1/models",
    ]


def _json(body: dict[str, object]) -> str:
    return jsonlib.encode(body).decode().replace("'", r"'\''")
