"""Every defect is one sentence with object, field and remedy; its rule fails closed, the others keep working."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from extension_server.api import kinds
from extension_server.api.base import parse
from extension_server.api.gateway import HTTPRoute
from extension_server.compile.gateway import compile_gateway
from extension_server.compile.result import Compiled, ObjectRef
from extension_server.compile.routes import not_found_filter_name
from extension_server.compile.snapshot import Snapshot
from extension_server.credentials.policy import AwsEnvironment
from filters.contract.config import AwsCredential
from filters.contract.secret import Secret

TABLE = yaml.safe_load((Path(__file__).parent / "findings.yaml").read_text())


def merged(base: Any, change: Any) -> Any:
    """`change` over `base`: mappings member by member, lists item by item, null removes."""
    if isinstance(base, dict) and isinstance(change, dict):
        return {key: merged(base.get(key), change[key]) if key in change else base[key] for key in {**base, **change}}
    if isinstance(base, list) and isinstance(change, list) and base and isinstance(base[0], dict):
        items = [merged(base[index], item) if index < len(base) else item for index, item in enumerate(change)]
        return [*items, *base[len(change) :]]
    return change


def compiled(change: dict[str, Any], gateway: str = "g", **options: Any) -> Compiled:
    documents = {f"{each['kind']} {each['metadata']['name']}": each for each in yaml.safe_load_all(TABLE["base"])}
    documents = {key: each for key, each in merged(documents, change).items() if each is not None}
    objects = [parse(kinds.model_of(each["apiVersion"], each["kind"]), each) for each in documents.values()]
    return compile_gateway(Snapshot(objects), ObjectRef("Gateway", "default", gateway), token_key=b"k", **options)


def cases() -> Iterator[Any]:
    return (
        pytest.param(case["change"], case["says"], case.get("ready", False), id=case["title"])
        for case in TABLE["cases"]
    )


@pytest.mark.parametrize(("change", "says", "ready"), list(cases()))
def test_a_defect_is_told_and_closes_its_own_rule_only(
    change: dict[str, Any], says: list[str], ready: bool | None
) -> None:
    result = compiled(change)
    assert [str(finding) for finding in result.findings] == says
    # A route that no listener takes publishes nothing at all.
    served = [bool(rule.backends) for rule in result.filter_config.rules]
    assert served == ([] if ready is None else [ready, True])


def test_a_rule_that_fails_closed_meets_the_503_with_its_token() -> None:
    result = compiled({"Secret s": None})
    route = next(each for each in result.objects if isinstance(each, HTTPRoute))
    rule = route.spec.rules[0]
    assert rule.backend_refs == ()
    assert [each.extension_ref.name for each in rule.filters] == [not_found_filter_name("r")]
    assert [[header.value for header in match.headers] for match in rule.matches] == [[result.rules[0].token]]
    assert [model.id for model in result.filter_config.listeners[0].virtual_hosts[0].models] == ["fine"]


def test_aws_keys_of_the_environment_count_when_they_are_given() -> None:
    policy = {"spec": {"type": "AWSCredentials", "apiKey": None, "awsCredentials": {"region": "us-east-1"}}}
    environment = AwsEnvironment(access_key_id="A", secret_access_key=Secret("s"), session_token=Secret("t"))
    result = compiled({"BackendSecurityPolicy p": policy}, aws_environment=environment)
    identity = result.filter_config.backends[0].credential
    assert identity.endswith("/p AWSCredentials region us-east-1 environment")
    assert result.filter_config.credentials[identity] == AwsCredential(
        region="us-east-1", access_key_id="A", secret_access_key=Secret("s"), session_token=Secret("t")
    )


IP = {"fqdn": None, "ip": {"address": "10.0.0.1", "port": 443}}
NAMED = {"fqdn": {"hostname": "a.example", "port": 443}}


@pytest.mark.parametrize(
    ("endpoints", "aws", "authority"),
    [
        ([IP], True, "bedrock-runtime.us-east-1.amazonaws.com"),
        ([IP, NAMED], True, "a.example"),
        ([NAMED], True, ""),  # Envoy takes the endpoint's name
        ([IP], False, ""),
        ([IP, NAMED], False, ""),
    ],
)
def test_a_signed_request_names_a_host_where_endpoints_have_none(
    endpoints: list[dict[str, Any]], aws: bool, authority: str
) -> None:
    signed = {"spec": {"type": "AWSCredentials", "apiKey": None, "awsCredentials": {"region": "us-east-1"}}}
    change = {"Backend e": {"spec": {"endpoints": endpoints}}, **({"BackendSecurityPolicy p": signed} if aws else {})}
    environment = AwsEnvironment(access_key_id="A", secret_access_key=Secret("s"))
    result = compiled(change, aws_environment=environment)
    assert (result.rules[0].plan, result.rules[0].authority) == ("single", authority)


def test_a_backend_without_weight_is_left_out_but_keeps_its_place() -> None:
    refs = [{"name": "b", "weight": 0}, {"name": "fine"}]
    result = compiled({"AIGatewayRoute r": {"spec": {"rules": [{"backendRefs": refs}]}}})
    assert [(each.ref, each.weight) for each in result.rules[0].backends] == [(1, 1)]
    route = next(each for each in result.objects if isinstance(each, HTTPRoute))
    assert [ref.weight for ref in route.spec.rules[0].backend_refs] == [0, 1]


def test_global_costs_come_after_the_routes_own_and_never_over_them() -> None:
    change = {
        "Gateway g": {"metadata": {"annotations": {"aigateway.envoyproxy.io/gateway-config": "c"}}},
        "GatewayConfig c": {
            "apiVersion": "aigateway.envoyproxy.io/v1beta1",
            "kind": "GatewayConfig",
            "metadata": {"name": "c"},
            "spec": {
                "globalLLMRequestCosts": [
                    {"metadataKey": "both", "type": "InputToken"},
                    {"metadataKey": "common", "type": "InputToken"},
                ]
            },
        },
        "AIGatewayRoute r": {
            "spec": {
                "llmRequestCosts": [
                    {"metadataKey": "own", "type": "InputToken"},
                    {"metadataKey": "both", "type": "OutputToken"},
                    {"metadataKey": "own", "type": "TotalToken"},
                ]
            }
        },
    }
    costs = compiled(change).filter_config.rules[0].costs
    assert [(cost.metadata_key, cost.type) for cost in costs] == [
        ("own", "TotalToken"),
        ("both", "OutputToken"),
        ("common", "InputToken"),
    ]


def test_a_user_filter_on_the_listener_forces_attempts() -> None:
    assert {rule.plan for rule in compiled({}).rules} == {"single"}
    assert {rule.plan for rule in compiled({}, user_filters=("default/g/http",)).rules} == {"attempt"}
    assert {rule.plan for rule in compiled({}, user_filters=("default/g/other",)).rules} == {"single"}


def test_a_missing_gateway_is_a_callers_mistake() -> None:
    with pytest.raises(LookupError, match="Gateway default/g not found"):
        compiled({"Gateway g": None})


def rules(*counts: int) -> list[dict[str, Any]]:
    """Rules with so many matches each."""
    return [
        {
            "name": f"rule-{rule}",
            "matches": [{"headers": [{"name": "x", "value": f"{rule}-{n}"}]} for n in range(count)],
            "backendRefs": [{"name": "fine"}],
        }
        for rule, count in enumerate(counts)
    ]


@pytest.mark.parametrize(
    ("matches", "spread"),
    [
        ((65, 0), [("r", [64]), ("r-1", [1, 1])]),
        ((128, 0), [("r", [64]), ("r-1", [64, 1])]),
        ((64, 63), [("r", [64, 63])]),
        ((64, 64), [("r", [64]), ("r-1", [64])]),
        ((1,) * 15, [("r", [1] * 15)]),
        ((0, 128, 1), [("r", [1, 64]), ("r-1", [64, 1])]),
    ],
)
def test_more_than_an_httproute_holds_goes_on_in_others(
    matches: tuple[int, ...], spread: list[tuple[str, list[int]]]
) -> None:
    result = compiled({"AIGatewayRoute r": {"spec": {"rules": rules(*matches)}}})
    http_routes = [each for each in result.objects if isinstance(each, HTTPRoute)]
    assert [(each.name, [len(rule.matches) for rule in each.spec.rules[:-1]]) for each in http_routes] == spread
    assert {each.spec.rules[-1].name for each in http_routes} == {"route-not-found"}
    assert [(ref.name, index) for ref, index in result.fallbacks] == [(name, len(each)) for name, each in spread]
    assert result.findings == ()
    for rule in result.rules:
        http_route = next(each for each in http_routes if each.name == rule.http_route.name)
        placed = http_route.spec.rules[rule.http_rule]
        assert placed.name == f"rule-{rule.rule}"
        assert {match.headers[0].value for match in placed.matches} == {rule.token}


def test_a_name_that_somebody_else_has_is_passed_over() -> None:
    taken = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "r-1"},
        "spec": {},
    }
    other = {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": "r-2"},
        "spec": {"rules": []},
    }
    change = {
        "AIGatewayRoute r": {"spec": {"rules": rules(128)}},
        "HTTPRoute r-1": taken,
        "AIGatewayRoute r-2": other,
    }
    names = [each.name for each in compiled(change).objects if isinstance(each, HTTPRoute)]
    assert names == ["r", "r-3"]


def test_a_route_of_two_gateways_has_the_same_token_on_both() -> None:
    change = {
        "Gateway h": {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "h"},
            "spec": {"gatewayClassName": "c", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]},
        },
        "AIGatewayRoute r": {"spec": {"parentRefs": [{"name": "g"}, {"name": "h"}]}},
    }
    one = compiled(change, user_filters=("default/h/http",))
    other = compiled(change, gateway="h", user_filters=("default/h/http",))
    assert one.rules == other.rules
    assert one.objects == other.objects
    assert {rule.plan for rule in one.rules} == {"attempt"}


def test_more_backends_than_a_rule_holds_are_shared_out() -> None:
    refs = [{"name": "fine", "weight": number % 3, "modelNameOverride": f"m{number}"} for number in range(40)]
    refs.append({"name": "b", "priority": 1})
    change = {"AIGatewayRoute r": {"spec": {"rules": [{"name": "one", "backendRefs": refs}, {"name": "two"}]}}}
    result = compiled(change)
    assert result.findings == ()
    http_routes = {each.name: each for each in result.objects if isinstance(each, HTTPRoute)}
    assert {name: [rule.name for rule in each.spec.rules] for name, each in http_routes.items()} == {
        "r": ["one", "route-not-found"],
        "r-1": ["one", "two", "route-not-found"],
    }
    rule = result.filter_config.rules[0]
    assert [share.weight for share in rule.shares] == [13_000, 26_000]
    assert [share.token for share in rule.shares] == [each.token for each in result.rules[:2]]
    assert set(rule.backends) == {each.name for part in result.rules[:2] for each in part.backends}
    for part in result.rules[:2]:
        placed = http_routes[part.http_route.name].spec.rules[part.http_rule]
        assert len(placed.backend_refs) <= 16
        assert [each.weight for each in placed.backend_refs] == [each.weight for each in part.backends]
        assert [each.ref for each in part.backends] == list(range(len(part.backends)))
        assert part.backends[-1].name.endswith("/ref/40")
        assert placed.matches[0].headers[0].value == part.token
    priorities = http_routes["r"].metadata.annotations["gateway.envoyproxy.io/backend-ref-priority"]
    assert priorities.startswith("0:fine:0,")
    assert priorities.endswith(",0:b:1")
