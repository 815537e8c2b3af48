"""Starting and stopping `aigw run` for the runners."""

from pathlib import Path

import httpx
import pytest

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
