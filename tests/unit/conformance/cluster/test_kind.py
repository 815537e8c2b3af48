"""kind without Docker: what its program is asked, by a program in its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.cluster import kind
from conformance.cluster.cluster import NotAvailable

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: a, user: {}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
"""
Start = Callable[[str], tuple[Path, Path]]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A `kind` that writes down what it was asked, and then runs a script; and a `docker` that is well."""
    monkeypatch.setattr(kind, "why_not", str)
    asked = tmp_path / "asked"

    def make(script: str) -> tuple[Path, Path]:
        program = tmp_path / "kind-program"
        program.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n{script}\n')
        program.chmod(0o755)
        (tmp_path / "kind").mkdir()
        (tmp_path / "kind" / "kubeconfig").write_text(KUBECONFIG)
        return program, asked

    return make


def test_a_cluster_is_made_gets_images_and_goes(programs: Start, tmp_path: Path) -> None:
    program, asked = programs("")
    folder = tmp_path / "kind"
    with kind.running(program, Path("/bin/true"), folder) as cluster:
        assert cluster.kubeconfig == folder / "kubeconfig"
        assert cluster.gateway_service == "ClusterIP"
        cluster.load([Path("/an/archive.tar")])
    assert asked.read_text().splitlines() == [
        "get clusters",
        f"create cluster --name=aigw-tests --kubeconfig={folder}/kubeconfig",
        "load image-archive --name aigw-tests /an/archive.tar",
        f"delete cluster --name=aigw-tests --kubeconfig={folder}/kubeconfig",
    ]


def test_a_cluster_that_cannot_be_made_is_not_available(programs: Start, tmp_path: Path) -> None:
    program, _ = programs('[ "$1" = get ]')
    opened = kind.running(program, Path("/bin/true"), tmp_path / "kind")
    with pytest.raises(NotAvailable, match="kind does not start a cluster"):
        opened.__enter__()


def test_an_image_that_is_refused_fails_by_name(programs: Start, tmp_path: Path) -> None:
    program, _ = programs('[ "$1" != load ] || { echo no room >&2; exit 1; }')
    with (
        kind.running(program, Path("/bin/true"), tmp_path / "kind") as cluster,
        pytest.raises(RuntimeError, match=r"archive\.tar: no room"),
    ):
        cluster.load([Path("/an/archive.tar")])
