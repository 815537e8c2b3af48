"""What base xDS is made from: the resources, the routes that attach to a listener, the policies that apply."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar

from extension_server.api import envoy_gateway as eg
from extension_server.api import gateway as gw
from extension_server.api.base import Object
from extension_server.compile import attachment
from extension_server.compile.result import Compiled, Finding, ObjectRef
from extension_server.compile.snapshot import Snapshot, ref_of

DEFAULT_BUFFER_LIMIT: Final = 50 * 1024 * 1024
"""Envoy Gateway's 32 KiB would refuse every longer prompt, and bodies are buffered for translation."""


class NotServable(Exception):
    """Resources that are valid but that standalone cannot serve; `findings` say why."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(str(finding) for finding in findings))
        self.findings = findings


def refuse(object_: Object, field: str, reason: str, message: str) -> NotServable:
    """The error about one field of one object."""
    return NotServable(Finding(severity="error", object=ref_of(object_), field=field, reason=reason, message=message))


class _PolicySpec(Protocol):
    @property
    def targets(self) -> tuple[gw.PolicyTargetReference, ...]: ...


class _Policy(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def spec(self) -> _PolicySpec: ...


P = TypeVar("P", bound=_Policy)
_Target = tuple[str, str, str, str | None]
"""what a policy targets: namespace, kind, name, section"""


@dataclass(frozen=True, slots=True)
class AttachedRule:
    """One rule of an HTTPRoute that attaches to a listener."""

    route: gw.HTTPRoute
    index: int
    rule: gw.HTTPRouteRule


@dataclass(frozen=True)
class World:
    """One Gateway's resources."""

    snapshot: Snapshot
    compiled: Compiled

    @cached_property
    def everything(self) -> Snapshot:
        """The user's objects and the generated ones."""
        generated = [object_ for object_ in self.compiled.objects if isinstance(object_, Object)]
        return self.snapshot.with_objects(generated)

    @cached_property
    def gateway(self) -> gw.Gateway:
        found = self.snapshot.get(gw.Gateway, self.compiled.gateway.namespace, self.compiled.gateway.name)
        assert found is not None, "compile was given this Gateway"
        return found

    def listener_name(self, listener: gw.Listener) -> str:
        return f"{self.gateway.namespace}/{self.gateway.name}/{listener.name}"

    @cached_property
    def ports(self) -> dict[int, tuple[gw.Listener, ...]]:
        """Listeners by port, in the Gateway's order."""
        ports: dict[int, list[gw.Listener]] = {}
        for listener in self.gateway.spec.listeners:
            ports.setdefault(listener.port, []).append(listener)
        return {port: tuple(listeners) for port, listeners in ports.items()}

    def rules(self, listener: gw.Listener) -> dict[str, list[AttachedRule]]:
        """Host → rules that serve it on this listener, in the order in which equal matches are tried."""
        hosts: dict[str, list[AttachedRule]] = {}
        for route in self.everything.all(gw.HTTPRoute):
            if not self._attaches(route, listener):
                continue
            for host in attachment.hosts_on(self.gateway, listener, route.spec.hostnames):
                rules = (AttachedRule(route, index, rule) for index, rule in enumerate(route.spec.rules))
                hosts.setdefault(host, []).extend(rules)
        return dict(sorted(hosts.items()))

    def _attaches(self, route: gw.HTTPRoute, listener: gw.Listener) -> bool:
        if attachment.refusal(listener, route.namespace, self.gateway):
            return False
        return any(
            attachment.refers_to(parent, route.namespace, self.gateway)
            and parent.section_name in (None, listener.name)
            and parent.port in (None, listener.port)
            for parent in route.spec.parent_refs
        )

    def policy_of_rule(self, kind: type[P], attached: AttachedRule, listener: gw.Listener) -> P | None:
        """The most specific policy: of the rule, the route, the listener, the Gateway. Policies are not merged."""
        names = self._names_of_route(attached.route)
        section = attached.rule.name
        levels = (
            self._find(kind, attached.route.namespace, "HTTPRoute", names, section) if section else None,
            self._find(kind, attached.route.namespace, "HTTPRoute", names, None),
        )
        return next((policy for policy in levels if policy), None) or self.policy_of_listener(kind, listener)

    def policy_of_listener(self, kind: type[P], listener: gw.Listener) -> P | None:
        names = frozenset((self.gateway.name,))
        return self._find(kind, self.gateway.namespace, "Gateway", names, listener.name) or self._find(
            kind, self.gateway.namespace, "Gateway", names, None
        )

    def _find(self, kind: type[P], namespace: str, target: str, names: Iterable[str], section: str | None) -> P | None:
        targeted = self._targeted(kind)
        found = (targeted.get((namespace, target, name, section)) for name in names)
        return min((policy for policy in found if policy is not None), key=lambda policy: policy.name, default=None)

    def _targeted(self, kind: type[P]) -> dict[_Target, P]:
        """The first policy of `kind` for each target."""
        targeted: dict[_Target, P] | None = self._policies.get(kind)
        if targeted is None:
            targeted = self._policies[kind] = {}
            for policy in self.snapshot.all(kind):  # type: ignore[type-var]  # P's policies are Objects
                for reference in policy.spec.targets:
                    target = (policy.namespace, reference.kind, reference.name, reference.section_name)
                    targeted.setdefault(target, policy)
        return targeted

    def _names_of_route(self, route: gw.HTTPRoute) -> frozenset[str]:
        """The HTTPRoute's name, and its AIGatewayRoute's: a long one is spread over several HTTPRoutes."""
        return self._owners.get(ref_of(route), frozenset()) | {route.name}

    @cached_property
    def _owners(self) -> dict[ObjectRef, frozenset[str]]:
        """Generated HTTPRoute → names of the AIGatewayRoutes that its rules come from."""
        owners: dict[ObjectRef, set[str]] = {}
        for rule in self.compiled.rules:
            owners.setdefault(rule.http_route, set()).add(rule.route.partition("/")[2])
        return {ref: frozenset(names) for ref, names in owners.items()}

    @cached_property
    def _policies(self) -> dict[type, dict[_Target, Any]]:
        """What `_targeted` has found, by kind."""
        return {}

    def backend(self, attached: AttachedRule, ref: int) -> eg.Backend:
        """Raises NotServable for a reference that is not a Backend in the file."""
        reference = attached.rule.backend_refs[ref]
        found = (
            self.everything.get(eg.Backend, reference.namespace or attached.route.namespace, reference.name)
            if reference.kind == eg.BACKEND_KIND
            else None
        )
        if found is None:
            field = f"spec.rules[{attached.index}].backendRefs[{ref}]"
            message = f"{reference.kind} {reference.name} not found; standalone serves kind Backend only"
            raise refuse(attached.route, field, "BackendNotFound", message)
        return found

    def tls_policy(self, backend: eg.Backend) -> gw.BackendTLSPolicy | None:
        for policy in self.snapshot.all(gw.BackendTLSPolicy):
            if policy.namespace == backend.namespace and any(
                reference.kind == eg.BACKEND_KIND and reference.name == backend.name
                for reference in policy.spec.target_refs
            ):
                return policy
        return None

    def is_ai(self, route: gw.HTTPRoute) -> bool:
        ref = ref_of(route)
        return ref in self._owners or any(fallback == ref for fallback, _ in self.compiled.fallbacks)
