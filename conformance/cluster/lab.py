"""The lab (docs/lab.md): needs root and Linux, no container engine. Its commands are its interface."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from conformance.cluster.cluster import Kubectl, NotAvailable, ServiceType
from filters.contract import jsonlib

_ROOT: Final = Path(__file__).parents[2]
_FORWARD_LIMIT: Final = 30.0


class _Status(msgspec.Struct):
    up: bool
    kubeconfig: str
    kubectl: str
    forwards: dict[str, str]


_status = jsonlib.decoder(_Status)


class Lab:
    """A `Cluster`."""

    gateway_service: ServiceType = "LoadBalancer"
    inside: Sequence[str] = (sys.executable, "-m", "hack.lab", "exec")

    def __init__(self) -> None:
        status = _read_status()
        self.kubeconfig = Path(status.kubeconfig)
        self.kubectl = Kubectl(Path(status.kubectl), self.kubeconfig)

    def command(self, command: Sequence[str]) -> list[str]:
        return [*command]

    def load(self, archives: Iterable[Path]) -> None:
        _run("load", *(str(archive) for archive in archives))

    @contextlib.contextmanager
    def reach(self, namespace: str, service: str, port: int) -> Iterator[str]:
        name = f"{namespace}/{service}:{port}"
        deadline = time.monotonic() + _FORWARD_LIMIT
        while (address := _read_status().forwards.get(name)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the lab has no way to {name}")
            time.sleep(0.2)
        yield address


@contextlib.contextmanager
def running(envoy_gateway: str) -> Iterator[Lab]:
    """The lab that is up, or one that ends with the block. Raises NotAvailable."""
    found = _read_status().up
    if not found:
        _run("up", "--bare", "--envoy-gateway", envoy_gateway, shown=True)
    try:
        yield Lab()
    finally:
        if not found:
            _run("down")


def _read_status() -> _Status:
    return _status(_run("status", "--json"))


def _run(*arguments: str, shown: bool = False) -> bytes:
    """Standard output, or nothing when it is `shown`."""
    done = subprocess.run(
        [sys.executable, "-m", "hack.lab", *arguments],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=None if shown else subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise NotAvailable(f"hack.lab {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout or b""
