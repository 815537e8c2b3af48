"""kind without Docker: what its program is asked, by a program in its place."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.cluster import kind
from conformance.cluster.cluster import NotAvailable
from filters.contract import jsonlib

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
        assert cluster.gateway_service == "NodePort"
        cluster.load([Path("/an/archive.tar")])
    gone = f"delete cluster --name=aigw-tests --kubeconfig={folder}/kubeconfig"
    assert asked.read_text().splitlines() == [
        gone,  # what an earlier run may have left behind
        "get clusters",
        f"create cluster --name=aigw-tests --kubeconfig={folder}/kubeconfig",
        "load image-archive --name aigw-tests /an/archive.tar",
        gone,
    ]


def test_the_image_of_the_node_can_be_named(programs: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, asked = programs("")
    monkeypatch.setenv(kind.IMAGE, "registry.example/node:v1")
    with kind.running(program, Path("/bin/true"), tmp_path / "kind"):
        assert "--image=registry.example/node:v1" in asked.read_text()


def test_a_cluster_that_cannot_be_made_says_why(
    programs: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program, _ = programs('[ "$1" = get ] || echo about to $1; [ "$1" != create ] || { echo no image >&2; exit 1; }')
    opened = kind.running(program, Path("/bin/true"), tmp_path / "kind")
    with pytest.raises(NotAvailable, match=r"^kind does not start a cluster: about to create\nno image$"):
        opened.__enter__()
    print("standard output is as it was")
    assert capfd.readouterr() == ("standard output is as it was\n", "")


def test_a_cluster_of_which_nothing_is_known_but_that_it_failed_says_that(programs: Start, tmp_path: Path) -> None:
    program, _ = programs('[ "$1" != create ]')
    opened = kind.running(program, Path("/bin/true"), tmp_path / "kind")
    with pytest.raises(
        NotAvailable, match=r"kind does not start a cluster: Command .* returned non-zero exit status 1"
    ):
        opened.__enter__()


def test_an_image_that_is_refused_fails_by_name(programs: Start, tmp_path: Path) -> None:
    program, _ = programs('[ "$1" != load ] || { echo no room >&2; exit 1; }')
    with (
        kind.running(program, Path("/bin/true"), tmp_path / "kind") as cluster,
        pytest.raises(RuntimeError, match=r"archive\.tar: no room"),
    ):
        cluster.load([Path("/an/archive.tar")])


def test_a_service_is_reached_at_the_port_of_the_node(programs: Start, tmp_path: Path) -> None:
    program, _ = programs("")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened = listener.getsockname()[1]
        kubectl = cluster_of(tmp_path, address="127.0.0.1", ports={443: 1, 80: opened})
        with (
            kind.running(program, kubectl, tmp_path / "kind") as cluster,
            cluster.reach("there", "recorded", 80) as address,
        ):
            assert address == f"127.0.0.1:{opened}"


def test_a_node_that_does_not_answer_is_named(programs: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, _ = programs("")
    monkeypatch.setattr(kind, "_REACH_LIMIT", 0.0)
    kubectl = cluster_of(tmp_path, address="127.0.0.1", ports={80: 1})
    with (
        kind.running(program, kubectl, tmp_path / "kind") as cluster,
        pytest.raises(TimeoutError, match=r"kind's node does not answer at 127\.0\.0\.1:1 .* reachable from this host"),
    ):
        cluster.reach("there", "recorded", 80).__enter__()


def cluster_of(folder: Path, *, address: str, ports: dict[int, int]) -> Path:
    """A kubectl that knows one Service and one node. `ports`: of the Service → of the node."""
    service = {"spec": {"ports": [{"port": port, "nodePort": opened} for port, opened in ports.items()]}}
    names = [{"type": "Hostname", "address": "a"}, {"type": "InternalIP", "address": address}]
    nodes = {"items": [{"status": {"addresses": names}}]}
    for name, content in (("service", service), ("nodes", nodes)):
        (folder / f"{name}.json").write_bytes(jsonlib.encode(content))
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\nfor word; do [ ! -f {folder}/$word.json ] || exec cat {folder}/$word.json; done\n")
    program.chmod(0o755)
    return program
