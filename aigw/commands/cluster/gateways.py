"""Per Gateway of ours: does Envoy Gateway accept it, do its pods run, and is our filter in each of them, ready?"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from aigw.commands.checks.base import Finding
from aigw.commands.cluster import merging, workloads
from aigw.commands.cluster.state import (
    ENVOY,
    OWNING_NAME,
    OWNING_NAMESPACE,
    SIDECAR,
    Cluster,
    Document,
    conditions,
    container_status,
    containers,
    controller_flag,
    key,
    status_of,
    title,
)
from extension_server.api.aigateway import GATEWAY_CONFIG_ANNOTATION

_ROUTES: Final = ("AIGatewayRoute", "MCPRoute")
NOT_MEDIATED: Final = "NotMediated"
"""reason of `Programmed`: Envoy does not have our patches. Filters know whom no Envoy asks, and tell the controller."""
_NOT_SERVED: Final = "AI routes answer 503 filter_missing there"


def check(cluster: Cluster) -> Iterable[Finding]:
    """Gateways that a route of ours names."""
    if not judged(cluster):
        return
    wanted = named(cluster)
    for (namespace, name), route in wanted.items():
        gateway = cluster.get("Gateway", namespace, name)
        if gateway is None:
            yield Finding(
                severity="error",
                title=f"Gateway {namespace}/{name}, which {route} names, does not exist",
                meaning="the route is served nowhere",
                fix="create it, or correct spec.parentRefs of the route",
            )
            continue
        shared = tuple(merging.check(cluster, gateway))
        pods_of = (*_pods(cluster, gateway), *_not_mediated(cluster, gateway))
        problems = [*_class(cluster, gateway), *_gateway(gateway), *(shared or pods_of)]
        yield from problems
        if all(each.severity == "note" for each in problems):
            count = len(pods(cluster, gateway))
            what = "Envoy pod has" if count == 1 else "Envoy pods have"
            yield Finding(severity="ok", title=f"{title(gateway)}: programmed; {count} {what} a ready filter")
    if not wanted:
        yield Finding(severity="note", title="no route of ours names a Gateway")


def named(cluster: Cluster) -> dict[tuple[str, str], str]:
    """(namespace, name) of each Gateway → the first route that names it."""
    found: dict[tuple[str, str], str] = {}
    for kind in _ROUTES:
        for route in cluster.all(kind):
            for parent in (route.get("spec") or {}).get("parentRefs") or ():
                if parent.get("kind", "Gateway") == "Gateway":
                    at = (parent.get("namespace") or route["metadata"]["namespace"], parent.get("name", ""))
                    found.setdefault(at, title(route))
    return dict(sorted(found.items()))


def pods(cluster: Cluster, gateway: Document) -> list[Document]:
    """Those that Envoy Gateway runs for it, without those that are going."""
    namespace, name = key(gateway)
    wanted = {OWNING_NAME: name, OWNING_NAMESPACE: namespace}
    return [
        pod
        for pod in cluster.all("Pod")
        if wanted.items() <= (pod["metadata"].get("labels") or {}).items()
        and not pod["metadata"].get("deletionTimestamp")
        and status_of(pod).get("phase") not in ("Succeeded", "Failed")
    ]


def _class(cluster: Cluster, gateway: Document) -> Iterator[Finding]:
    name = gateway["spec"]["gatewayClassName"]
    found = cluster.get("GatewayClass", "", name)
    meaning = f"nobody serves {title(gateway)}"
    if found is None:
        fix = "create it, or correct spec.gatewayClassName"
        yield Finding(severity="error", title=f"GatewayClass {name} does not exist", meaning=meaning, fix=fix)
        return
    controller = found["spec"]["controllerName"]
    if controller != cluster.settings.controller_name:
        text = f"GatewayClass {name} is of {controller}, not of {cluster.settings.controller_name}"
        fix = "name a GatewayClass of Envoy Gateway in spec.gatewayClassName"
        yield Finding(severity="error", title=text, meaning=meaning, fix=fix)
        return
    accepted = conditions(status_of(found)).get("Accepted", {})
    if accepted.get("status") != "True":
        text = f"GatewayClass {name} is not accepted: {accepted.get('message') or 'Envoy Gateway has not looked at it'}"
        fix = f"kubectl describe gatewayclass {name}"
        yield Finding(severity="error", title=text, meaning=meaning, fix=fix)


def _gateway(gateway: Document) -> Iterator[Finding]:
    namespace, name = key(gateway)
    found = conditions(status_of(gateway))
    fix = f"kubectl -n {namespace} describe gateway {name}"
    for kind, meaning in (
        ("Accepted", "Envoy Gateway does not serve it"),
        ("Programmed", "clients may not reach it"),
    ):
        condition = found.get(kind, {})
        if condition.get("status") == "True":
            continue
        # A Service without an address is normal where there is no load balancer; its pods may serve all the same.
        severity = "warning" if condition.get("reason") == "AddressNotAssigned" else "error"
        why = condition.get("message") or "Envoy Gateway has not looked at it"
        text = f"{title(gateway)} is not {kind.lower()}: {why}"
        yield Finding(severity=severity, title=text, meaning=meaning, fix=fix)  # type: ignore[arg-type]  # a literal
    for listener in status_of(gateway).get("listeners") or ():
        condition = conditions(listener).get("Programmed", {})
        if condition.get("status") == "False":
            text = f"{title(gateway)}, listener {listener.get('name')}: {condition.get('message', '')}"
            yield Finding(severity="error", title=text, meaning="the listener serves nothing", fix=fix)


def _pods(cluster: Cluster, gateway: Document) -> Iterator[Finding]:
    found = pods(cluster, gateway)
    if not found:
        at = cluster.settings.envoy_gateway_namespace
        yield Finding(
            severity="error",
            title=f"{title(gateway)} has no Envoy pod",
            meaning="clients cannot connect",
            fix=f"look for events: kubectl -n {at} describe deployments -l {OWNING_NAME}={key(gateway)[1]}",
        )
    image = _image(cluster, gateway)
    for pod in found:
        yield from _pod(pod, image)


def judged(cluster: Cluster) -> bool:
    """Whether `check` could look."""
    return cluster.readable("Gateway", "GatewayClass", "Pod")


def _not_mediated(cluster: Cluster, gateway: Document) -> Iterator[Finding]:
    """What the controller says of each route, once."""
    named = re.compile(rf"{re.escape(title(gateway))}(?=[ ,])")
    for route in cluster.all("AIGatewayRoute"):
        programmed = conditions(status_of(route)).get("Programmed", {})
        said = str(programmed.get("message", "")).partition(":")[0]
        if programmed.get("reason") == NOT_MEDIATED and named.search(said):
            yield Finding(
                severity="error",
                title=said,
                meaning="Envoy has configuration without our filter",
                fix="see what is said about Envoy Gateway's configuration (above); if that is right, restart Envoy "
                "Gateway, which has not read it yet",
            )
            return


def _image(cluster: Cluster, gateway: Document) -> str:
    """That the sidecar should run: of the GatewayConfig, else of the controller's flag; empty: not known."""
    name = (gateway["metadata"].get("annotations") or {}).get(GATEWAY_CONFIG_ANNOTATION, "")
    config = cluster.get("GatewayConfig", key(gateway)[0], name) if name else None
    kubernetes = (((config or {}).get("spec") or {}).get("extProc") or {}).get("kubernetes") or {}
    image = kubernetes.get("image") or ""
    if image or not kubernetes.get("imageRepository"):
        return image or controller_flag(cluster, "extProcImage")
    tag = controller_flag(cluster, "extProcImage").rpartition(":")[2]
    return f"{kubernetes['imageRepository']}:{tag}"


def _pod(pod: Document, image: str) -> Iterator[Finding]:
    namespace, name = key(pod)
    again = f"kubectl -n {namespace} delete pod {name}"
    logs = f"kubectl -n {namespace} logs {name} -c {SIDECAR}"
    sidecar = next((each for each in containers(pod) if each.get("name") == SIDECAR), None)
    if sidecar is None:
        yield Finding(
            severity="error",
            title=f"Pod {namespace}/{name} runs without the filter (container {SIDECAR})",
            meaning=f"{_NOT_SERVED}; it was made while the webhook was not registered",
            fix=f"when the webhook is in order (above): {again}",
        )
        return
    if image and sidecar.get("image") != image:
        yield Finding(
            severity="warning",
            title=f"Pod {namespace}/{name} runs filter {sidecar.get('image')}, not {image}",
            meaning="a filter of another version may not take new configurations; it serves on with its last one",
            fix=f"the controller replaces it; if it does not: {again}",
        )
    status = container_status(pod, SIDECAR)
    why, end = workloads.trouble(status), workloads.ended(status)
    before = f"; it ended before ({end})" if end else ""
    if why:
        fix = f"{logs}{' --previous' if end else ''}; kubectl -n {namespace} describe pod {name}"
        text = f"Pod {namespace}/{name}: the filter does not run: {why}{before}"
        yield Finding(severity="error", title=text, meaning=_NOT_SERVED, fix=fix)
    elif not status.get("ready"):
        yield Finding(
            severity="error",
            title=f"Pod {namespace}/{name}: the filter runs and is not ready{before}",
            meaning="it has no configuration yet: requests there answer 503, and the Service sends none",
            fix=f"does it reach the controller, and with which answer? {logs}",
        )
    elif end:
        text = f"Pod {namespace}/{name}: the filter was started {status.get('restartCount', 0)} times again ({end})"
        yield Finding(severity="warning", title=text, meaning="requests in flight failed", fix=f"{logs} --previous")
    envoy = container_status(pod, ENVOY)
    if envoy and not envoy.get("ready"):
        why = workloads.trouble(envoy) or "it runs and is not ready"
        fix = f"kubectl -n {namespace} logs {name} -c {ENVOY}"
        text = f"Pod {namespace}/{name}: Envoy: {why}"
        yield Finding(severity="error", title=text, meaning="clients cannot connect", fix=fix)
