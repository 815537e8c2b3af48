"""What the controller and Envoy Gateway say about our objects and about what was generated from them."""

from collections.abc import Iterable, Iterator
from typing import Final

from aigw.commands.checks.base import Finding
from aigw.commands.cluster import gateways
from aigw.commands.cluster.state import Cluster, Document, conditions, key, status_of, title
from aigw.commands.report import Severity, counted
from extension_server.controller.status import NOTE

KINDS: Final = (
    "AIGatewayRoute",
    "AIServiceBackend",
    "BackendSecurityPolicy",
    "GatewayConfig",
    "MCPRoute",
    "QuotaPolicy",
)
_GRANT: Final = (
    "create a ReferenceGrant in the namespace of what is referred to, from {kind} in namespace {namespace} "
    "(https://gateway-api.sigs.k8s.io/api-types/referencegrant)"
)
_DESCRIBE: Final = "do what the message says; then kubectl -n {namespace} describe {lower} {name}"
_FIXES: Final = {
    "RefNotPermitted": _GRANT,
    "NoFilter": "see the findings about Gateways and their pods; a filter connects within seconds when it is ready",
    "Pending": "wait some seconds; then see whether filters reach the controller: kubectl logs of their container",
}
"""reason of a condition → what to do"""
_MEANINGS: Final = {
    "Accepted": "the object, or a part of it, is not served",
    "ResolvedRefs": "rules that need what is referred to answer 500 or 503",
    "Programmed": "requests may still be served by an earlier state, or answer 503",
}
_SEVERITIES: Final[dict[tuple[str, str], Severity]] = {
    ("Programmed", "Unknown"): "warning",
    ("Programmed", "Pending"): "warning",
}
"""(condition, its status or reason) → when it is not an error"""
_UNSERVED: Final = "NotSupported"
_ROUTE: Final = "AIGatewayRoute"


def check(cluster: Cluster) -> Iterable[Finding]:
    """Conditions of our objects."""
    count = 0
    problems: list[Finding] = []
    for document in (each for kind in KINDS for each in cluster.all(kind)):
        count += 1
        problems += _object(cluster, document)
    yield from problems
    if not count:
        yield Finding(severity="note", title="there is no object of ours")
    elif not problems:
        # Where a Gateway has a finding, nothing can be said of all that is attached to it.
        mediated = not any(_said(each, "Programmed") == gateways.NOT_MEDIATED for each in cluster.all(_ROUTE))
        how = "everything in them is served" if mediated else "nothing is wrong with them; see their Gateways (above)"
        yield Finding(severity="ok", title=f"{counted(count, 'object')} of ours: {how}")


def generated(cluster: Cluster) -> Iterable[Finding]:
    """HTTPRoutes that we generated, as Envoy Gateway sees them."""
    if not cluster.readable("HTTPRoute"):
        return
    ours = generated_for(cluster)
    problems = [problem for routes in ours.values() for route in routes for problem in _generated(route)]
    for document in cluster.all("AIGatewayRoute"):
        if key(document) not in ours and _accepted(document):
            namespace, name = key(document)
            problems.append(
                Finding(
                    severity="error",
                    title=f"no HTTPRoute was generated for {title(document)}",
                    meaning="its requests answer 404",
                    fix=f"does HTTPRoute {name} exist, of somebody else? kubectl -n {namespace} get httproutes",
                )
            )
    yield from problems
    if ours and not problems:
        count = sum(len(routes) for routes in ours.values())
        yield Finding(severity="ok", title=f"{counted(count, 'generated HTTPRoute')} accepted by Envoy Gateway")


def generated_for(cluster: Cluster) -> dict[tuple[str, str], list[Document]]:
    """(namespace, name) of each AIGatewayRoute with HTTPRoutes → these."""
    found: dict[tuple[str, str], list[Document]] = {}
    for route in cluster.all("HTTPRoute"):
        for owner in route["metadata"].get("ownerReferences") or ():
            if owner.get("kind") == _ROUTE:
                found.setdefault((key(route)[0], owner["name"]), []).append(route)
    return found


def _said(document: Document, kind: str) -> str:
    """The reason of a condition; empty: there is none."""
    return str(conditions(status_of(document)).get(kind, {}).get("reason", ""))


def _accepted(document: Document) -> bool:
    return conditions(status_of(document)).get("Accepted", {}).get("status") == "True"


def _object(cluster: Cluster, document: Document) -> Iterator[Finding]:
    found = conditions(status_of(document))
    namespace, name = key(document)
    logs = f"kubectl -n {cluster.settings.namespace} logs deployment/{cluster.settings.controller}"
    if not found:
        yield Finding(
            severity="error",
            title=f"{title(document)} has no status",
            meaning="our controller has not looked at it",
            fix=f"does the controller run, and watch namespace {namespace} (--watchNamespaces)? {logs}",
        )
        return
    if any(each.get("observedGeneration", 0) < document["metadata"].get("generation", 0) for each in found.values()):
        meaning = "the findings about it may be of its earlier state"
        text = f"{title(document)} has changed since the controller last said something about it"
        yield Finding(severity="warning", title=text, meaning=meaning, fix=f"wait some seconds; then {logs}")
    for kind, meaning in _MEANINGS.items():
        condition = found.get(kind)
        if condition is None or condition["status"] == "True":
            continue
        reason = condition.get("reason", "")
        if kind == "Accepted" and "ResolvedRefs" in found and found["ResolvedRefs"].get("reason") == reason:
            continue  # said once, by the condition that knows more
        severity = _SEVERITIES.get((kind, condition["status"])) or _SEVERITIES.get((kind, reason)) or "error"
        if reason == gateways.NOT_MEDIATED and gateways.judged(cluster):
            continue  # said of the Gateway
        if reason == _UNSERVED and document["kind"] != _ROUTE:
            severity = "warning"  # where requests meet it, a route says so
        fix = _FIXES.get(reason, _DESCRIBE)
        yield Finding(
            severity=severity,
            title=f"{title(document)} is not {_SAID[kind]} ({reason}): {condition.get('message', '')}",
            meaning=meaning,
            fix=fix.format(kind=document["kind"], lower=document["kind"].lower(), namespace=namespace, name=name),
        )
    yield from _notes(document, found.get("Accepted", {}))


def _notes(document: Document, accepted: Document) -> Iterator[Finding]:
    """What the condition of an accepted object says besides."""
    note = str(accepted.get("message", "")).partition(NOTE)[2]
    if accepted.get("status") == "True" and note:
        yield Finding(
            severity="warning",
            title=f"{title(document)} is accepted, with a note: {note}",
            meaning="it is served, apart from what the note says",
            fix="do what the note says",
        )


_SAID: Final = {"Accepted": "accepted", "ResolvedRefs": "complete", "Programmed": "programmed"}


def _generated(route: Document) -> Iterator[Finding]:
    namespace, name = key(route)
    fix = f"kubectl -n {namespace} describe httproute {name}; Envoy Gateway's log says more"
    parents = status_of(route).get("parents") or ()
    if not parents:
        text = f"{title(route)} (generated) has no status"
        meaning = "Envoy Gateway has not looked at it: its requests answer 404"
        yield Finding(severity="error", title=text, meaning=meaning, fix=fix)
    for parent in parents:
        at = (parent.get("parentRef") or {}).get("name", "?")
        for kind in ("Accepted", "ResolvedRefs"):
            condition = conditions(parent).get(kind, {})
            if condition.get("status") == "False":
                reason, message = condition.get("reason", ""), condition.get("message", "")
                text = f"{title(route)} (generated), at Gateway {at}: not {_SAID[kind]} ({reason}): {message}"
                yield Finding(severity="error", title=text, meaning="its requests answer 404 or 500", fix=fix)
