"""Which cluster a machine can have, and why not the others."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.cluster import choice, kind
from conformance.cluster.cluster import NotAvailable

Docker = Callable[[str], None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Puts a `docker` that runs a script on a PATH that has little else."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv(choice.VARIABLE, raising=False)

    def put(script: str) -> None:
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return put


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    return lambda is_root: monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else 1000)


def test_root_gets_the_lab(docker: Docker, root: Callable[[bool], None]) -> None:
    root(True)
    docker("exit 0")
    assert choice.chosen() == "lab"


def test_without_root_docker_gives_kind(docker: Docker, root: Callable[[bool], None]) -> None:
    root(False)
    docker("exit 0")
    assert choice.chosen() == "kind"


def test_without_either_both_reasons_are_given(docker: Docker, root: Callable[[bool], None]) -> None:
    root(False)
    docker("echo daemon is away >&2; exit 1")
    with pytest.raises(
        NotAvailable, match="the lab needs root; kind needs Docker, which does not answer: daemon is away"
    ):
        choice.chosen()


def test_a_named_cluster_is_taken_or_refused_but_never_replaced(
    docker: Docker, root: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    root(True)
    docker("exit 1")
    monkeypatch.setenv(choice.VARIABLE, "kind")
    with pytest.raises(NotAvailable, match=r"^kind needs Docker"):
        choice.chosen()
    monkeypatch.setenv(choice.VARIABLE, "minikube")
    with pytest.raises(NotAvailable, match="AIGW_CLUSTER=minikube: there are lab and kind"):
        choice.chosen()


def test_a_machine_without_docker_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kind.why_not() == "kind needs Docker, which is not installed"
