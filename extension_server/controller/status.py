"""What a person reads in `status.conditions`. Pure: verdicts in, conditions out.

`Accepted`: everything that the object says can be served. `ResolvedRefs`: everything that it refers to is there,
granted and usable. `Programmed` (routes): every filter that serves the route runs its present state. `Accepted` stands
last, because the printer column shows the last one's type; when it is False, a `NotAccepted` follows for the same
reason, as tools that were written for earlier controllers expect (API chapter §2.15).
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from extension_server.api.gateway import Gateway
from extension_server.compile import attachment
from extension_server.compile.result import Finding, ObjectRef
from extension_server.compile.route import RoutePart
from extension_server.controller.client import Document
from extension_server.controller.ports import FilterReports
from extension_server.controller.store import Held, Store
from extension_server.controller.world import Part, World
from extension_server.sidecar.container import CONTAINER
from extension_server.sidecar.mutation import OWNER_NAME

Status = Literal["True", "False", "Unknown"]

REFERENCE_REASONS: Final = frozenset(
    {"BackendNotFound", "SecretNotFound", "InvalidSecret", "InvalidKind", "RefNotPermitted", "NoMatchingParent"}
)
"""Reasons of findings that are about what is referred to; all others are about the object itself."""
_REFERRING: Final = ("AIGatewayRoute", "AIServiceBackend", "BackendSecurityPolicy")
"""Of kinds that are not served no reference is looked up."""
NOTE: Final = ". Note: "
"""what stands before the warnings of an accepted object"""
MAX_SENTENCES: Final = 8
"""more than a person reads; the first ones are the ones to begin with"""
MAX_FIELDS: Final = 4
"""of one sentence"""
MAX_MESSAGE: Final = 32768
"""of a condition"""

_SUCCEEDED: Final = {
    "AIGatewayRoute": ("ReconciliationSucceeded", "AI Gateway Route reconciled successfully"),
    "AIServiceBackend": ("ReconciliationSucceeded", "AIServiceBackend reconciled successfully"),
    "BackendSecurityPolicy": ("ReconciliationSucceeded", "BackendSecurityPolicy reconciled successfully"),
    "GatewayConfig": ("Accepted", "GatewayConfig reconciled successfully"),
    "MCPRoute": ("ReconciliationSucceeded", "MCP Gateway Route reconciled successfully"),
    "QuotaPolicy": ("ReconciliationSucceeded", "QuotaPolicy reconciled successfully"),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Without the generation and the time, which `merged` adds."""

    type: str
    status: Status
    reason: str
    message: str


def conditions(
    held: Held,
    part: Part | None,
    world: World,
    store: Store,
    reports: FilterReports,
    more: Iterable[Finding] = (),
    refusal: str | None = None,
) -> tuple[Condition, ...]:
    """`more`: what others than the compiler found. `refusal`: what the API server said about an object generated for
    this one."""
    findings = (*_findings(held, part, store), *more)
    errors = [finding for finding in findings if finding.severity == "error"]
    if refusal is not None:
        errors.append(_error(held.ref, "", "WriteRefused", refusal))
    references = [finding for finding in errors if finding.reason in REFERENCE_REASONS]
    found = []
    if held.ref.kind in _REFERRING:
        found.append(_resolved(held.ref, references))
    if held.ref.kind == "AIGatewayRoute":
        found.append(_programmed(held, part, world, store, reports))
    return (*found, *_accepted(held, part, errors, [each for each in findings if each.severity == "warning"]))


def _findings(held: Held, part: Part | None, store: Store) -> Iterable[Finding]:
    if held.problem is not None:
        kept = "; the last good state stays in use" if held.object is not None else ""
        yield _error(held.ref, "", "Invalid", f"{held.problem}{kept}")
    if part is None:
        return
    yield from part.findings
    if part.route is not None and len(part.route.generated.spread) > 1:
        yield from _spread(held.ref, [name for name, _ in part.route.generated.spread], store)
    if held.ref.kind != "AIGatewayRoute":
        return
    if not part.gateways:
        message = "names no Gateway, so the route is not served; add the Gateway's name"
        yield _error(held.ref, "spec.parentRefs", "NoMatchingParent", message)
    attached = {ref for ref, _ in part.route.attachments} if part.route else set()
    for gateway in part.gateways:
        if gateway in attached:
            continue
        problem = store.gateway_problem(gateway)
        missing = f"{gateway} not found; create it or correct the name"
        message = f"{gateway} cannot be used: {problem}" if problem else missing
        yield _error(held.ref, "spec.parentRefs", "NoMatchingParent", message)


def _spread(route: ObjectRef, names: Sequence[str], store: Store) -> Iterator[Finding]:
    """A policy of Envoy Gateway's is for one HTTPRoute, and this route needs several."""
    covered: dict[ObjectRef, set[str]] = {}
    for name in names:
        for policy in store.policies_of(ObjectRef("HTTPRoute", route.namespace, name)):
            covered.setdefault(policy, set()).add(name)
    remedy = "or give the AIGatewayRoute a label, which all of them get, and select it by targetSelectors"
    incomplete = False
    for policy, targeted in sorted(covered.items()):
        missing = [name for name in names if name not in targeted]
        if not missing:
            continue
        incomplete = True
        message = (
            f"{policy} is for a part of the route only, which several HTTPRoutes serve: add "
            f"{', '.join(missing)} to its targetRefs, {remedy}"
        )
        # Requests without authentication are worse than those without a time limit.
        severity: Literal["error", "warning"] = "error" if policy.kind == "SecurityPolicy" else "warning"
        yield Finding(severity=severity, object=route, field="spec.rules", reason="PolicyIncomplete", message=message)
    if not incomplete:
        message = f"is served by several HTTPRoutes ({', '.join(names)}); a policy has to target all of them, {remedy}"
        yield Finding(severity="warning", object=route, field="spec.rules", reason="Spread", message=message)


def _accepted(
    held: Held, part: Part | None, errors: Sequence[Finding], warnings: Sequence[Finding]
) -> Iterable[Condition]:
    reason, message = _SUCCEEDED[held.ref.kind]
    if not errors:
        note = f"{NOTE}{_sentences(held.ref, warnings)}" if warnings else ""
        yield Condition("Accepted", "True", reason, _cut(message + note))
        return
    text = _cut(_served(part) + _sentences(held.ref, errors))
    yield Condition("Accepted", "False", errors[0].reason, text)
    failed = "NotAccepted" if held.ref.kind == "GatewayConfig" else "ReconciliationFailed"
    # Not the text once more: ResolvedRefs and the Event have it, too, and `kubectl describe` shows them all.
    yield Condition("NotAccepted", "False", failed, "see condition Accepted")


def _served(part: Part | None) -> str:
    """How much of a route works in spite of the errors; of a route with one rule, the errors say it."""
    if part is None or part.route is None or len(part.route.rules) == 1:
        return ""
    closed = _closed(part.route)
    return f"{closed[0].upper()}{closed[1:]}. " if closed else ""


def _closed(route: RoutePart) -> str:
    count = sum(not rule.ready for rule in route.rules)
    if not count:
        return ""
    return f"{count} of {len(route.rules)} rules are not served" if count < len(route.rules) else "no rule is served"


def _resolved(ref: ObjectRef, references: Sequence[Finding]) -> Condition:
    if references:
        return Condition("ResolvedRefs", "False", references[0].reason, _cut(_sentences(ref, references)))
    return Condition("ResolvedRefs", "True", "ResolvedRefs", "all references are resolved")


def _programmed(held: Held, part: Part | None, world: World, store: Store, reports: FilterReports) -> Condition:
    serving = [ref for ref, attached in part.route.attachments if attached.places] if part and part.route else []
    if not serving:
        message = "no listener of any Gateway serves the route; see Accepted"
        return Condition("Programmed", "False", "NotAttached", message)
    if part is None or part.route is None or not part.route.rules:
        return Condition("Programmed", "False", "NotAccepted", "nothing is generated for the route; see Accepted")
    waiting: Condition | None = None
    for gateway in serving:
        running = reports.running(gateway)
        if running is None:
            return _previous(held) or Condition(
                "Programmed", "Unknown", "Pending", f"no filter of {gateway} has reported yet; wait half a minute"
            )
        if not running:
            return Condition(
                "Programmed",
                "False",
                "NoFilter",
                no_filter(gateway, "requests are answered with 503"),
            )
        if not is_mediated(held, gateway, store):
            message = not_mediated(gateway, "requests are answered with 503")
            return Condition("Programmed", "False", "NotMediated", message)
        if unasked := reports.unasked(gateway):
            message = not_asked(gateway, unasked, len(running), "requests are answered with 503")
            return Condition("Programmed", "False", "NotMediated", message)
        troubles = reports.troubles(gateway)
        if troubles:
            return Condition("Programmed", "False", "FilterRefuses", _cut("; ".join(troubles[:MAX_SENTENCES])))
        behind = sum(world.number(gateway, each) < max(world.since(gateway, held.ref), 1) for each in running)
        if behind:
            waiting = Condition(
                "Programmed",
                "False",
                "Pending",
                f"{behind} of {len(running)} filters of {gateway} do not run the present configuration yet; if that "
                f"lasts, look at the log of container {CONTAINER} of its Envoy pods",
            )
    but = f"; {closed}, see Accepted" if (closed := _closed(part.route)) else ""
    # Not how many: every status would be written anew whenever a proxy comes or goes.
    where = ", ".join(map(str, serving))
    return waiting or Condition("Programmed", "True", "Programmed", f"every filter of {where} runs it{but}")


def no_filter(gateway: ObjectRef, effect: str) -> str:
    return (
        f"no filter of {gateway} is connected, {effect}: check that its Envoy pods (kubectl get pods -A -l "
        f"{OWNER_NAME}={gateway.name}) have the container {CONTAINER} and that it is ready; its log says why it does "
        "not connect. An Envoy that several Gateways share (mergeGateways of EnvoyProxy) never has it"
    )


def is_mediated(route: Held | None, gateway: ObjectRef, store: Store) -> bool:
    """Whether Envoy Gateway asks about the Gateway of this route. Releases that did not note it said `Programmed`."""
    found = store.held(gateway)
    if found is not None and isinstance(found.object, Gateway) and attachment.is_mediated(found.object):
        return True
    before = _previous(route) if route is not None else None
    return before is not None and before.status == "True"


def not_mediated(gateway: ObjectRef, effect: str) -> str:
    return (
        f"Envoy Gateway has not asked its extension server about {gateway}, {effect}: check that extensionManager in "
        "its configuration names the Service of the AI gateway's controller, and restart it"
    )


def not_asked(gateway: ObjectRef, pods: Sequence[ObjectRef], filters: int, effect: str) -> str:
    """`pods`: those whose filter no Envoy asks, of so many connected `filters`."""
    alone = f"of {gateway}, the Envoy of {_listed([str(each) for each in pods])} does not ask its filter"
    who = f"no Envoy of {gateway} asks its filter" if len(pods) >= filters else alone
    return (
        f"{who}, {effect}: Envoy Gateway does not call its extension server (check that extensionManager in its "
        "configuration names the Service of the AI gateway's controller, and restart it) or does not serve the routes "
        f"(kubectl -n {gateway.namespace} describe gateway {gateway.name}); aigw doctor --kubernetes says which"
    )


def _previous(held: Held) -> Condition | None:
    """What was known about the same generation before this process started."""
    for each in held.conditions:
        if each.get("type") == "Programmed" and each.get("observedGeneration") == held.generation:
            return Condition("Programmed", each["status"], each.get("reason", ""), each.get("message", ""))
    return None


def merged(held: Held, wanted: Iterable[Condition], now: datetime) -> list[Document] | None:
    """`wanted` as documents, or None when the stored ones say the same. A time changes only with its status."""
    stored = {each.get("type"): each for each in held.conditions}
    found = []
    for condition in wanted:
        old: Mapping[str, Any] = stored.get(condition.type, {})
        document = {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "lastTransitionTime": old["lastTransitionTime"]
            if old.get("status") == condition.status and "lastTransitionTime" in old
            else now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if held.generation is not None:
            document["observedGeneration"] = held.generation
        found.append(document)
    return None if found == [dict(each) for each in held.conditions] else found


def _sentences(ref: ObjectRef, findings: Iterable[Finding]) -> str:
    """What is to be said about several fields is said once."""
    fields: dict[tuple[ObjectRef, str], list[str]] = {}
    for finding in findings:
        fields.setdefault((finding.object, finding.message), []).append(finding.field)
    shown = [
        ": ".join(part for part in (str(about) if about != ref else "", _listed(where), message) if part)
        for (about, message), where in itertools.islice(fields.items(), MAX_SENTENCES)
    ]
    more = len(fields) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])


def _listed(fields: Sequence[str]) -> str:
    more = len(fields) - MAX_FIELDS
    return ", ".join(fields[:MAX_FIELDS]) + (f" and {more} more" if more > 0 else "")


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _error(ref: ObjectRef, field: str, reason: str, message: str) -> Finding:
    return Finding(severity="error", object=ref, field=field, reason=reason, message=message)
