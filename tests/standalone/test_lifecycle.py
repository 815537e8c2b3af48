"""Starting, stopping, dying: what a person sees, and that nothing is left behind."""

import asyncio
import os
import signal
import socket
import tempfile
from pathlib import Path

import httpx
import pytest

from tests.standalone import files
from tests.standalone.gateway import refused, running
from tests.support.waiting import LIMIT, wait_until

pytestmark = pytest.mark.envoy


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "run") as gateway:
        children = list(gateway.children())
        assert len(children) == 2
        assert gateway.stop(number) == 0
        assert gone(children)
        assert not list((gateway.state / "runs").iterdir())
        assert not list(gateway.runtime.iterdir())


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="aigw-") as name:
        _kill_and_start_again(tmp_path, {"AIGW_RUNTIME_DIR": name})


def _kill_and_start_again(tmp_path: Path, more: dict[str, str]) -> None:
    with running(tmp_path / "run", more=more) as gateway:
        children = list(gateway.children())
        gateway.process.kill()
        gateway.process.wait()
        wait_until(lambda: gone(children), lambda: f"still there: {children}")
        left = next(gateway.runtime.iterdir())
    with running(tmp_path / "run", more=more):
        assert not left.exists(), "the next start removes what a killed run left behind"


def test_a_killed_filter_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path / "run") as gateway:
        old = gateway.child("filters.main")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: gateway.chat("demo-anthropic").status_code == 200, gateway.err)
        assert gateway.child("filters.main") != old


def test_a_dead_envoy_ends_the_run_with_a_reason(tmp_path: Path) -> None:
    with running(tmp_path / "run") as gateway:
        os.kill(gateway.child("envoy"), signal.SIGKILL)
        assert gateway.process.wait(10) == 1
        assert "Envoy ended with code -9" in gateway.err()


def test_two_gateways_run_side_by_side(tmp_path: Path) -> None:
    with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        assert one.chat("demo-bedrock").status_code == 200
        assert two.chat("demo-bedrock").status_code == 200


def test_files_and_directories_are_for_this_user_only(tmp_path: Path) -> None:
    with running(tmp_path / "run") as gateway:
        for home in (gateway.state / "runs", gateway.runtime):
            for path in (home, *home.rglob("*")):
                assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("flag", ["--port", "--admin-port"])
def test_a_port_in_use_is_said_at_the_start(tmp_path: Path, flag: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = refused(tmp_path, flag, str(port))
    assert message.startswith(f"aigw: port {port} (")
    assert "in use" in message
    assert flag in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n", ("Pod", "use Envoy Gateway")),
        ("a: [", ("gateway.yaml",)),
        ("", ("gateway.yaml", "no objects")),
        (
            files.text(files.gateway(), files.route({"m": [{"name": "missing"}]})).replace("PORT", "19999"),
            ("AIGatewayRoute default/llm", "spec.rules[0].backendRefs[0]", "missing"),
        ),
        (
            files.text(files.gateway(), {**files.route({}), "spec": {"rules": [{"nonsense": 1}]}}).replace("PORT", "1"),
            ("AIGatewayRoute default/llm", "spec.rules[0].nonsense"),
        ),
    ],
    ids=["unknown kind", "broken YAML", "empty", "bad reference", "unknown field"],
)
def test_a_bad_file_is_refused_with_file_object_and_field(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    message = refused(tmp_path, str(file))
    for part in (str(file), *parts):
        assert part in message
    assert "Traceback" not in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, str(tmp_path / "nowhere.yaml"))
    assert message == f"aigw: {tmp_path / 'nowhere.yaml'}: cannot be read: No such file or directory\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_requests_survive_a_restart_of_the_filter(tmp_path: Path, number: signal.Signals) -> None:
    """It can only fail those that it held when it ended; whatever comes meanwhile waits for the next process."""
    clients = 8
    answers: list[int] = []
    done, new = asyncio.Event(), asyncio.Semaphore(0)

    async def ask(client: httpx.AsyncClient) -> None:
        while not done.is_set():
            body = {"model": "demo-failover", "messages": [{"role": "user", "content": "x"}]}
            answers.append((await client.post("/v1/chat/completions", json=body)).status_code)
            new.release()

    async def answered(count: int) -> None:
        async with asyncio.timeout(LIMIT):
            for _ in range(count):
                await new.acquire()

    with running(tmp_path / "run") as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=LIMIT, trust_env=False) as client:
            load = [asyncio.create_task(ask(client)) for _ in range(clients)]
            await answered(5 * clients)
            os.kill(gateway.child("filters.main"), number)
            await answered(20 * clients)
            done.set()
            await asyncio.gather(*load)
    failed = [status for status in answers if status != 200]
    assert len(failed) <= clients


def test_several_workers_serve_attempts_that_another_one_began(tmp_path: Path) -> None:
    with running(tmp_path / "run", None, "--workers", "2") as gateway:
        for _ in range(20):
            answer = gateway.chat("demo-failover")
            assert answer.status_code == 200, answer.text
