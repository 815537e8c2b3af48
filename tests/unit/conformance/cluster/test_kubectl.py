"""kubectl as the tests use it, with a program in its place that tells what it was asked."""

from pathlib import Path

import pytest

from conformance.cluster.cluster import Kubectl, KubectlFailed


def kubectl(folder: Path, script: str) -> Kubectl:
    program = folder / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Kubectl(program, Path("/the/kubeconfig"))


def test_every_call_names_the_kubeconfig(tmp_path: Path) -> None:
    assert kubectl(tmp_path, 'echo "$@"')("get", "pods") == "--kubeconfig /the/kubeconfig get pods\n"


def test_a_failure_says_what_was_asked_and_what_the_answer_was(tmp_path: Path) -> None:
    with pytest.raises(KubectlFailed, match=r"^kubectl get pods: no such thing$"):
        kubectl(tmp_path, "echo no such thing >&2; exit 1")("get", "pods")


def test_objects_go_in_by_standard_input(tmp_path: Path) -> None:
    target = tmp_path / "given"
    kubectl(tmp_path, f'cat > {target}; echo "$@" >> {target}').apply({"kind": "A"}, {"kind": "B"})
    given = target.read_text()
    assert given.startswith("kind: A\n---\nkind: B\n")
    assert given.endswith("apply --server-side --force-conflicts -f -\n")


def test_objects_come_as_they_are(tmp_path: Path) -> None:
    assert kubectl(tmp_path, """echo '{"kind":"Pod"}'""").get("pod", "a", "ns") == {"kind": "Pod"}
    assert kubectl(tmp_path, """echo '{"items":[{"kind":"Pod"}]}'""").list("pods", "ns") == [{"kind": "Pod"}]
