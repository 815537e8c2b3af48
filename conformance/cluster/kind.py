"""kind, by pytest-kind: needs Docker, and the network for the node's image. No test of this project depends on it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from conformance.cluster.cluster import Kubectl, NotAvailable, ServiceType

if TYPE_CHECKING:
    from pytest_kind import KindCluster

_NAME: Final = "aigw-tests"


class Kind:
    """A `Cluster`."""

    gateway_service: ServiceType = "ClusterIP"
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
        with self._cluster.port_forward(f"service/{service}", port, "--namespace", namespace) as local:
            yield f"127.0.0.1:{local}"


@contextlib.contextmanager
def running(kind: Path, kubectl: Path, folder: Path, *, keep: bool = False) -> Iterator[Kind]:
    """One that ends with the block, unless it is to be kept for the next run. `folder` is for its files.

    `kind` and `kubectl` are the programs. Raises NotAvailable.
    """
    why = why_not()
    if why:
        raise NotAvailable(why)
    from pytest_kind import KindCluster  # a package for development: images do not have it

    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):  # it puts files where it is started
        cluster = KindCluster(_NAME, folder / "kubeconfig", kind_path=kind, kubectl_path=kubectl)
    try:
        cluster.create()
    except (subprocess.CalledProcessError, OSError) as exc:
        raise NotAvailable(f"kind does not start a cluster: {exc}") from exc
    try:
        yield Kind(cluster)
    finally:
        if not keep:
            cluster.delete()


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
