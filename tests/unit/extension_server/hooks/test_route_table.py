"""The hook answers with routes that are found by their token, made from bytes as from messages."""

from typing import Any

import pytest

from extension_server.hooks import messages
from extension_server.hooks.service import HookService
from extension_server.xds import patches, pool, route_table
from extension_server.xds.resources import Resources
from tests.support.hooks import GATEWAY, SCENARIOS, Scenario, answered, decoded, named

GENERATED = [each for each in SCENARIOS if each.folder.name == "one-fqdn"]


def _with_tokens(scenario: Scenario, *, users: bool) -> Any:
    """The recorded request, with the token in the match of each rule, as our HTTPRoutes demand it. `users`: with a
    user's route for everything behind."""
    request = messages.request("PostTranslateModify").FromString(scenario.translation)
    configurations = decoded("routes", request)
    tokens = {rule.token for rule in scenario.compiled().rules}
    (token,) = tokens
    for configuration in configurations:
        for host in configuration.virtual_hosts:
            for route in host.routes:
                if "/rule/0/" in route.name:
                    route.match.headers.add(name="x-ai-eg-rule").string_match.exact = token
            if users:
                host.routes.add(name="httproute/default/web/rule/0/match/0/*").match.prefix = "/"
    del request.routes[:]
    request.routes.extend(pool.serialized(each) for each in configurations)
    return request


@pytest.mark.parametrize("users", [False, True])
@pytest.mark.parametrize("scenario", GENERATED, ids=str)
def test_patched_routes_are_folded(scenario: Scenario, users: bool) -> None:
    request = _with_tokens(scenario, users=users)
    results = scenario.results()
    known = results.for_gateway(GATEWAY.namespace, GATEWAY.name)
    assert known is not None
    parsed = Resources(**{field: decoded(field, request) for field in ("listeners", "routes", "clusters")})
    patches.apply(parsed, known)
    named(parsed, known)
    listed = [pool.serialized(each) for each in parsed.routes]
    route_table.fold(parsed)
    assert [pool.serialized(each) for each in parsed.routes] != listed

    answer = answered(HookService(results), "PostTranslateModify", request.SerializeToString())

    found = decoded("routes", answer)
    for resources in (parsed.routes, found):
        # Serialized routes inside may order their map entries differently; as lists they are compared as messages.
        route_table.unfold(Resources(routes=resources))
    assert found == parsed.routes
    again = answered(HookService(results), "PostTranslateModify", request.SerializeToString())
    assert list(again.routes) == list(answer.routes)
    assert any(each.HasField("matcher") for table in decoded("routes", again) for each in table.virtual_hosts)
