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
def test_a_last_rule_before_a_users_route_keeps_the_paths_of_ai_endpoints_and_goes_behind(times: int) -> None:
    assert shown(patched(RULE, LAST, USER, OTHER, times=times)) == [
        (RULE, "/"),
        (LAST, ""),
        (USER, "/"),
        (OTHER, "/"),
        (LAST, "/"),
    ]


def test_of_several_last_rules_one_stands_in_front() -> None:
    assert shown(patched(USER, LAST, RULE, LAST, OTHER)) == [
        (USER, "/"),
        (LAST, ""),
        (RULE, "/"),
        (OTHER, "/"),
        (LAST, "/"),
        (LAST, "/"),
    ]


@pytest.mark.parametrize("names", [(RULE, LAST), (USER, RULE, LAST), (LAST, RULE)])
def test_where_no_users_route_stands_behind_the_order_stays(names: tuple[str, ...]) -> None:
    assert shown(patched(*names)) == [(name, "/") for name in names]


def test_both_parts_lead_to_the_filter_alike() -> None:
    _, front, _, behind = patched(RULE, LAST, USER)
    assert front.typed_per_filter_config == behind.typed_per_filter_config
    assert front.typed_per_filter_config
    assert front.route == behind.route


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
