"""The filter and Envoy choose the same rule: random routes compiled, written as Envoy routes, and asked for.

Envoy gets the matches of the compiled index in its order, each answering with the name of its rule; the filter's index
is asked for the same request. In service Envoy also wants the rule's token, so a difference would be a 503, never a
wrong upstream; here the token is left out so that a difference shows. Worlds come from a fixed seed.
"""

import http.client
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from extension_server.api.aigateway import AIGatewayRoute
from extension_server.api.base import Object, parse
from extension_server.api.gateway import Gateway
from extension_server.compile.gateway import compile_gateway
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import Snapshot
from filters.contract.config import MODEL_HEADER, Listener, Match
from filters.contract.headers import Headers
from filters.runtime.matching import ListenerIndex
from tests.support.envoy import free_port, running_envoy

pytestmark = pytest.mark.envoy

WORLDS: Final = 25
REQUESTS: Final = 60
SEED: Final = 20_260_102
TYPES: Final = "type.googleapis.com/envoy.extensions.filters"
HOSTNAMES: Final = ("a.example.com", "b.example.com", "*.example.com", "*.b.example.com", "other.org")
HOSTS: Final = (*(name.replace("*", "x.y") for name in HOSTNAMES), "B.Example.com:81", "example.com", "nowhere")
HEADERS: Final = ("x-ai-eg-model", "x-tenant", "X-Tier", "x-region")
VALUES: Final = ("gold", "silver", "", "gold,silver", "g", "é")
PATTERNS: Final = ("gold|silver", "g.*", ".*", "[gs].{3,5}", "", "(?i)GOLD", "g|.*r")
MODELS: Final = ("m1", "m2", "gold", "m.1")


@dataclass(frozen=True)
class World:
    port: int
    listener: Listener
    rules: dict[str, str]


def world(chance: random.Random) -> World:
    """One Gateway with a few routes of random hosts, ages, rules and matches, compiled."""
    routes: list[Object] = [_gateway()]
    routes += (_route(chance, number) for number in range(chance.randint(1, 5)))
    compiled = compile_gateway(Snapshot(routes), ObjectRef("Gateway", "default", "g"), token_key=b"k")
    (listener,) = compiled.filter_config.listeners
    return World(free_port(), listener, {rule.name: rule.name for rule in compiled.filter_config.rules})


def _gateway() -> Object:
    listeners = [{"name": "http", "port": 80, "protocol": "HTTP"}]
    return parse(Gateway, _document("gateway.networking.k8s.io/v1", "Gateway", "g", listeners=listeners))


def _route(chance: random.Random, number: int) -> Object:
    document = _document(
        "aigateway.envoyproxy.io/v1beta1",
        "AIGatewayRoute",
        f"r{number}",
        parentRefs=[{"name": "g"}],
        hostnames=chance.sample(HOSTNAMES, chance.randint(0, 2)),
        rules=[
            {"matches": [{"headers": _headers(chance)} for _ in range(chance.randint(0, 3))]}
            for _ in range(chance.randint(1, 4))
        ],
    )
    document["metadata"]["creationTimestamp"] = f"2026-01-0{chance.randint(1, 3)}T00:00:00Z"
    return parse(AIGatewayRoute, document)


def _document(version: str, kind: str, name: str, **spec: Any) -> dict[str, Any]:
    extra = {"gatewayClassName": "c"} if kind == "Gateway" else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": {**extra, **spec}}


def _headers(chance: random.Random) -> list[dict[str, str]]:
    return [
        {"name": name, "type": "Exact", "value": chance.choice(MODELS if name == MODEL_HEADER else VALUES) or "gold"}
        if chance.random() < 0.6
        else {"name": name, "type": "RegularExpression", "value": chance.choice(PATTERNS) or "m[12]"}
        for name in chance.sample(HEADERS, chance.randint(0, 3))
    ]


def bootstrap(worlds: list[World]) -> dict[str, Any]:
    return {"static_resources": {"listeners": [_listener(each) for each in worlds]}}


def _listener(of: World) -> dict[str, Any]:
    hosts = [
        {
            "name": host.domains[0],
            "domains": list(host.domains),
            "routes": [_envoy_route(match) for match in host.matches],
        }
        for host in of.listener.virtual_hosts
    ]
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "test",
        "route_config": {"virtual_hosts": hosts, "ignore_port_in_host_matching": True},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": f"world-{of.port}",
        "enable_reuse_port": False,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": of.port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _envoy_route(match: Match) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = [
        {
            "name": header.name,
            "string_match": {"safe_regex": {"regex": header.value}} if header.regex else {"exact": header.value},
        }
        for header in match.headers
    ]
    if match.model is not None:
        conditions.append({"name": MODEL_HEADER, "string_match": {"exact": match.model}})
    return {
        "match": {"prefix": "/", "headers": conditions},
        "direct_response": {"status": 200, "body": {"inline_string": match.rule}},
    }


@dataclass(frozen=True)
class Request:
    host: str
    model: str
    headers: tuple[tuple[str, str], ...]


def requests(chance: random.Random) -> Iterator[Request]:
    for _ in range(REQUESTS):
        names = [chance.choice(HEADERS[1:]).lower() for _ in range(chance.randint(0, 4))]
        yield Request(
            host=chance.choice(HOSTS),
            model=chance.choice(MODELS),
            headers=tuple((name, chance.choice(VALUES)) for name in names),
        )


def envoys_choice(connection: http.client.HTTPConnection, request: Request) -> str | None:
    connection.putrequest("GET", "/", skip_host=True, skip_accept_encoding=True)
    for name, value in (("host", request.host), (MODEL_HEADER, request.model), *request.headers):
        connection.putheader(name, value.encode())
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    return body if answer.status == 200 else None


def test_the_filter_finds_the_rule_that_envoy_finds() -> None:
    chance = random.Random(SEED)
    worlds = [world(chance) for _ in range(WORLDS)]
    differences = []
    served = 0
    with running_envoy(bootstrap(worlds)):
        for each in worlds:
            index = ListenerIndex(each.listener, each.rules)
            connection = http.client.HTTPConnection("127.0.0.1", each.port, timeout=10)
            for request in requests(chance):
                # As the codec hands headers on: bytes as ISO-8859-1.
                headers = Headers((name, value.encode().decode("latin-1")) for name, value in request.headers)
                found = index.find(request.host, headers, request.model)
                chosen = envoys_choice(connection, request)
                served += chosen is not None
                if found != chosen:
                    differences.append((request, found, chosen))
            connection.close()
    assert differences == []
    # The worlds are worth asking: most requests find a rule, many do not.
    assert WORLDS * REQUESTS * 0.3 < served < WORLDS * REQUESTS * 0.95
