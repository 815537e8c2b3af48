"""Endpoints without a host name, behind a route that has some: the provider gets the name that the request is signed
for, and Envoy finds the rule all the same."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import botocore.auth
import httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from filters.contract import jsonlib
from filters.contract.config import bedrock_host
from tests.envoy.test_plan_rules import ANSWER, Seen, upstream
from tests.standalone import files
from tests.support.patched import Patched

pytestmark = pytest.mark.envoy

HOST = "ai.example.com"
REGION = "eu-west-3"
KEYS = ("AKIAEXAMPLE", "secret-key")
CONVERSE = jsonlib.encode(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "ok"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    }
)


def aws_credential(name: str) -> list[files.Document]:
    """For the AIServiceBackend of that name."""
    text = f"[default]\naws_access_key_id = {KEYS[0]}\naws_secret_access_key = {KEYS[1]}\n"
    return [
        files.object_("v1", "Secret", f"{name}-keys", stringData={"credentials": text}),
        files.object_(
            f"{files.GROUP}/v1beta1",
            "BackendSecurityPolicy",
            name,
            {
                "targetRefs": [{"group": files.GROUP, "kind": "AIServiceBackend", "name": name}],
                "type": "AWSCredentials",
                "awsCredentials": {"region": REGION, "credentialsFile": {"secretRef": {"name": f"{name}-keys"}}},
            },
        ),
    ]


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    """Plan → what the provider got."""
    folder = tmp_path_factory.mktemp("aws")
    with ExitStack() as stack:
        provider, other = stack.enter_context(upstream(CONVERSE)), stack.enter_context(upstream(ANSWER))
        rules = {
            "single": [{"name": "aws"}],
            "attempt": [{"name": "aws", "priority": 0}, {"name": "other", "priority": 1}],
        }
        text = files.text(
            files.gateway(),
            files.backend("aws", "AWSBedrock", provider.port),
            files.backend("other", "OpenAI", other.port),
            aws_credential("aws"),
            files.route(rules, hostnames=[HOST]),
        )
        patched = Patched(folder, text)
        assert {rule.plan for rule in patched.compiled.rules} == set(rules)
        filter_ = stack.enter_context(patched.filter())
        stack.enter_context(patched.envoy(filter_.socket))
        found = {}
        for plan in rules:
            body = {"model": plan, "messages": [{"role": "user", "content": "hi"}]}
            url = f"{patched.url}/v1/chat/completions"
            answer = httpx.post(url, json=body, headers={"host": HOST}, timeout=20, trust_env=False)
            assert answer.status_code == 200, answer.text
            (found[plan],) = provider.seen
            provider.seen.clear()
        yield found


@pytest.mark.parametrize("plan", ["single", "attempt"])
def test_the_provider_is_called_by_the_name_that_is_signed(
    arrived: dict[str, Seen], monkeypatch: pytest.MonkeyPatch, plan: str
) -> None:
    request = arrived[plan]
    assert request.headers["host"] == bedrock_host(REGION)
    signed_at = datetime.strptime(request.headers["x-amz-date"] + "+0000", "%Y%m%dT%H%M%SZ%z")
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: signed_at)
    url = f"https://{request.headers['host']}{request.path}"
    theirs: Any = AWSRequest(method="POST", url=url, data=request.body)
    botocore.auth.SigV4Auth(Credentials(*KEYS), "bedrock", REGION).add_auth(theirs)
    assert request.headers["authorization"] == theirs.headers["Authorization"]
