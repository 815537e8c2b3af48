"""Users' own routes beside AI routes in one virtual host."""

import re
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from extension_server.xds import patches, pool
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import RULE_HEADER
from tests.support.xds import backends, mediation

RULE = "httproute/default/llm/rule/0/match/0/*"
LAST = "httproute/default/llm/rule/1/match/0/*"
USER = "httproute/default/web/rule/0/match/0/*"
OTHER = "httproute/default/web/rule/1/match/0/*"
TOKEN = {"headers": [{"name": RULE_HEADER, "string_match": {"exact": "t"}}]}


def patched(*names: str, made: Mediation | None = None, times: int = 1) -> list[Any]:
    """Routes of these names, each for `/`, through all patches."""
    routes = [
        {"name": name, "match": {"prefix": "/", **(TOKEN if name == RULE else {})}, "route": {"cluster": "c"}}
        for name in names
    ]
    hosts = [{"name": "h", "domains": ["*"], "routes": routes}]
    resources = Resources(routes=[pool.message(pool.ROUTE_CONFIGURATION, name="default/gw/http", virtual_hosts=hosts)])
    for _ in range(times):
        patches.apply(resources, made or mediation(backends(0)))
    return [*resources.routes[0].virtual_hosts[0].routes]


def shown(routes: list[Any]) -> list[tuple[str, str]]:
    """Name and prefix, which is empty for paths of AI endpoints."""
    return [(route.name, route.match.prefix) for route in routes]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("names", [(RULE, LAST, USER, OTHER), (USER, LAST, RULE, LAST)])
def test_beside_routes_of_users_a_last_rule_has_the_paths_of_ai_endpoints(names: tuple[str, ...], times: int) -> None:
    assert shown(patched(*names, times=times)) == [(name, "" if name == LAST else "/") for name in names]


@pytest.mark.parametrize("names", [(RULE, LAST), (LAST, RULE)])
def test_without_routes_of_users_a_last_rule_has_every_path(names: tuple[str, ...]) -> None:
    assert shown(patched(*names)) == [(name, "/") for name in names]


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/ai/v1/chat/completions", True),
        ("/ai/v1/models", True),
        ("/ai/anthropic/v1/messages", True),
        ("/ai/co.here/v2/rerank", True),
        ("/ai/v2/chat", False),
        ("/ai/coxhere/v2/rerank", False),
        ("/ai/v1", False),
        ("/v1/chat/completions", False),
        ("/ai", False),
    ],
)
def test_paths_of_ai_endpoints_are_below_the_root_and_a_familys_prefix(path: str, ours: bool) -> None:
    made = mediation(backends(0))
    prefixes = (("openai", "/"), ("cohere", "/co.here"), ("anthropic", "/anthropic"))
    config = msgspec.structs.replace(made.compiled.filter_config, root_prefix="/ai", endpoint_prefixes=prefixes)
    made = replace(made, compiled=replace(made.compiled, filter_config=config))
    expression = patched(LAST, USER, made=made)[0].match.safe_regex.regex
    assert bool(re.fullmatch(expression, path)) is ours
