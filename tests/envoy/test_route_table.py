"""Envoy routes by the folded table as by the list that it was made of."""

from collections.abc import Iterator
from typing import Any

import pytest

from aigw.standalone.xds_files import XdsFiles
from extension_server.xds import pool, route_table
from extension_server.xds.pool import Message
from extension_server.xds.resources import HCM_FILTER, Resources
from tests.support.envoy import free_port, running_envoy
from tests.support.http_client import HttpClient

pytestmark = pytest.mark.envoy

CONFIGURATION = "default/gw/http"
FALLBACK = "httproute/default/llm/rule/1/match/0/any"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"


def _route(name: str, path: dict[str, str], **headers: str) -> dict[str, Any]:
    exact = [
        {"name": key.replace("_", "-"), "string_match": {"exact": value}} for key, value in sorted(headers.items())
    ]
    answer = {"status": 200, "body": {"inline_string": name}}
    return {"name": name, "match": {**path, "headers": exact}, "direct_response": answer}


ROUTES = (
    _route("of a user, longer path", {"prefix": "/v1/chat"}, x_team="a"),
    _route("rule 1", {"prefix": "/"}, x_ai_eg_rule="one", x_ai_eg_model="m"),
    _route("rule 2", {"prefix": "/"}, x_ai_eg_rule="two", x_ai_eg_model="m"),
    _route("rule 1, other model", {"prefix": "/"}, x_ai_eg_rule="one", x_ai_eg_model="n"),
    _route("of a user, one path", {"prefix": "/mine"}),
    _route(FALLBACK, {"prefix": "/"}),
    _route("never met", {"prefix": "/never"}),
)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    hosts = [{"name": "h", "domains": ["*"], "routes": ROUTES}]
    configuration = pool.message(pool.ROUTE_CONFIGURATION, name=CONFIGURATION, virtual_hosts=hosts)
    route_table.fold(Resources(routes=[configuration]))
    assert configuration.virtual_hosts[0].HasField("matcher")
    port = free_port()
    files = XdsFiles(tmp_path_factory.mktemp("xds"))
    files.write_routes([configuration])
    files.write_listeners([_listener(port)])
    lds = {"path_config_source": {"path": str(files.lds)}}
    with running_envoy({"node": {"id": "t", "cluster": "t"}, "dynamic_resources": {"lds_config": lds}}):
        yield port


def _listener(port: int) -> Message:
    router = {"name": "envoy.filters.http.router", "typed_config": pool.packed(_ROUTER)}
    manager = pool.packed(
        pool.HTTP_CONNECTION_MANAGER,
        stat_prefix="test",
        rds={"route_config_name": CONFIGURATION},
        http_filters=[router],
    )
    return pool.message(
        pool.LISTENER,
        name=CONFIGURATION,
        address={"socket_address": {"address": "127.0.0.1", "port_value": port}},
        enable_reuse_port={"value": False},
        default_filter_chain={"filters": [{"name": HCM_FILTER, "typed_config": manager}]},
    )


@pytest.mark.parametrize(
    ("path", "headers", "served_by"),
    [
        ("/v1/chat/completions", {}, FALLBACK),
        ("/v1/chat/completions", {"x-team": "a"}, "of a user, longer path"),
        ("/mine/x", {}, "of a user, one path"),
        ("/never", {}, FALLBACK),
        ("/v1/chat/completions", {"x-ai-eg-rule": "one", "x-ai-eg-model": "m"}, "rule 1"),
        ("/anything", {"x-ai-eg-rule": "one", "x-ai-eg-model": "n"}, "rule 1, other model"),
        ("/anything", {"x-ai-eg-rule": "two", "x-ai-eg-model": "m"}, "rule 2"),
        # Mediated, and so out of the reach of routes that mean other requests.
        ("/v1/chat/completions", {"x-ai-eg-rule": "two", "x-ai-eg-model": "m", "x-team": "a"}, "rule 2"),
        ("/mine", {"x-ai-eg-rule": "two", "x-ai-eg-model": "m"}, "rule 2"),
        # Tokens that nobody has, as after a change of the rule.
        ("/v1", {"x-ai-eg-rule": "old", "x-ai-eg-model": "m"}, FALLBACK),
        ("/v1", {"x-ai-eg-rule": "one,two", "x-ai-eg-model": "m"}, FALLBACK),
        ("/v1", {"x-ai-eg-rule": "ONE", "x-ai-eg-model": "m"}, FALLBACK),
        ("/v1", {"x-ai-eg-rule": "", "x-ai-eg-model": "m"}, FALLBACK),
    ],
)
async def test_a_request_is_served_by_the_route_that_is_meant(
    port: int, path: str, headers: dict[str, str], served_by: str
) -> None:
    client = HttpClient(port)
    try:
        reply = await client.post(b"", headers, path=path)
    finally:
        client.close()
    assert (reply.status, reply.body.decode()) == (200, served_by)


async def test_a_token_without_the_rest_of_its_rule_meets_no_route_at_all(port: int) -> None:
    client = HttpClient(port)
    try:
        reply = await client.post(b"", {"x-ai-eg-rule": "two", "x-ai-eg-model": "n"}, path="/mine")
    finally:
        client.close()
    assert reply.status == 404
