"""Deployments and containers: is it there, is it ready, and what does the kubelet say?"""

from collections.abc import Iterator

from aigw.commands.checks.base import Finding
from aigw.commands.cluster.state import Cluster, Document, conditions, status_of


def deployment(cluster: Cluster, namespace: str, name: str, what: str, meaning: str) -> Iterator[Finding]:
    """`what` it is and what its absence means, in words."""
    if not cluster.readable("Deployment"):
        return
    found = cluster.get("Deployment", namespace, name)
    if found is None:
        yield Finding(
            severity="error",
            title=f"Deployment {namespace}/{name} does not exist",
            meaning=f"{what} is not installed there: {meaning}",
            fix="install its chart, or name its namespace (see aigw doctor --help)",
        )
        return
    status = status_of(found)
    wanted = (found.get("spec") or {}).get("replicas", 1)
    ready = status.get("readyReplicas") or 0
    if wanted == 0:
        fix = f"kubectl -n {namespace} scale deployment/{name} --replicas=1"
        yield Finding(severity="error", title=f"{what} is scaled to 0", meaning=meaning, fix=fix)
    elif ready == 0:
        why = conditions(status).get("Available", {}).get("message", "")
        title = f"{what}: none of {wanted} replicas is ready{f' ({why})' if why else ''}"
        fix = f"kubectl -n {namespace} describe deployment/{name}; kubectl -n {namespace} logs deployment/{name}"
        yield Finding(severity="error", title=title, meaning=meaning, fix=fix)
    elif ready < wanted:
        fix = f"kubectl -n {namespace} get pods; kubectl -n {namespace} logs deployment/{name}"
        meaning = "the others do its work"
        yield Finding(
            severity="warning", title=f"{what}: {ready} of {wanted} replicas are ready", meaning=meaning, fix=fix
        )
    else:
        yield Finding(severity="ok", title=f"{what}: {ready} of {wanted} replicas ready")


def trouble(status: Document) -> str:
    """Why a container does not run, in the kubelet's words; empty when it runs."""
    state = status.get("state") or {}
    for kind in ("waiting", "terminated"):
        if kind in state:
            said = state[kind] or {}
            return ": ".join(filter(None, (said.get("reason", kind), said.get("message", ""))))
    return "" if "running" in state else "not started yet"


def ended(status: Document) -> str:
    """How its last life ended; empty when it has had only one."""
    last = (status.get("lastState") or {}).get("terminated")
    if not last:
        return ""
    return f"{last.get('reason', 'ended')}, exit code {last.get('exitCode', '?')}"
