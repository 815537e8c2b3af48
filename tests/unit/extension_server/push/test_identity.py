"""Who may have a configuration: proxies of Envoy Gateway's, for their own Gateway, and nobody who only says so."""

from typing import Any

import pytest

from extension_server.push.identity import LONGEST, MAX_TOKEN, SHORTEST, NotNow, Refused
from tests.support.push import EDGE, NOW, PROXIES, Pods, token

LABELS = {"gateway.envoyproxy.io/owning-gateway-name": "edge"}


async def test_a_proxy_gets_the_configuration_of_its_own_gateway_until_its_token_ends() -> None:
    pods = Pods()
    found = await pods.identities().of(pods.add("proxy"))
    assert (found.gateway, found.pod.name, found.uid, found.valid_for) == (EDGE, "proxy", "uid-proxy", 3600.0)


async def test_a_proxy_may_run_in_the_namespace_of_its_gateway() -> None:
    pods = Pods()
    assert (await pods.identities().of(pods.add("proxy", namespace="team"))).gateway == EDGE


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": {"authenticated": False, "error": "token has\nexpired"}}, "is not valid: token has expired"),
        ({"status": {}}, "is not valid: the API server does not know it"),
        ({"audiences": ["https://kubernetes.default.svc"]}, "is not for audience ai-gateway-config"),
        ({"extra": {}}, "is not bound to a pod"),
        ({"extra": None}, "is not bound to a pod"),
        ({"username": "admin"}, "is not bound to a pod"),
        ({"uid": "another"}, "has been replaced by another of the same name"),
        ({"labels": {}}, "is no proxy of Envoy Gateway's: labels"),
        ({"labels": None}, "is no proxy of Envoy Gateway's: labels"),
        ({"labels": LABELS}, "is no proxy of Envoy Gateway's: labels"),
        ({"namespace": "attacker"}, "proxies run in the namespace of their Gateway or in envoy-gateway-system"),
    ],
)
async def test_who_is_refused_and_why(changes: dict[str, Any], sentence: str) -> None:
    pods = Pods()
    found = pods.add("proxy", **changes)
    with pytest.raises(Refused, match=sentence):
        await pods.identities().of(found)


async def test_a_pod_that_is_gone_is_refused() -> None:
    pods = Pods()
    found = pods.add("proxy")
    del pods.pods[PROXIES, "proxy"]
    with pytest.raises(Refused, match="Pod envoy-gateway-system/proxy is not there"):
        await pods.identities().of(found)


async def test_what_is_no_token_is_not_even_asked_about() -> None:
    pods = Pods()
    for found in ("", "x" * (MAX_TOKEN + 1)):
        with pytest.raises(Refused):
            await pods.identities().of(found)
    assert pods.reviews == 0


async def test_an_api_server_that_is_away_refuses_nobody() -> None:
    pods = Pods()
    found = pods.add("proxy")
    pods.away = True
    with pytest.raises(NotNow, match="Unreachable"):
        await pods.identities().of(found)


@pytest.mark.parametrize(
    ("given", "valid_for"),
    [
        (token("t", expires=NOW + 60), 60.0),
        (token("t", expires=NOW - 60), SHORTEST),
        (token("t", expires=NOW + 10 * LONGEST), LONGEST),
        ("opaque", SHORTEST),
        ("a.!!!.c", SHORTEST),
        ("a.e30.c", SHORTEST),
    ],
)
async def test_a_verdict_counts_until_the_token_ends(given: str, valid_for: float) -> None:
    pods = Pods()
    pods.tokens[given] = pods.tokens[pods.add("proxy")]
    assert (await pods.identities().of(given)).valid_for == valid_for
