"""What is to be said about a whole file, beyond its single objects: for `aigw run` and `aigw validate`.

Objects are checked by the loader, rules by the compiler; here are the references that neither follows: Gateways that
are not there, policies whose target is missing, routes that nobody serves.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from aigw.standalone.resources import BadResources, Loaded
from extension_server.api import aigateway, envoy_gateway, gateway
from extension_server.api.aigateway import AIGatewayRoute, AIServiceBackend, AnyBackendSecurityPolicy
from extension_server.api.base import Object
from extension_server.api.gateway import BackendTLSPolicy, Gateway, HTTPRoute
from extension_server.compile import unserved
from extension_server.compile.gateway import compile_gateway, sorted_findings
from extension_server.compile.result import Compiled, Finding, ObjectRef
from extension_server.compile.snapshot import Snapshot, ref_of

_POLICIES: Final[tuple[type[envoy_gateway.Policy], ...]] = (
    envoy_gateway.BackendTrafficPolicy,
    envoy_gateway.ClientTrafficPolicy,
    envoy_gateway.SecurityPolicy,
)
_ELSEWHERE: Final = "NotInStandalone"
"""reason of a finding about what Envoy Gateway serves, and standalone does not"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """The compiled file and everything to be said about it."""

    compiled: Compiled
    errors: tuple[str, ...]
    """complete sentences; not empty: do not start, do not replace what runs"""
    warnings: tuple[str, ...]
    elsewhere: frozenset[str]
    """those of `errors` that a cluster would not have: what standalone does not know of Envoy Gateway's"""


def judge(loaded: Loaded, *, token_key: bytes, created: int = 0, gateway: str = "") -> Verdicts:
    """Compiles one Gateway of the file, `[namespace/]name`; without it the only one. Raises BadResources when there is
    not exactly one."""
    compiled = compile_gateway(
        loaded.snapshot,
        the_gateway(loaded, gateway),
        token_key=token_key,
        aws_environment=loaded.aws_environment,
        created=created,
    )
    findings = sorted_findings((*compiled.findings, *references(loaded.snapshot), *_unserved(loaded, compiled)))
    ordered = sorted(findings, key=lambda finding: loaded.documents.get(finding.object, 0))
    return Verdicts(
        compiled=compiled,
        errors=tuple(loaded.sentence(finding) for finding in ordered if finding.severity == "error"),
        warnings=(
            *loaded.warnings,
            *(loaded.sentence(finding) for finding in ordered if finding.severity == "warning"),
        ),
        elsewhere=frozenset(loaded.sentence(finding) for finding in ordered if finding.reason == _ELSEWHERE),
    )


def _unserved(loaded: Loaded, compiled: Compiled) -> Iterator[Finding]:
    """What nothing refers to is not compiled, and may not be served all the same."""
    told = {(finding.object, finding.field) for finding in compiled.findings}
    for object_ in loaded.snapshot:
        for finding in unserved.findings(object_):
            # AWS keys of the environment are there or not, which only compiling knows.
            if (finding.object, finding.field) not in told and not isinstance(object_, AnyBackendSecurityPolicy):
                yield replace(finding, severity="warning")


def the_gateway(loaded: Loaded, wanted: str = "") -> ObjectRef:
    """Raises BadResources."""
    found = [ref_of(each) for each in loaded.snapshot.all(Gateway)]
    if wanted:
        found = [ref for ref in found if wanted in (ref.name, f"{ref.namespace}/{ref.name}")]
    if len(found) == 1:
        return found[0]
    if not found and wanted:
        raise BadResources((f"{loaded.file}: has no Gateway {wanted}",))
    if not found:
        raise BadResources((f"{loaded.file}: has no Gateway; add one with a listener",))
    names = ", ".join(f"{ref.namespace}/{ref.name} (document {loaded.documents[ref]})" for ref in found)
    raise BadResources((f"{loaded.file}: has {len(found)} Gateways, must have exactly one: {names}",))


def references(snapshot: Snapshot) -> Iterator[Finding]:
    """References to objects that the snapshot does not hold, and what standalone leaves out."""
    for found in snapshot.all(Gateway):
        class_name = found.spec.gateway_class_name
        if _absent(snapshot, gateway.GatewayClass, "", class_name):
            yield _missing(found, "spec.gatewayClassName", f"GatewayClass {class_name}", warning=True)
    for proxy in snapshot.all(envoy_gateway.EnvoyProxy):
        if proxy.spec.provider is not None:
            message = "is left out: it says how Envoy is deployed, and standalone starts Envoy itself"
            yield _finding(proxy, "spec.provider", "Ignored", message, warning=True)
    for route in snapshot.all(AIGatewayRoute):
        yield from _parents(snapshot, route, route.spec.parent_refs if route.spec else ())
    for http_route in snapshot.all(HTTPRoute):
        yield from _parents(snapshot, http_route, http_route.spec.parent_refs)
    for policy in snapshot.all(AnyBackendSecurityPolicy):
        yield from _backend_security_targets(snapshot, policy)
    for tls in snapshot.all(BackendTLSPolicy):
        for index, target in enumerate(tls.spec.target_refs):
            known = (target.group, target.kind) == (envoy_gateway.GROUP, "Backend")
            yield from _target(snapshot, tls, index, target.kind, target.name, known=known)
    for kind in _POLICIES:
        for each in snapshot.all(kind):
            for index, reference in enumerate(each.spec.targets):
                known = reference.group == gateway.GROUP and reference.kind in ("Gateway", "HTTPRoute")
                yield from _target(snapshot, each, index, reference.kind, reference.name, known=known)


def _parents(
    snapshot: Snapshot, route: AIGatewayRoute | HTTPRoute, parents: tuple[gateway.ParentReference, ...]
) -> Iterator[Finding]:
    if not parents:
        message = "names no Gateway, so the route is not served; add the Gateway's name"
        yield _finding(route, "spec.parentRefs", "NoParents", message, warning=True)
    for index, parent in enumerate(parents):
        namespace = parent.namespace or route.namespace
        if parent.kind == "Gateway" and _absent(snapshot, Gateway, namespace, parent.name):
            yield _missing(route, f"spec.parentRefs[{index}].name", f"Gateway {namespace}/{parent.name}")


def _backend_security_targets(snapshot: Snapshot, policy: AnyBackendSecurityPolicy) -> Iterator[Finding]:
    for index, target in enumerate(policy.spec.target_refs if policy.spec else ()):
        known = (target.group, target.kind) == (aigateway.GROUP, "AIServiceBackend")
        # As in a cluster: a policy may be there before its backend.
        for finding in _target(snapshot, policy, index, target.kind, target.name, known=known):
            yield replace(finding, severity="warning")


_TARGETS: Final[dict[str, tuple[type[Object], ...]]] = {
    "AIServiceBackend": (AIServiceBackend,),
    "Backend": (envoy_gateway.Backend,),
    "Gateway": (Gateway,),
    # The HTTPRoute of an AIGatewayRoute has its name.
    "HTTPRoute": (HTTPRoute, AIGatewayRoute),
}


def _target(snapshot: Snapshot, policy: Object, index: int, kind: str, name: str, *, known: bool) -> Iterator[Finding]:
    field = f"spec.targetRefs[{index}]"
    if not known:
        message = f"targets of kind {kind} are not supported by standalone; use Envoy Gateway"
        yield _finding(policy, f"{field}.kind", _ELSEWHERE, message)
    elif all(_absent(snapshot, model, policy.namespace, name) for model in _TARGETS[kind]):
        yield _missing(policy, f"{field}.name", f"{kind} {policy.namespace}/{name}")


def _absent(snapshot: Snapshot, kind: type[Object], namespace: str, name: str) -> bool:
    """Of one that is there and cannot be used, it is said what is wrong with it."""
    return snapshot.get(kind, namespace, name) is None and snapshot.problem(kind, namespace, name) is None


def _missing(object_: Object, field: str, what: str, *, warning: bool = False) -> Finding:
    return _finding(object_, field, "NotFound", f"{what} not found; create it or correct the name", warning=warning)


def _finding(object_: Object, field: str, reason: str, message: str, *, warning: bool = False) -> Finding:
    return Finding(
        severity="warning" if warning else "error",
        object=ref_of(object_),
        field=field,
        reason=reason,
        message=message,
    )
