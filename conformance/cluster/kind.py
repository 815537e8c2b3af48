"""kind, by pytest-kind: needs Docker on this host, and the network for the node's image unless one is named.

Traffic reaches Services by the node's address and a port of it, through kube-proxy as in any cluster: a port-forward
would be tied to one pod and end with it.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from conformance.cluster.cluster import Kubectl, NotAvailable, ServiceType

if TYPE_CHECKING:
    from pytest_kind import KindCluster

IMAGE: Final = "AIGW_KIND_IMAGE"
"""variable: the image of the node, when it is not to be the one of kind's release, from Docker Hub"""
_NAME: Final = "aigw-tests"
_OUTPUT: Final = (1, 2)
_REACH_LIMIT: Final = 30.0
"""seconds until kube-proxy must have a new Service's port open"""


class Kind:
    """A `Cluster`."""

    gateway_service: ServiceType = "NodePort"
    inside: Sequence[str] = ()

    def __init__(self, cluster: "KindCluster") -> None:
        self._cluster = cluster
        self.kubeconfig = Path(cluster.kubeconfig_path)
        self.kubectl = Kubectl(Path(cluster.kubectl_path), self.kubeconfig)

    def command(self, command: Sequence[str]) -> list[str]:
        return [*command]

    def load(self, archives: Iterable[Path]) -> None:
        for archive in archives:
            command = [
                str(self._cluster.kind_path),
                "load",
                "image-archive",
                "--name",
                self._cluster.name,
                str(archive),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"kind does not load {archive.name}: {done.stderr.strip()}")

    @contextlib.contextmanager
    def reach(self, namespace: str, service: str, port: int) -> Iterator[str]:
        """Raises TimeoutError."""
        ports = self.kubectl.get("service", service, namespace)["spec"]["ports"]
        (opened,) = (each["nodePort"] for each in ports if each["port"] == port)
        (node,) = self.kubectl.list("nodes", "")
        address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
        _wait_for(address, opened)
        yield f"{address}:{opened}"


@contextlib.contextmanager
def running(kind: Path, kubectl: Path, folder: Path) -> Iterator[Kind]:
    """One that ends with the block; one that a run has left behind ends before. `folder` is for its files.

    `kind` and `kubectl` are the programs. Raises NotAvailable.
    """
    why = why_not()
    if why:
        raise NotAvailable(why)
    from pytest_kind import KindCluster  # a package for development: images do not have it

    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):  # it puts files where it is started
        cluster = KindCluster(
            _NAME, folder / "kubeconfig", os.environ.get(IMAGE) or None, kind_path=kind, kubectl_path=kubectl
        )
    with _heard() as said:
        try:
            cluster.delete()
            said.seek(0)
            said.truncate()  # that there was none is no reason
            cluster.create()
        except (subprocess.CalledProcessError, OSError) as exc:
            said.seek(0)
            words = said.read().decode(errors="replace").strip() or exc
            raise NotAvailable(f"kind does not start a cluster: {words}") from exc
        except BaseException:
            cluster.delete()
            raise
    try:
        yield Kind(cluster)
    finally:
        cluster.delete()


@contextlib.contextmanager
def _heard() -> Iterator[IO[bytes]]:
    """What programs say that start in the block: pytest-kind does not keep it, and pytest shows it for no exit."""
    with tempfile.TemporaryFile() as said, contextlib.ExitStack() as stack:
        for number in _OUTPUT:
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(said.fileno(), number)
        yield said


def _wait_for(address: str, port: int) -> None:
    deadline = time.monotonic() + _REACH_LIMIT
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError as exc:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"kind's node does not answer at {address}:{port} ({exc}): it must be reachable from this host,"
                    " as it is with Docker Engine on Linux, and is not with Docker Desktop or a Docker without root"
                ) from exc
            time.sleep(0.2)
        else:
            return


def why_not() -> str:
    """Empty when a cluster can be had here."""
    docker = shutil.which("docker")
    if docker is None:
        return "kind needs Docker, which is not installed"
    done = subprocess.run(
        [docker, "info"], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return f"kind needs Docker, which does not answer: {said[-1] if said else 'docker info failed'}"
    return ""
