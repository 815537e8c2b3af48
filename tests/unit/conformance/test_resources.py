from pathlib import Path
from typing import Any

import pytest
import yaml

from aigw.standalone import resources, verdicts
from conformance.case import Plan, load, load_all
from conformance.resources import CASE_HEADER, NAMESPACE, RULES, Run, document, objects
from tests.unit.conformance.test_case import CASE, PROVIDER, folder


def documents(root: Path, plan: Plan, case: str = CASE, provider: str = PROVIDER) -> dict[tuple[str, str], Any]:
    """(kind, name) → object"""
    run = Run(case=load(folder(root, case, provider), root), plan=plan, number=7, port=1234)
    text = document([run], port=10080, access_log="/tmp/access.log")
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text)}


@pytest.mark.parametrize("plan", ["single", "attempt"])
def test_a_rule_is_served_by_its_plan(tmp_path: Path, plan: Plan) -> None:
    found = documents(tmp_path, plan)
    (rule,) = found["AIGatewayRoute", "run-7"]["spec"]["rules"]
    assert rule["matches"] == [{"headers": [{"type": "Exact", "name": CASE_HEADER, "value": "run-7"}]}]
    spare = [{"name": "run-7-spare", "priority": 1}] if plan == "attempt" else []
    assert rule["backendRefs"] == [{"name": "run-7", "priority": 0}, *spare]
    assert ("AIServiceBackend", "run-7-spare") in found or plan == "single"
    assert found["Backend", "run-7"]["spec"]["endpoints"] == [{"ip": {"address": "127.0.0.1", "port": 1234}}]


@pytest.mark.parametrize(
    ("credential", "policy", "secret"),
    [
        ("{kind: header, name: authorization, value: Bearer k}", ("APIKey", "apiKey"), {"apiKey": "k"}),
        ("{kind: header, name: x-api-key, value: k}", ("AnthropicAPIKey", "anthropicAPIKey"), {"apiKey": "k"}),
        ("{kind: header, name: api-key, value: k}", ("AzureAPIKey", "azureAPIKey"), {"apiKey": "k"}),
        (
            "{kind: aws, region: r, access_key_id: a, secret_access_key: s, session_token: t}",
            ("AWSCredentials", "awsCredentials"),
            {
                "credentials": "[default]\naws_access_key_id = a\naws_secret_access_key = s\naws_session_token = t\n",
            },
        ),
    ],
)
def test_a_credential_becomes_a_policy_and_a_secret(
    tmp_path: Path, credential: str, policy: tuple[str, str], secret: dict[str, str]
) -> None:
    provider = f"backend: {{schema: {{name: OpenAI}}, credential: {credential}}}"
    found = documents(tmp_path, "single", provider=provider)
    type_, member = policy
    spec = found["BackendSecurityPolicy", "run-7"]["spec"]
    assert (spec["type"], member in spec) == (type_, True)
    assert found["Secret", "run-7"]["stringData"] == secret


def test_override_and_mutations_are_written(tmp_path: Path) -> None:
    case = CASE + "backend: {model_override: n, header_mutation: {set: {a: '1'}}, body_mutation: {remove: [b]}}\n"
    found = documents(tmp_path, "single", case)
    assert found["AIGatewayRoute", "run-7"]["spec"]["rules"][0]["backendRefs"][0]["modelNameOverride"] == "n"
    spec = found["AIServiceBackend", "run-7"]["spec"]
    assert spec["headerMutation"] == {"set": [{"name": "a", "value": "1"}]}
    assert spec["bodyMutation"] == {"remove": ["b"]}


def test_the_compiler_gives_every_run_the_plan_that_it_is_named_for() -> None:
    runs = [
        Run(case=case, plan=plan, number=number, port=1234)
        for number, (case, plan) in enumerate((case, plan) for case in load_all() for plan in case.plans)
    ]
    text = document(runs, port=10080, access_log="/tmp/access.log")
    judged = verdicts.judge(resources.read(text, "conformance.yaml", {}), token_key=bytes(32))
    assert judged.errors == ()
    plans = {rule.route.partition("/")[2]: rule.plan for rule in judged.compiled.rules}
    assert plans == {run.key: run.plan for run in runs}


def test_in_a_cluster_few_routes_have_all_the_rules(tmp_path: Path) -> None:
    case = load(folder(tmp_path, CASE, PROVIDER), tmp_path)
    runs = [Run(case=case, plan="single", number=number, port=1234) for number in range(RULES + 1)]
    found = objects(runs, port=8080, access_log="/tmp/access.log", address="10.0.0.1")
    rules = [each["spec"]["rules"] for each in found if each["kind"] == "AIGatewayRoute"]
    assert [len(each) for each in rules] == [RULES, 1]
    references = [rule["backendRefs"][0]["name"] for each in rules for rule in each]
    assert references == [run.key for run in runs]
    endpoints = [each["spec"]["endpoints"] for each in found if each["kind"] == "Backend"]
    assert endpoints == [[{"ip": {"address": "10.0.0.1", "port": 1234}}]] * len(runs)
    namespaces = {each["metadata"].get("namespace") for each in found} - {None}
    assert namespaces == {NAMESPACE} == {found[0]["metadata"]["name"]}
