"""What the fault tests do to a cluster, each with its end: what was taken away comes back with the block."""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tests.e2e import scene
from tests.e2e.scene import Scene

WEBHOOK: Final = f"envoy-ai-gateway-gateway-pod-mutator.{scene.CONTROLLER}"
_BOOKKEEPING: Final = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
_KILL: Final = """
import os, pathlib, signal, sys
killed = 0
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (process / "cmdline").read_bytes().split(b"\\0")
    except OSError:
        continue
    if b"filters.main" in words:
        os.kill(int(process.name), signal.SIGKILL)
        killed += 1
sys.exit(0 if killed else 1)
"""


@dataclass
class Traffic:
    """Answers to a client that asks without pause."""

    answers: list[httpx.Response] = field(default_factory=list)
    broken: list[httpx.HTTPError] = field(default_factory=list)
    """requests without an answer"""

    @property
    def served(self) -> int:
        return sum(answer.status_code == httpx.codes.OK for answer in self.answers)

    @property
    def refused(self) -> list[httpx.Response]:
        return [answer for answer in self.answers if answer.status_code != httpx.codes.OK]


@contextlib.contextmanager
def traffic(ai: Scene) -> Iterator[Traffic]:
    """One request after the other while the block runs."""
    seen, ended = Traffic(), threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                seen.answers.append(ai.post())
            except httpx.HTTPError as exc:
                seen.broken.append(exc)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def kill_filters(ai: Scene) -> None:
    """SIGKILL for every filter process of the node. Only the node's own pids reach a container's first process."""
    name = f"killer-{secrets.token_hex(4)}"
    killer = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": scene.NAMESPACE},
        "spec": {
            "hostPID": True,
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "killer",
                    "image": ai.images["upstream_image"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3.11", "-c", _KILL],
                    "securityContext": {"runAsUser": 0, "privileged": True},
                }
            ],
        },
    }
    ai.cluster.kubectl.apply(killer)
    try:
        ai.cluster.kubectl.wait("jsonpath={.status.phase}=Succeeded", f"pod/{name}", scene.NAMESPACE)
    finally:
        ai.cluster.kubectl.delete(killer)


@contextlib.contextmanager
def without_webhook(ai: Scene) -> Iterator[None]:
    kubectl = ai.cluster.kubectl
    (taken,) = (
        each
        for each in kubectl.list("mutatingwebhookconfigurations", scene.NAMESPACE)
        if each["metadata"]["name"] == WEBHOOK
    )
    kubectl("delete", "mutatingwebhookconfiguration", WEBHOOK)
    try:
        yield
    finally:
        for name in _BOOKKEEPING:
            taken["metadata"].pop(name, None)
        kubectl.apply(taken)


@contextlib.contextmanager
def without_controller(ai: Scene) -> Iterator[None]:
    """No replica runs in the block."""
    kubectl, name = ai.cluster.kubectl, "deployment/ai-gateway-controller"
    replicas = kubectl.get("deployment", "ai-gateway-controller", scene.CONTROLLER)["spec"]["replicas"]
    kubectl("-n", scene.CONTROLLER, "scale", name, "--replicas=0")
    try:
        scene.until(lambda: not kubectl.list("pods", scene.CONTROLLER), "no controller runs")
        yield
    finally:
        kubectl("-n", scene.CONTROLLER, "scale", name, f"--replicas={replicas}")
        kubectl.wait("condition=Available", name, scene.CONTROLLER)


def replace_pods(ai: Scene) -> None:
    """Takes the Gateway's Envoy pods away; their Deployment makes new ones, if it can."""
    names = [pod["metadata"]["name"] for pod in ai.pods()]
    ai.cluster.kubectl("-n", scene.PROXIES, "delete", "pods", *names, "--wait=false")
    scene.until(lambda: not {pod["metadata"]["name"] for pod in ai.pods()} & set(names), "the old pods are gone")


def restarts(ai: Scene) -> int:
    """Of all filters."""
    return sum(state["restartCount"] for pod in ai.pods() for state in filter_states(pod))


def filter_states(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod["status"]
    listed = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return [state for state in listed if state["name"] == scene.FILTER]
