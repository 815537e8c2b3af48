"""What arrives at an AWS provider through the real Envoy bears a signature that botocore computes for those bytes."""

import asyncio
import contextlib
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.auth
import httpx
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conformance import resources
from conformance.case import CASES, Case, Plan, load
from conformance.gateway import free_port, running
from conformance.upstream.http_server import Request
from conformance.upstream.replay import replaying
from filters.contract.config import AwsCredential

pytestmark = pytest.mark.envoy

FOLDER = CASES / "bedrock" / "chat_completions"
NAMES = (
    "unary-text",
    "unary-session-token",
    "unary-arn-model-in-path",
    "stream-two-tools",
    "request-images",
    "openai-compatible-endpoint",  # the body goes out as it came
)
PLANS: tuple[Plan, ...] = ("single", "attempt")


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, Plan], Request]:
    """One gateway, one request per case and plan: what each provider received."""
    return asyncio.run(_arrived([load(FOLDER / name) for name in NAMES], tmp_path_factory.mktemp("signature")))


async def _arrived(cases: list[Case], directory: Path) -> dict[tuple[str, Plan], Request]:
    found: dict[tuple[str, Plan], Request] = {}
    async with contextlib.AsyncExitStack() as stack:
        replays = {case.name: await stack.enter_async_context(replaying(case)) for case in cases}
        wanted = [(case, plan) for case in cases for plan in PLANS]
        runs = [
            resources.Run(case=case, plan=plan, number=number, port=replays[case.name].port)
            for number, (case, plan) in enumerate(wanted)
        ]
        port, file = free_port(), directory / "gateway.yaml"
        file.touch(mode=0o600)
        file.write_text(resources.document(runs, port=port, access_log=str(directory / "access.jsonl")))
        manager = running(str(file), port=port)
        gateway = await asyncio.to_thread(manager.__enter__)
        try:
            async with httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=20) as client:
                for run in runs:
                    headers = {resources.CASE_HEADER: run.key, "content-type": "application/json"}
                    await client.post(run.case.client.path, content=run.case.client_body, headers=headers)
                    (found[run.case.directory.name, run.plan],) = replays[run.case.name].take()
        finally:
            await asyncio.to_thread(manager.__exit__, None, None, None)
    return found


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", NAMES)
def test_the_signature_is_that_of_what_arrived(
    arrived: dict[tuple[str, Plan], Request], monkeypatch: pytest.MonkeyPatch, name: str, plan: Plan
) -> None:
    request = arrived[name, plan]
    credential = load(FOLDER / name).credential
    assert isinstance(credential, AwsCredential)
    token = credential.session_token.reveal() if credential.session_token else None
    signed_at = datetime.strptime(request.headers.get("x-amz-date") + "+0000", "%Y%m%dT%H%M%SZ%z")
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: signed_at)
    theirs: Any = AWSRequest(
        method=request.method, url=f"https://{request.headers.get('host')}{request.target}", data=request.body
    )
    credentials = Credentials(credential.access_key_id, credential.secret_access_key.reveal(), token)
    botocore.auth.SigV4Auth(credentials, "bedrock", credential.region).add_auth(theirs)
    assert request.headers.get("authorization") == theirs.headers["Authorization"]
    assert request.headers.get("x-amz-security-token") == (token or "")
