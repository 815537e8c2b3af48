"""The compiled state of everything, kept up to date by recompiling what a change concerns. Pure: no I/O, no clock.

Per object of ours there is a part: what it contributes, what is wrong with it, and which questions were asked for it.
A change of the store names the questions with new answers; parts that asked one of them are compiled again, then the
Gateways that they belong to are put together again.
"""

import contextlib
import logging
import operator
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from extension_server.api.aigateway import AIGatewayRoute, AIServiceBackend, AnyBackendSecurityPolicy, GatewayConfig
from extension_server.api.gateway import Gateway
from extension_server.api.mcp import MCPRoute
from extension_server.api.quota import QuotaPolicy
from extension_server.compile import gateway as gateways
from extension_server.compile import unserved
from extension_server.compile.backends import BackendResolver
from extension_server.compile.credentials import Credentials, Unusable
from extension_server.compile.reads import Key, Recorder
from extension_server.compile.result import Compiled, Finding, ObjectRef
from extension_server.compile.route import RoutePart, Settings, compile_route, gateways_of
from extension_server.compile.snapshot import kind_of
from extension_server.controller.kinds import WATCHED
from extension_server.controller.store import View
from filters.contract.config import Cost

_OURS: Final = tuple(watched.kind for watched in WATCHED if watched.sort == "ours")
_GATEWAY: Final = kind_of(Gateway)
_POLICY: Final = kind_of(AnyBackendSecurityPolicy)
_BY_NAME: Final = operator.attrgetter("namespace", "name")
_log = logging.getLogger(__name__)
_REMEMBERED: Final = 64
"""Configurations per Gateway that a report of a filter may name. More than one is on its way only during a burst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one object of ours came to."""

    generation: int | None
    """of the object, when it was compiled"""
    reads: frozenset[Key]
    findings: tuple[Finding, ...]
    route: RoutePart | None = None
    gateways: tuple[ObjectRef, ...] = ()
    """of a route: all that it names"""


@dataclass(slots=True)
class _GatewayState:
    compiled: Compiled | None = None
    reads: frozenset[Key] = frozenset()
    common: tuple[Cost, ...] = ()
    """costs of the GatewayConfig"""
    number: int = 0
    """of the present configuration; grows with each change"""
    numbers: dict[str, int] = field(default_factory=dict)
    """hash of a configuration → its number, the last few"""
    since: dict[ObjectRef, int] = field(default_factory=dict)
    """route → number of the first configuration with its present part"""

    def count(self, config_hash: str) -> None:
        """The configuration takes the place of `compiled`."""
        if self.compiled is None or self.compiled.config_hash != config_hash:
            self.number += 1
        self.numbers.pop(config_hash, None)
        self.numbers[config_hash] = self.number
        while len(self.numbers) > _REMEMBERED:
            del self.numbers[next(iter(self.numbers))]

    def date(self, routes: Collection[ObjectRef], changed: Collection[ObjectRef], common: tuple[Cost, ...]) -> None:
        """`routes`: all of the Gateway. `changed`: those whose part is another since the last time, gone ones too."""
        everything = common != self.common or not self.since
        self.common = common
        if everything:
            self.since = dict.fromkeys(routes, self.number)
        for ref in changed:
            if ref in routes:
                self.since[ref] = self.number
            else:
                self.since.pop(ref, None)


class World:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._parts: dict[ObjectRef, Part] = {}
        self._routes: dict[ObjectRef, dict[ObjectRef, None]] = {}
        """Gateway → routes that name it"""
        self._gateways: dict[ObjectRef, _GatewayState] = {}
        self._dirty: dict[ObjectRef, set[ObjectRef]] = {}
        """Gateway to put together again → its routes whose part changed"""
        self._credentials = Credentials(settings.aws_environment)
        self._other_values: set[ObjectRef] = set()
        """Gateways of which nothing but values of credentials has changed"""

    # ---- asking

    def part(self, ref: ObjectRef) -> Part | None:
        return self._parts.get(ref)

    def compiled(self, gateway: ObjectRef) -> Compiled | None:
        state = self._gateways.get(gateway)
        return state.compiled if state else None

    def gateways(self) -> tuple[ObjectRef, ...]:
        """Every Gateway of Envoy Gateway's that there is."""
        return tuple(self._gateways)

    def routes_of(self, gateway: ObjectRef) -> tuple[ObjectRef, ...]:
        return tuple(self._routes.get(gateway, ()))

    def secrets(self) -> set[Key]:
        """Every Secret that something refers to, whether it is there or not."""
        return self._credentials.secrets()

    def asked_for(self, key: Key) -> bool:
        """Whether anything depends on the answer to the question."""
        return self._credentials.asked_for(key) or any(key in part.reads for part in self._parts.values())

    def number(self, gateway: ObjectRef, config_hash: str) -> int:
        """Place of a configuration among those of its Gateway; 0 for one that is not known (any more)."""
        state = self._gateways.get(gateway)
        return state.numbers.get(config_hash, 0) if state else 0

    def since(self, gateway: ObjectRef, route: ObjectRef) -> int:
        """Number of the first configuration that has the present state of the route."""
        state = self._gateways.get(gateway)
        return state.since.get(route, state.number) if state else 0

    # ---- changing

    def read_policies(self, view: View, keys: Collection[Key]) -> None:
        """Learns which Secrets the policies among `keys` refer to, before anything is compiled without them."""
        asking = self._credentials.asking(view)
        for ref in keys:
            if ref.kind == _POLICY:
                policy = view.get(AnyBackendSecurityPolicy, ref.namespace, ref.name)
                if policy is not None and policy.spec is not None and self._credentials.is_new(policy):
                    with contextlib.suppress(Unusable):
                        asking.identity(policy)

    def recompile(self, view: View, keys: Collection[Key]) -> Iterator[ObjectRef]:
        """Recompiles the parts that `keys` concern, one per step, and names each. For a Secret's new value, none."""
        reread = self._credentials.reread(view, keys)
        wanted = {*keys, *reread.verdicts}
        for ref, state in self._gateways.items():
            if state.compiled and not reread.values.isdisjoint(state.compiled.filter_config.credentials):
                self._other_values.add(ref)
        stale = [ref for ref, part in self._parts.items() if not part.reads.isdisjoint(wanted)]
        own = [key for key in wanted if key.kind in _OURS]
        for ref in sorted({*stale, *own}):
            self._replace(ref, self._compiled(view, ref))
            yield ref
        for ref in wanted:
            if ref.kind == _GATEWAY:
                self._dirty.setdefault(ref, set())
        for ref, state in self._gateways.items():
            if not state.reads.isdisjoint(wanted):
                self._dirty.setdefault(ref, set())

    def dirty(self) -> tuple[ObjectRef, ...]:
        """Gateways to `assemble`."""
        return tuple(sorted({*self._dirty, *self._other_values}))

    def assemble(self, view: View, gateway: ObjectRef) -> Compiled | None:
        """The new state of a dirty Gateway; None for one that is not there, or not ours."""
        self._other_values.discard(gateway)
        known = self._gateways.get(gateway)
        if gateway not in self._dirty and known is not None and known.compiled is not None:
            known.compiled = gateways.with_credentials(known.compiled, self._credentials)
            return known.compiled
        changed = self._dirty.pop(gateway, set())
        recorder = Recorder(view)
        found = recorder.get(Gateway, gateway.namespace, gateway.name)
        if found is None:
            self._gateways.pop(gateway, None)
            return None
        routes = sorted(self._routes.get(gateway, ()), key=_BY_NAME)
        parts = (self._parts[ref].route for ref in routes)
        present = [part for part in parts if part is not None]
        state = self._gateways.setdefault(gateway, _GatewayState())
        compiled = gateways.assemble(
            recorder,
            found,
            present,
            self.settings,
            self._credentials,
            with_objects=False,
            previous=state.compiled,
        )
        state.count(compiled.config_hash)
        common, _ = gateways.common_costs(view, found)
        state.date(self._routes.get(gateway, {}), changed, common)
        state.compiled = compiled
        state.reads = frozenset(recorder.reads)
        return compiled

    # ---- inside

    def _compiled(self, view: View, ref: ObjectRef) -> Part | None:
        """One object must never stop the others: what nobody thought of is an error of that object, whose last good
        part stays."""
        recorder = Recorder(view)
        try:
            return self._compile(view, recorder, ref)
        except Exception as exc:
            _log.exception("%s cannot be compiled", ref)
            held, old = view.held(ref), self._parts.get(ref)
            # Not the text of the error: it may quote what the object holds.
            message = f"cannot be compiled ({type(exc).__name__}); please report this, the controller's log has more"
            return Part(
                generation=held.generation if held else None,
                reads=frozenset(recorder.reads),
                findings=(Finding(severity="error", object=ref, field="", reason="InternalError", message=message),),
                route=old.route if old else None,
                gateways=old.gateways if old else (),
            )

    def _compile(self, view: View, recorder: Recorder, ref: ObjectRef) -> Part | None:
        held = view.held(ref)
        if held is None or held.object is None or held.deleting:
            return None
        match held.object:
            case AIGatewayRoute() as route:
                named = gateways_of(route)
                part = compile_route(recorder, route, self.settings, self._credentials.asking(view, recorder.reads))
                findings = part.findings if part else ()
                return Part(
                    generation=held.generation,
                    reads=frozenset(recorder.reads),
                    findings=findings,
                    route=part,
                    gateways=named,
                )
            case AIServiceBackend() as service:
                findings = self._resolver(view, recorder).check_backend(service)
            case AnyBackendSecurityPolicy() as policy:
                findings = self._resolver(view, recorder).check_policy(policy)
            case GatewayConfig() as config:
                findings = gateways.check_config(config).findings
            case MCPRoute() | QuotaPolicy():
                findings = tuple(unserved.findings(held.object))
            case other:
                raise AssertionError(f"{other.kind} is not ours")
        return Part(generation=held.generation, reads=frozenset(recorder.reads), findings=findings)

    def _resolver(self, view: View, recorder: Recorder) -> BackendResolver:
        return BackendResolver(resources=recorder, credentials=self._credentials.asking(view, recorder.reads))

    def _replace(self, ref: ObjectRef, new: Part | None) -> None:
        old = self._parts.pop(ref, None)
        if new is not None:
            self._parts[ref] = new
        for gateway in set(old.gateways if old else ()) - set(new.gateways if new else ()):
            del self._routes[gateway][ref]
            if not self._routes[gateway]:
                del self._routes[gateway]
        for gateway in new.gateways if new else ():
            self._routes.setdefault(gateway, {})[ref] = None
        before, after = old.route if old else None, new.route if new else None
        if before != after:
            for gateway in {*(old.gateways if old else ()), *(new.gateways if new else ())}:
                self._dirty.setdefault(gateway, set()).add(ref)
