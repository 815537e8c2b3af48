"""Starting and stopping `aigw run` for the runners."""

import asyncio
from pathlib import Path

import httpx
import pytest

from conformance import in_process, through_envoy
from conformance.case import CASES, load
from conformance.gateway import GatewayFailed, free_port, running

pytestmark = pytest.mark.envoy


def test_it_answers_when_it_is_yielded_and_is_gone_afterwards() -> None:
    port = free_port()
    with running("--port", str(port), port=port) as gateway:
        assert httpx.get(f"{gateway.base_url}/v1/models", trust_env=False).status_code == 200
        assert gateway.ready_seconds > 0
        gateway.check()
        process = gateway.process
    assert process.returncode == 0
    with pytest.raises(GatewayFailed, match="ended with 0"):
        gateway.check()


def test_a_gateway_that_does_not_start_says_why(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("kind: Nothing\n")
    with pytest.raises(GatewayFailed, match="apiVersion: Required"), running(str(file), port=free_port()):
        pass


def test_the_runner_through_envoy_tells_what_differs(tmp_path: Path) -> None:
    directory = tmp_path / "openai" / "chat_completions" / "plain"
    directory.mkdir(parents=True)
    (tmp_path / "openai" / "provider.yaml").write_bytes((CASES / "openai" / "provider.yaml").read_bytes())
    (directory / "case.yaml").write_text("description: it answers\nrequirements: [none]\n")
    (directory / "client_request.json").write_text('{"model": "m", "messages": []}')
    (directory / "upstream_response.json").write_text(
        '{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}'
    )
    case = load(directory, tmp_path)
    in_process.write_fixtures(case)
    for name, old, new in (
        ("upstream_request.json", "/chat/completions", "/elsewhere"),
        ("client_response.json", '"status": 200', '"status": 201'),
        ("usage.json", '"output": 2', '"output": 5'),
    ):
        text = (directory / name).read_text()
        assert old in text
        (directory / name).write_text(text.replace(old, new))
    verdicts = asyncio.run(through_envoy.run_all([case]))
    assert [verdict.plan for verdict in verdicts] == ["single", "attempt"]
    for verdict in verdicts:
        assert [difference.partition(":")[0] for difference in verdict.differences] == [
            "upstream_request.json.path",
            "client_response.json.status",
            "usage.json.output",
        ]
