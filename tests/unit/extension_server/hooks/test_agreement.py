"""Splicing bytes and patching parsed messages give equal messages."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from extension_server.hooks import messages
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from extension_server.xds import patches, pool
from extension_server.xds.resources import Mediation, Resources
from filters.contract.config import Plan
from tests.support.hooks import GATEWAY, SCENARIOS, Scenario, answered, decoded, named
from tests.support.xds import backends, mediation

EVERY = [each for each in SCENARIOS if each.folder.name != "namescheme-v2"]
"""With the other naming scheme the hooks know more than the patches alone: what the filter calls the listener."""


@pytest.mark.parametrize("scenario", EVERY, ids=str)
def test_recorded_requests(scenario: Scenario) -> None:
    results = scenario.results()
    known = results.for_gateway(GATEWAY.namespace, GATEWAY.name)
    assert known is not None
    _agree(scenario, results, known)


@settings(max_examples=40, deadline=None)
@given(
    scenario=st.sampled_from(EVERY),
    plan=st.sampled_from(["single", "attempt"]),
    priorities=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3),
    timeout=st.sampled_from([None, 2.5]),
    authority=st.sampled_from(["", "signed.example"]),
    first=st.integers(0, 1),
)
def test_any_rules(
    scenario: Scenario,
    plan: Plan,
    priorities: list[tuple[int, ...]],
    timeout: float | None,
    authority: str,
    first: int,
) -> None:
    """Also rules that do not fit the resources, as when objects changed in between."""
    rules = [backends(*each, first=first) for each in priorities]
    made = mediation(*rules, plan=plan, stream_idle_timeout=timeout, authority=authority)
    # The hooks know a last route whatever its number is, `patches` know it by its number.
    request = messages.request("PostTranslateModify").FromString(scenario.translation)
    generated = [each for each in _routes(Resources(routes=decoded("routes", request))) if _is_last(each)]
    assume(all(made.is_fallback(each) for each in generated))
    results = CompiledResults(made.sockets)
    results.put(made.compiled)
    _agree(scenario, results, made)


def _agree(scenario: Scenario, results: CompiledResults, known: Mediation) -> None:
    request = messages.request("PostTranslateModify").FromString(scenario.translation)
    parsed = Resources(**{field: decoded(field, request) for field in ("listeners", "routes", "clusters")})
    served = any(known.is_fallback(route) for route in _routes(parsed))
    if served:
        patches.apply(parsed, known)
        named(parsed, known)
    answer = answered(HookService(results), "PostTranslateModify", scenario.translation)
    for field in ("routes", "clusters"):
        assert decoded(field, answer) == getattr(parsed, field)
    if served:
        assert decoded("listeners", answer) == parsed.listeners


def _is_last(route: Any) -> bool:
    return b"ai-gateway-generated" in route.SerializeToString() and not route.HasField("route")


def _routes(resources: Resources) -> list[Any]:
    return [route for each in resources.routes for host in each.virtual_hosts for route in host.routes]


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=6), st.randoms())
def test_the_order_of_map_entries_does_not_matter(members: dict[str, str], random: Any) -> None:
    """Envoy Gateway writes map entries in random order."""
    name = "httproute/default/llm/rule/0"
    key = [pool.message(pool.CLUSTER, name=name).SerializeToString()]
    entries = [
        pool.message(pool.CLUSTER, metadata={"filter_metadata": {f"k{text}": pool.struct({"v": value})}})
        for text, value in members.items()
    ]
    pieces = [each.SerializeToString() for each in entries]
    shuffled = random.sample(pieces, len(pieces))
    results = [_cluster(b"".join([*key, *order])) for order in (pieces, shuffled)]
    assert results[0] == results[1]


def _cluster(raw: bytes) -> Any:
    made = mediation(backends(0, 1), plan="attempt")
    results = CompiledResults(made.sockets)
    results.put(made.compiled)
    route = "httproute/default/llm/rule/1/match/0/*"
    marker = {"filter_metadata": {"envoy-gateway": pool.struct({"ai-gateway-generated": "true"})}}
    table = pool.message(
        pool.ROUTE_CONFIGURATION,
        name="default/gw/http",
        virtual_hosts=[{"routes": [{"name": route, "metadata": marker}]}],
    )
    request = messages.request("PostTranslateModify")(clusters=[raw], routes=[table.SerializeToString()])
    answer = answered(HookService(results), "PostTranslateModify", request.SerializeToString())
    assert len(answer.clusters) == 3
    return pool.message_class(pool.CLUSTER).FromString(answer.clusters[0])
