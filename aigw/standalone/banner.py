"""What a person reads when the gateway is up: what listens where, which models there are, lines to copy."""

from dataclasses import dataclass

from extension_server.api import gateway as gw
from extension_server.compile import attachment, hostnames
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
    listeners = gateway.spec.listeners
    models = models_of(compiled)
    lines = [
        f"aigw is ready after {started.seconds:.1f} s ({started.source})",
        "",
        *dict.fromkeys(f"  gateway   {_url(listener, started.host)}{_only_host(listener)}" for listener in listeners),
    ]
    if started.admin_port is not None:
        lines.append(f"  admin     http://127.0.0.1:{started.admin_port}/metrics  (and /health)")
    lines += [f"  models    {_listed(models)}", "", *_examples(_example(compiled, gateway), started.host), ""]
    return "\n".join(lines)


def models_of(compiled: Compiled) -> list[str]:
    """Names that a client can ask for, each once; rules with patterns name none."""
    hosts = (host for listener in compiled.filter_config.listeners for host in listener.virtual_hosts)
    return list(dict.fromkeys(model.id for host in hosts for model in host.models))


@dataclass(frozen=True, slots=True)
class _Example:
    """A request that will be answered."""

    listener: gw.Listener
    domain: str
    model: str


def _example(compiled: Compiled, gateway: gw.Gateway) -> _Example:
    names = attachment.configuration_names(gateway)
    found = [
        _Example(listener, host.domains[0], host.models[0].id if host.models else "MODEL")
        for listener in gateway.spec.listeners
        for configuration in compiled.filter_config.listeners
        if configuration.name == names[listener.name]
        for host in configuration.virtual_hosts
        if hostnames.covers(listener.hostname or hostnames.ANY, host.domains[0])
    ]
    nothing = _Example(gateway.spec.listeners[0], gateway.spec.listeners[0].hostname or hostnames.ANY, "MODEL")
    # The one that needs no host name makes the simplest lines.
    return min(found, key=lambda each: (each.domain != hostnames.ANY, each.model == "MODEL"), default=nothing)


def _url(listener: gw.Listener, host: str) -> str:
    return f"{listener.protocol.lower()}://{host}:{listener.port}"


def _only_host(listener: gw.Listener) -> str:
    return f"  (for host {listener.hostname})" if listener.hostname else ""


def _listed(models: list[str]) -> str:
    if not models:
        return "any name that the provider knows"
    shown = ", ".join(models[:MODELS_SHOWN])
    return shown if len(models) <= MODELS_SHOWN else f"{shown} and {len(models) - MODELS_SHOWN} more"


def _examples(example: _Example, host: str) -> list[str]:
    url, options = _url(example.listener, host), ""
    if example.domain != hostnames.ANY:
        # The name need not resolve to this machine, and with TLS it must be the one that is asked for.
        url = _url(example.listener, example.domain.replace("*", "any"))
        options = f"--connect-to ::{host}: "
    body: dict[str, object] = {"model": example.model, "messages": [{"role": "user", "content": _QUESTION}]}
    chat = f"{options}{url}/v1/chat/completions -H 'content-type: application/json'"
    return [
        "Try it:",
        f"  curl {chat} -d '{_json(body)}'",
        f"  curl -N {chat} -d '{_json({**body, 'stream': True})}'",
        f"  curl {options}{url}/v1/models",
    ]


def _json(body: dict[str, object]) -> str:
    return jsonlib.encode(body).decode().replace("'", r"'\''")
