"""What tests need of a cluster, whichever it is. `choice` opens one.

A test speaks to the API server with `kubectl`, gets images in with `load`, and reaches a Gateway at the address on this
host that `reach` gives.
"""

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

import yaml

from filters.contract import jsonlib

ServiceType = Literal["LoadBalancer", "NodePort"]
_decode = jsonlib.decoder(dict[str, Any])


class NotAvailable(RuntimeError):
    """This machine cannot have such a cluster; the text says why."""


class KubectlFailed(RuntimeError):
    """kubectl did not have exit code 0; the text is what it said."""


class Cluster(Protocol):
    """One that is up."""

    @property
    def kubeconfig(self) -> Path:
        """Of its administrator, for processes of this host."""

    @property
    def gateway_service(self) -> ServiceType:
        """Which type of Service gets an address here: without one, Envoy Gateway programs no Gateway."""

    @property
    def kubectl(self) -> "Kubectl": ...

    def command(self, command: Sequence[str]) -> list[str]:
        """What to run on this host so that `command` reaches the API server by `kubeconfig`."""

    @property
    def inside(self) -> Sequence[str]:
        """What to put before a command of this host so that it reaches addresses of Services, if there is a way."""

    def load(self, archives: Iterable[Path]) -> None:
        """Images (docker-archive files) for every node."""

    def reach(self, namespace: str, service: str, port: int) -> AbstractContextManager[str]:
        """`host:port` on this host that leads to a Service of type `gateway_service`."""


class Kubectl:
    """kubectl with one kubeconfig. Every method raises KubectlFailed."""

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        self._start = (str(program), "--kubeconfig", str(kubeconfig))

    def __call__(self, *arguments: str, given: str | None = None) -> str:
        """Its standard output. `given`: its standard input."""
        done = subprocess.run(
            [*self._start, *arguments], input=given or "", capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self("apply", "--server-side", "--force-conflicts", "-f", "-", given=yaml.safe_dump_all(objects))

    def delete(self, *objects: Mapping[str, Any]) -> None:
        """Returns when they are gone. It is no error if they were."""
        self("delete", "--ignore-not-found", "-f", "-", given=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        return _decode(self("-n", namespace, "get", kind, name, "-o", "json").encode())

    def list(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """`selector`: of labels, all when it is empty."""
        chosen = ("--selector", selector) if selector else ()
        items: list[dict[str, Any]] = _decode(self("-n", namespace, "get", kind, *chosen, "-o", "json").encode())[
            "items"
        ]
        return items

    def wait(self, what: str, name: str, namespace: str, *, seconds: float = 120) -> None:
        """`what`: as kubectl has it, `condition=Programmed`."""
        self("-n", namespace, "wait", f"--for={what}", name, f"--timeout={seconds:.0f}s")
