"""Starts `aigw run` as a process of its own, as a person would, and stops it: for runners, SDK tests and the bench.

with running(str(file), port=port) as gateway:
    gateway.base_url
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from conformance import children

START_LIMIT: Final = 60.0
"""seconds; a start takes about one, with 2,000 rules or on busy cores a few"""


class GatewayFailed(RuntimeError):
    """`aigw run` did not come up, or ended. The text is the end of its output."""


class Gateway:
    """A gateway that answers."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, output: Path, ready_seconds: float) -> None:
        self.process = process
        self.port = port
        self.ready_seconds = ready_seconds
        """from the start of the process to the first answer"""
        self._output = output

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        """The end of what it has printed; nothing once it was stopped."""
        return self._output.read_text(errors="replace")[-4000:] if self._output.is_file() else ""

    def check(self) -> None:
        """Raises GatewayFailed when it has ended."""
        if self.process.poll() is not None:
            raise GatewayFailed(f"aigw run ended with {self.process.returncode}\n{self.output()}")


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(*arguments: str, port: int, start_limit: float = START_LIMIT) -> Iterator[Gateway]:
    """`aigw run ARGUMENTS` on loopback, with no API keys of the environment; `port` is where it will listen.

    Yields when `/v1/models` is answered. Raises GatewayFailed.
    """
    command = [sys.executable, "-m", "aigw", "run", *arguments]
    command += ["--address", "127.0.0.1", "--admin-port", str(free_port()), "--concurrency", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    with tempfile.TemporaryDirectory(prefix="aigw-output-") as directory:
        output = Path(directory) / "output"
        began = time.monotonic()
        with output.open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment)
        try:
            gateway = Gateway(process, port, output, 0.0)
            _wait(gateway, began + start_limit)
            gateway.ready_seconds = time.monotonic() - began
            yield gateway
        finally:
            children.end(process)


def _wait(gateway: Gateway, deadline: float) -> None:
    while time.monotonic() < deadline:
        gateway.check()
        try:
            urllib.request.urlopen(f"{gateway.base_url}/v1/models", timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 404:  # it serves, and lists no model
                return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.01)
    raise GatewayFailed(f"aigw run does not answer\n{gateway.output()}")
