"""`aigw explain` and `aigw translate` of files with something wrong in them: the rest is shown, as a cluster has it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from filters.contract import jsonlib
from tests.standalone import files
from tests.unit.aigw.commands.world import example, invoke, written

HOST = ("--host", "ai.example.com")
BROKEN = example().replace("name: AWSBedrock", "name: Nobody")
"""the backend of rule 3 is no AIServiceBackend"""
SERVED = [True, True, True, False, True]


def told(command: str, file: str, *arguments: str, code: int) -> dict[str, Any]:
    result = invoke(command, file, "--output", "json", *arguments)
    assert result.exit_code == code, result.output
    return jsonlib.decode(result.stdout.encode(), dict[str, Any])


def added(*documents: files.Document) -> str:
    return f"{example()}---\n{files.text(*documents)}"


def test_rules_that_are_right_are_explained_beside_the_one_that_is_not(tmp_path: Path) -> None:
    found = told("explain", written(tmp_path, BROKEN), code=1)
    assert found["verdict"] == "error"
    assert [rule["served"] for rule in found["rules"]] == SERVED
    (backend,) = found["rules"][3]["backends"]
    (problem,) = backend["problems"]
    assert (backend["used"], problem["object"]) == (False, "AIGatewayRoute default/llm")
    assert problem["field"] == "spec.rules[3].backendRefs[0].name"
    assert problem["message"].startswith(
        "AIServiceBackend default/bedrock cannot be used: spec.schema.name: Unsupported"
    )
    assert [each["object"] for each in found["problems"]] == [
        "AIServiceBackend default/bedrock",
        "AIGatewayRoute default/llm",
    ]


@pytest.mark.parametrize(
    ("model", "answer", "backends"),
    [("gpt-4o", None, ["default/openai"]), ("claude-x", (503, "no_backend"), [])],
)
def test_a_request_is_followed_through_what_is_right(
    tmp_path: Path, model: str, answer: tuple[int, str] | None, backends: list[str]
) -> None:
    (one,) = told("explain", written(tmp_path, BROKEN), "-m", model, *HOST, code=1)["requests"]
    assert (one["answer"] and (one["answer"]["status"], one["answer"]["code"])) == answer
    assert [sent["backend"] for sent in one["sent"]] == backends


def test_the_screen_says_what_is_not_served_and_why(tmp_path: Path) -> None:
    lines = invoke("explain", written(tmp_path, BROKEN)).stdout.splitlines()
    after = lines[lines.index("Rule default/llm/rule/3") :]
    assert after[1].strip() == "✗ not served: requests for it are answered with 503"
    assert any("✗ default/bedrock  cannot be used" in line for line in after)
    assert lines[-1] == "✗ 2 errors: a cluster serves the rest, as shown; aigw run does not start"


def test_of_other_rules_a_request_shows_only_how_many_problems_there_are(tmp_path: Path) -> None:
    screen = invoke("explain", written(tmp_path, BROKEN), "-m", "gpt-4o", *HOST).stdout
    assert "Nobody" not in screen
    assert screen.splitlines()[-1].endswith("; without a request: 2 more problems, of other rules and objects")


def test_without_the_route_a_request_gets_what_envoy_says_and_every_problem_is_shown(tmp_path: Path) -> None:
    file = written(tmp_path, example().replace("parentRefs:", "parentRef:"))
    (one,) = told("explain", file, "-m", "gpt-4o", *HOST, code=1)["requests"]
    assert (one["answer"]["status"], one["answer"]["code"], one["rule"]) == (404, "not_found", None)
    assert "spec.parentRef: unknown field" in invoke("explain", file, "-m", "gpt-4o", *HOST).stdout


def test_everything_that_is_right_is_translated(tmp_path: Path) -> None:
    file = written(tmp_path, BROKEN)
    found = told("translate", file, code=1)
    (route,) = [each for each in found["objects"] if each["kind"] == "HTTPRoute"]
    assert [bool(rule.get("backendRefs")) for rule in route["spec"]["rules"]] == [*SERVED, False]
    assert [bool(rule["backends"]) for rule in found["filter"]["rules"]] == SERVED
    assert found["xds"]["patched"]["clusters"]
    result = invoke("translate", "--objects", file)
    assert (result.exit_code, len(list(yaml.safe_load_all(result.stdout)))) == (1, len(found["objects"]))
    assert "error: document 9: AIServiceBackend default/bedrock: spec.schema.name: Unsupported" in result.stderr
    assert "# 2 errors: what is wrong is left out" in result.stdout


def test_a_policy_that_cannot_be_used_is_named_at_the_backend_that_it_is_for(tmp_path: Path) -> None:
    found = told("explain", written(tmp_path, example().replace("type: AnthropicAPIKey", "type: Nothing")), code=1)
    (backend,) = found["rules"][2]["backends"]
    assert backend["credential"]["type"] == ""
    assert {each["object"] for each in backend["problems"]} == {
        "AIServiceBackend default/anthropic",
        "BackendSecurityPolicy default/anthropic-key",
    }


@pytest.mark.parametrize("command", ["explain", "translate"])
def test_what_has_no_part_in_it_is_passed_over_by_name(tmp_path: Path, command: str) -> None:
    deployment = files.object_("apps/v1", "Deployment", "d", {"replicas": 1})
    found = told(command, written(tmp_path, added(deployment)), code=0)
    assert (found["not_looked_at"], found["problems"]) == (["Deployment default/d"], [])


def test_what_only_envoy_gateway_serves_is_a_warning(tmp_path: Path) -> None:
    target = {"group": files.GATEWAY_API, "kind": "HTTPRoute", "name": "llm"}
    spec = {"targetRefs": [target], "rateLimit": {"type": "Global"}, "timeout": {"http": {"requestTimeout": "7s"}}}
    policy = files.object_(f"{files.EG}/v1alpha1", "BackendTrafficPolicy", "limits", spec)
    mcp = files.object_(
        f"{files.GROUP}/v1beta1",
        "MCPRoute",
        "tools",
        {"parentRefs": [{"name": "aigw"}], "backendRefs": [{"name": "t", "kind": "Backend", "group": files.EG}]},
    )
    found = told("explain", written(tmp_path, added(policy, mcp)), code=0)
    assert [(each["severity"], each["object"], each["field"]) for each in found["problems"]] == [
        ("warning", "BackendTrafficPolicy default/limits", "spec.rateLimit"),
        ("warning", "MCPRoute default/tools", ""),
    ]
    assert found["rules"][0]["policies"] == ["BackendTrafficPolicy default/limits"]


def test_a_listener_without_its_certificate_is_named_by_its_place_and_the_others_are_shown(tmp_path: Path) -> None:
    listeners = [
        {"name": "a", "protocol": "HTTPS", "port": 1, "tls": {"certificateRefs": [{"name": "gone"}]}},
        {"name": "b", "protocol": "HTTPS", "port": 2, "tls": {"certificateRefs": [{"name": "lost"}]}},
        {"name": "http", "protocol": "HTTP", "port": 3},
    ]
    documents = [each for each in yaml.safe_load_all(example()) if each["kind"] != "Gateway"]
    gateway = files.object_(
        f"{files.GATEWAY_API}/v1", "Gateway", "aigw", {"gatewayClassName": "aigw", "listeners": listeners}
    )
    found = told("translate", written(tmp_path, files.text(gateway, *documents)), code=1)
    assert [(each["field"], each["message"]) for each in found["problems"]] == [
        ("spec.listeners[0].tls.certificateRefs[0]", "Secret default/gone not found"),
        ("spec.listeners[1].tls.certificateRefs[0]", "Secret default/lost not found"),
    ]
    assert [each["name"] for each in found["xds"]["patched"]["listeners"]] == ["default/aigw/http"]


def test_listeners_that_no_ai_route_can_use_are_left_out(tmp_path: Path) -> None:
    text = example().replace(
        "  - name: http\n",
        "  - {name: tls, protocol: TLS, port: 443, tls: {mode: Passthrough}}\n"
        "  - {name: https, protocol: HTTPS, port: 444}\n"
        "  - name: http\n",
    )
    found = told("translate", written(tmp_path, text), code=1)
    assert [(each["severity"], each["field"]) for each in found["problems"]] == [
        ("warning", "spec.listeners[0].protocol"),
        ("warning", "spec.listeners[0].tls.mode"),
        ("error", "spec.listeners[1].tls.certificateRefs"),
    ]
    assert [each["name"] for each in found["xds"]["patched"]["listeners"]] == ["default/aigw/http"]


def test_without_a_configuration_of_envoy_rules_are_explained_all_the_same(tmp_path: Path) -> None:
    policy = files.object_(
        f"{files.EG}/v1alpha1",
        "SecurityPolicy",
        "keys",
        {
            "targetRefs": [{"group": files.GATEWAY_API, "kind": "Gateway", "name": "aigw"}],
            "apiKeyAuth": {"credentialRefs": [{"name": "gone"}], "extractFrom": [{"headers": ["x-key"]}]},
        },
    )
    file = written(tmp_path, added(policy))
    found = told("explain", file, code=1)
    assert [(rule["served"], rule["timeouts"]) for rule in found["rules"]] == 5 * [(True, {})]
    (problem,) = told("translate", file, code=1)["problems"]
    assert problem["field"] == "spec.apiKeyAuth.credentialRefs[0]"
    assert told("translate", file, code=1)["xds"] is None


def test_what_a_cluster_holds_is_explained_as_kubectl_prints_it(tmp_path: Path) -> None:
    documents = list(yaml.safe_load_all(example()))
    for each in documents:
        each["metadata"]["uid"] = f"uid-of-{each['metadata']['name']}"
    made = told("translate", written(tmp_path, files.text(documents)), "--objects", code=0)["objects"]
    web = files.object_(
        f"{files.GATEWAY_API}/v1",
        "HTTPRoute",
        "web",
        {"parentRefs": [{"name": "aigw"}], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
    )
    for each in (*documents, *made, web):
        each["metadata"] |= {"resourceVersion": "1", "generation": 2, "managedFields": [{"manager": "m"}]}
        each["status"] = {"conditions": []}
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [*documents, *made, web],
        "metadata": {"resourceVersion": ""},
    }
    found = told("explain", written(tmp_path, yaml.safe_dump(listed)), code=1)
    assert [rule["served"] for rule in found["rules"]] == 5 * [True]
    assert found["rules"][0]["timeouts"]["request"] == "60s"
    assert found["not_looked_at"] == [
        "HTTPRoute default/llm",
        "HTTPRouteFilter default/ai-eg-host-rewrite-llm",
        "HTTPRouteFilter default/ai-eg-route-not-found-response-llm",
    ]
    assert [(each["object"], each["field"]) for each in found["problems"]] == [
        ("HTTPRoute default/web", "spec.rules[0].backendRefs[0]")
    ]


def test_of_several_gateways_one_is_chosen(tmp_path: Path) -> None:
    listener = {"name": "http", "protocol": "HTTP", "port": 2}
    second = files.object_(
        f"{files.GATEWAY_API}/v1", "Gateway", "b", {"gatewayClassName": "aigw", "listeners": [listener]}
    )
    file = written(tmp_path, added(second))
    result = invoke("explain", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "has 2 Gateways (default/aigw, default/b); choose one with --gateway" in result.stderr
    assert len(told("explain", file, "--gateway", "aigw", code=0)["rules"]) == 5
    assert told("translate", file, "--gateway", "default/b", code=0)["gateway"] == "default/b"
    assert "has no Gateway c" in invoke("explain", file, "--gateway", "c").stderr
