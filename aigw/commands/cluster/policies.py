"""Envoy Gateway's policies for what AI requests pass: the status of one that it does not accept is all that says why
they answer 500, or why the policy does nothing. Our objects say nothing of it: the policy is its user's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aigw.commands.checks.base import Finding
from aigw.commands.cluster import gateways, routes
from aigw.commands.cluster.state import Cluster, Document, conditions, key, status_of, title
from extension_server.api import base
from extension_server.api.gateway import LabelSelector
from extension_server.compile import selectors

KINDS: Final = (
    "BackendTrafficPolicy",
    "SecurityPolicy",
    "ClientTrafficPolicy",
    "EnvoyExtensionPolicy",
    "BackendTLSPolicy",
)
_DESCRIBE: Final = "do what the message says; then kubectl -n {namespace} describe {lower} {name}"


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a reason of `Accepted` False means for requests."""

    meaning: str
    fix: str = _DESCRIBE


_REFUSED: Final = _Effect("requests for it answer 500 proxy_error")
_EFFECTS: Final[Mapping[str, _Effect]] = {
    "Conflicted": _Effect(
        "it is not applied, another policy for the same is", "make one policy of both, or give it another target"
    ),
    "TargetNotFound": _Effect(
        "it is not applied: requests pass as if it were not there",
        "correct sectionName in its targetRefs: the name of a listener, or of a rule",
    ),
}
"""all other reasons close what the policy is for"""


def check(cluster: Cluster) -> Iterable[Finding]:
    """Those for Gateways with AI routes, for HTTPRoutes generated for these, and for their backends."""
    ours = _ours(cluster)
    found = [(policy, targets) for kind in KINDS for policy in cluster.all(kind) if (targets := _targets(policy, ours))]
    problems = [problem for policy, targets in found for problem in _problems(cluster, policy, targets)]
    yield from problems
    if not problems:
        accepted = f"accepted by Envoy Gateway: {', '.join(title(policy) for policy, _ in found)}"
        yield Finding(severity="ok", title=accepted if found else "none is for AI routes")


def _ours(cluster: Cluster) -> Mapping[tuple[str, str, str], Document]:
    """(kind, namespace, name) of what AI requests pass."""
    found = {}
    for namespace, name in gateways.named(cluster):
        if (gateway := cluster.get("Gateway", namespace, name)) is not None:
            found["Gateway", namespace, name] = gateway
    for each in routes.generated_for(cluster).values():
        found.update({("HTTPRoute", *key(route)): route for route in each})
    for backend in cluster.all("AIServiceBackend"):
        reference = (backend.get("spec") or {}).get("backendRef") or {}
        at = reference.get("kind", "Service"), reference.get("namespace") or key(backend)[0], reference.get("name", "")
        found[at] = {"kind": at[0], "metadata": {"namespace": at[1], "name": at[2]}}
    return found


def _targets(policy: Document, ours: Mapping[tuple[str, str, str], Document]) -> list[str]:
    """Titles of those of `ours` that the policy is for."""
    namespace, spec = key(policy)[0], policy.get("spec") or {}
    found = []
    for reference in (*([spec["targetRef"]] if spec.get("targetRef") else ()), *(spec.get("targetRefs") or ())):
        target = ours.get((reference.get("kind", ""), namespace, reference.get("name", "")))
        if target is not None:
            section = reference.get("sectionName")
            found.append(title(target) + (f" ({section})" if section else ""))
    for selector in spec.get("targetSelectors") or ():
        anywhere = ((selector.get("namespaces") or {}).get("from") or "Same") != "Same"
        try:
            labels = base.parse_part(LabelSelector, selector)
        except base.InvalidObject:
            continue  # with an operator that nobody knows, it selects nothing
        assert isinstance(labels, LabelSelector)
        found += [
            title(target)
            for (kind, at, _), target in ours.items()
            if kind == selector.get("kind")
            and (anywhere or at == namespace)
            and selectors.matches(labels, target["metadata"].get("labels") or {})
        ]
    return list(dict.fromkeys(found))


def _problems(cluster: Cluster, policy: Document, targets: list[str]) -> Iterator[Finding]:
    """Once for each thing that is said, at however many Gateways."""
    said: dict[tuple[str, str], None] = {}
    for ancestor in status_of(policy).get("ancestors") or ():
        accepted = conditions(ancestor).get("Accepted", {})
        if ancestor.get("controllerName") == cluster.settings.controller_name and accepted.get("status") == "False":
            said[accepted.get("reason", ""), accepted.get("message", "")] = None
    namespace, name = key(policy)
    for reason, message in said:
        effect = _EFFECTS.get(reason, _REFUSED)
        yield Finding(
            severity="error",
            title=f"{title(policy)} for {', '.join(targets)} is not accepted by Envoy Gateway ({reason}): {message}",
            meaning=effect.meaning,
            fix=effect.fix.format(namespace=namespace, lower=policy["kind"].lower(), name=name),
        )
