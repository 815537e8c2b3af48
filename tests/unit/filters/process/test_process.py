"""The filter process as its parent, its probes and its scrapers see it."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from filters.contract import config
from filters.contract.sections import split
from filters.process import control, worker
from filters.process.worker import Options
from tests.support.echo import EchoProgram, echo_hash
from tests.support.envoy import free_port
from tests.support.filter_process import LIMIT, ROOT, running_filter

IDLE_LIMIT = 60 * 1024 * 1024
CONTROL_PLANE = ("pydantic", "envoy_data_plane", "httpx", "opentelemetry", "typer", "rich", "botocore")


def hash_of(path: Path) -> str:
    return split(config.decode(path.read_bytes())).config_hash


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.json"
    path.write_bytes(config.encode(config.FilterConfig(gateway="ns/name")))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.json"
    path.write_bytes(b"bad")
    return path


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
        return True


def test_the_real_process_loads_serves_and_stays_small(good: Path) -> None:
    port = free_port()
    arguments = ("--config", str(good), "--admin-port", str(port))
    with running_filter(*arguments, module="filters.main", ready=False) as filter_:
        assert filter_.answer().loaded == hash_of(good)
        assert connects(filter_.socket)
        assert get(port, "/health") == (200, "OK\n")
        assert "# TYPE gen_ai_client_token_usage" in get(port, "/metrics")[1]
        assert filter_.resident() < IDLE_LIMIT
        assert os.stat(filter_.socket).st_mode & 0o777 == 0o600
        assert filter_.stop() == 0
        assert not os.path.exists(filter_.socket)


def test_the_process_never_loads_the_control_planes_libraries() -> None:
    code = f"import filters.main, sys; print([name for name in {CONTROL_PLANE!r} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_a_refused_configuration_at_start_is_exit_code_2_and_no_socket(bad: Path) -> None:
    for workers in ("1", "2"):
        with running_filter("--config", str(bad), "--workers", workers, ready=False) as filter_:
            assert filter_.answer().error == "the document is bad"
            assert filter_.process.wait(LIMIT) == 2
            assert not os.path.exists(filter_.socket)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_configurations_are_loaded_live_and_bad_ones_are_refused(workers: str, good: Path, bad: Path) -> None:
    port = free_port()
    with running_filter("--workers", workers, "--admin-port", str(port)) as filter_:
        assert get(port, "/health") == (500, "no configuration loaded\n")
        loaded = filter_.load(good).loaded
        assert loaded
        assert get(port, "/health")[0] == 200
        assert filter_.load(bad).error == "the document is bad"
        assert "No such file" in filter_.load(good.parent / "none").error
        assert filter_.load(good).loaded == loaded
        assert f"echo_total {float(workers)}" in get(port, "/metrics")[1]
        assert get(port, "/nowhere")[0] == 404


def test_a_configuration_is_taken_by_all_workers_or_by_none(good: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.json"
    half.write_bytes(b"refused by 1")
    with running_filter("--workers", "2", "--config", str(good)) as filter_:
        assert filter_.load(half).error == "the document is bad"
        assert filter_.load(good).loaded
        assert {line.rpartition("configuration ")[2] for line in filter_.log().splitlines() if " loaded" in line} == {
            f"{echo_hash(good.read_bytes())} loaded"
        }


def test_a_configuration_can_be_taken_in_two_steps(good: Path, bad: Path) -> None:
    with running_filter() as filter_:
        assert filter_.tell(activate=str(good)).error == "this configuration is not prepared"
        assert filter_.tell(prepare=str(good)).prepared == str(good)
        assert filter_.tell(activate=str(bad)).error == "this configuration is not prepared"
        assert filter_.tell(activate=str(good)).loaded == echo_hash(good.read_bytes())
        assert filter_.tell(prepare=str(bad)).error == "the document is bad"


class Waiting(EchoProgram):
    """Builds a configuration for as long as nothing else happens."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.go_on = threading.Event()

    def prepare(self, document: bytes) -> Callable[[], str]:
        assert self.go_on.wait(LIMIT)
        return super().prepare(document)


async def test_the_process_serves_while_a_configuration_is_built(good: Path) -> None:
    options = Options(socket="none")
    program = Waiting(options)
    process = worker._Worker(options, program)
    loading = asyncio.create_task(control.load(process, str(good)))
    while not loading.done():
        await asyncio.sleep(0)  # the loop turns
        program.go_on.set()
    assert await loading


def test_unreadable_commands_are_answered() -> None:
    with running_filter() as filter_:
        assert filter_.process.stdin is not None
        lines = [b'{"lode": "x"}', b"nonsense", b'{"load": "x", "prepare": "x"}', b"{}"]
        for line in lines:
            filter_.process.stdin.write(line + b"\n")
        filter_.process.stdin.flush()
        for _ in lines:
            assert "control" in filter_.answer().error


def test_stdin_that_is_no_pipe_is_an_error_unless_control_is_off(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "filters.main", "--socket", str(tmp_path / "s")]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--no-control" in done.stderr
    command.append("--no-control")
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b'{"ready":true}\n'
        process.terminate()
        assert process.wait(LIMIT) == 0


def test_a_control_line_without_end_ends_the_process() -> None:
    with running_filter() as filter_:
        assert filter_.process.stdin is not None
        filter_.process.stdin.write(b"x" * 200_000)
        assert "bytes" in filter_.answer().error
        assert filter_.process.wait(LIMIT) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_end_of_stdin_ends_the_process_and_its_workers(workers: str) -> None:
    with running_filter("--workers", workers) as filter_:
        pids = filter_.children()
        assert len(pids) == (2 if workers == "2" else 0)
        assert filter_.process.stdin is not None
        filter_.process.stdin.close()
        assert filter_.process.wait(LIMIT) == 0
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_workers_do_not_outlive_a_killed_supervisor() -> None:
    with running_filter("--workers", "2") as filter_:
        pids = filter_.children()
        os.kill(filter_.pid, signal.SIGKILL)
        filter_.process.wait(LIMIT)
        for pid in pids:
            wait_until_gone(pid)


def wait_until_gone(pid: int) -> None:
    """Blocks on the process's own file descriptor."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], LIMIT)[0], f"process {pid} lives"
    finally:
        os.close(descriptor)


def test_a_worker_that_is_started_again_has_the_newest_configuration(good: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.json"
    newer.write_bytes(good.read_bytes() + b" ")
    port = free_port()
    with running_filter(
        "--workers", "2", "--config", str(good), "--admin-port", str(port), "--log-format", "json"
    ) as f:
        hash_ = f.load(newer).loaded
        old = f.worker(1)
        os.kill(old, signal.SIGKILL)
        wait_until_gone(old)
        for _ in range(100):  # the supervisor sees the death in its own time
            answer = f.load(newer)
            assert answer.loaded == hash_, answer
            if f.log().count(f"configuration {hash_} loaded") >= 3 + 1:
                break
        assert "starting it again" in f.log()


def test_a_socket_that_cannot_be_made_is_an_error() -> None:
    with running_filter("--socket", "/nonexistent/s", ready=False) as filter_:
        assert filter_.process.wait(LIMIT) == 2
        assert "/nonexistent/s" in filter_.answer().error


def test_the_arguments_are_checked() -> None:
    for arguments in ([], ["--socket", "x", "--workers", "0"], ["--socket", "x", "--log-level", "loud"]):
        command = [sys.executable, "-m", "filters.main", *arguments]
        assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 2
