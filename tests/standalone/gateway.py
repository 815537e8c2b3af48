"""Starts `aigw run` as a person would, on free ports and with directories of its own, and stops it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from conformance import children
from tests.support.envoy import free_port
from tests.support.waiting import LIMIT, wait_until

STOP_LIMIT = 10.0


@dataclass(slots=True)
class Gateway:
    process: subprocess.Popen[bytes]
    port: int
    admin_port: int
    directory: Path
    runtime: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def err(self) -> str:
        return (self.directory / "err.txt").read_text(errors="replace")

    def out(self) -> str:
        return (self.directory / "out.txt").read_text(errors="replace")

    def children(self) -> dict[int, str]:
        """Process id → command line of everything below."""
        return _descendants(self.process.pid)

    def environments(self) -> dict[str, str]:
        """What every process below has in its environment, by a name for it."""
        return {f"environment of {pid}": Path(f"/proc/{pid}/environ").read_text() for pid in self.children()}

    def child(self, part: str) -> int:
        """The one process below whose command line has `part` in it; waits for one that is just being replaced."""
        found: list[int] = []

        def there_is_one() -> bool:
            found[:] = [pid for pid, command in self.children().items() if part in command]
            return len(found) == 1

        wait_until(there_is_one, lambda: f"not one process with {part!r}: {self.children()}")
        return found[0]

    def wait_for(self, text: str, count: int = 1) -> None:
        """Until `text` stands in standard error `count` times."""
        wait_until(lambda: self.err().count(text) >= count, lambda: f"{text!r} not in:\n{self.err()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT)

    def chat(self, model: str, text: str = "What is 6 x 7?", **more: object) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=LIMIT, trust_env=False)


def _descendants(pid: int) -> dict[int, str]:
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == pid:
                child = int(path.name)
                found[child] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found |= _descendants(child)
    return found


def environment(directory: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    return kept | {
        "AIGW_STATE_HOME": str(directory / "state"),
        "AIGW_CONFIG_HOME": str(directory / "config"),
        **(more or {}),
    }


def launch(directory: Path, *arguments: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """`aigw run …`, output to files in `directory`."""
    with (directory / "out.txt").open("wb") as out, (directory / "err.txt").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", "aigw", "run", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment(directory, more),
        )


def refused(directory: Path, *arguments: str, more: Mapping[str, str] | None = None) -> str:
    """What `aigw run …` says when it cannot start; it must end with exit code 2."""
    process = launch(directory, *arguments, more=more)
    try:
        assert process.wait(LIMIT) == 2
    finally:
        process.kill()
    return (directory / "err.txt").read_text()


@contextlib.contextmanager
def running(
    directory: Path, file: str | None = None, *arguments: str, more: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    """A gateway with the demo, or with `file` (its text; `PORT` in it becomes the port)."""
    directory.mkdir(exist_ok=True)
    # Paths of unix sockets are short; pytest's directories are not.
    runtime = Path(tempfile.mkdtemp(prefix="aigw-"))
    more = {"AIGW_RUNTIME_DIR": str(runtime), **(more or {})}
    port, admin_port = free_port(), free_port()
    if file is None:
        first = ["--port", str(port)]
    else:
        path = directory / "gateway.yaml"
        path.write_text(file.replace("PORT", str(port)))
        first = [str(path)]
    process = launch(directory, *first, "--admin-port", str(admin_port), "--concurrency", "1", *arguments, more=more)
    gateway = Gateway(process, port, admin_port, directory, Path(more["AIGW_RUNTIME_DIR"]))
    try:
        wait_until(lambda: process.poll() is not None or "aigw is ready" in gateway.err(), gateway.err)
        assert process.poll() is None, gateway.err()
        yield gateway
    finally:
        children.end(process)
        shutil.rmtree(runtime, ignore_errors=True)
