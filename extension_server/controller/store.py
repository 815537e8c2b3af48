"""The watched objects, as they are now. Fed by the watches; asked by the compiler through frozen views.

Every change says which questions have a new answer (`Change.keys`, see compile/reads.py) and which objects' writes
are to be looked at again (`Change.checks`). A document that our models refuse never stops anything: the last good state
of that object stays in use, and `problem` says what is wrong. Nothing here does I/O.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from extension_server.api import core
from extension_server.api.aigateway import AnyBackendSecurityPolicy
from extension_server.api.base import InvalidObject, Object
from extension_server.api.gateway import GROUP as GATEWAY_API
from extension_server.api.gateway import Gateway, GatewayClass, ReferenceGrant
from extension_server.api.policies import BackendTrafficPolicy, EnvoyExtensionPolicy, SecurityPolicy, TargetingPolicy
from extension_server.compile.reads import Key, grants_key, policies_key
from extension_server.compile.result import ObjectRef
from extension_server.compile.selectors import NAME_LABEL
from extension_server.compile.snapshot import Target, claimed, kind_of, targets
from extension_server.controller import documents
from extension_server.controller.client import Document
from extension_server.controller.documents import Child
from extension_server.controller.kinds import BY_KIND, Watched

T = TypeVar("T", bound=Object)

ENDED: Final = 10_000
"""Objects that are gone and remembered as such: more than a watch can be ahead of the answers to our own writes."""

_log = logging.getLogger(__name__)
_CLASS: Final = kind_of(GatewayClass)
_GATEWAY: Final = kind_of(Gateway)
_SECRET: Final = kind_of(core.Secret)
_NAMESPACE: Final = kind_of(core.Namespace)
_POLICIES: Final = (kind_of(BackendTrafficPolicy), kind_of(SecurityPolicy), kind_of(EnvoyExtensionPolicy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One object of a kind that is read."""

    ref: ObjectRef
    uid: str
    version: int
    generation: int | None
    object: Object | None
    """the last good state; None when there never was one"""
    problem: str | None = None
    """why the current state is not `object`"""
    claims: tuple[Target, ...] = ()
    """that a policy without `object` targets"""
    notes: tuple[str, ...] = ()
    """parts of the current state that are missing in `object`, and why"""
    conditions: tuple[Mapping[str, Any], ...] = ()
    """`status.conditions` as stored"""
    finalizers: tuple[str, ...] = ()
    deleting: bool = False


@dataclass(slots=True)
class Change:
    """What follows from one or several events."""

    keys: set[Key] = field(default_factory=set)
    checks: set[ObjectRef] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.keys or self.checks)

    def add(self, other: "Change") -> None:
        self.keys |= other.keys
        self.checks |= other.checks


class View:
    """The objects of one moment (compile's `Resources`)."""

    def __init__(
        self,
        shelves: Mapping[str, Mapping[ObjectRef, Held]],
        foreign: Mapping[ObjectRef, Child],
        policies: Mapping[Target, tuple[ObjectRef, ...]],
        controller_name: str,
    ) -> None:
        self._shelves = shelves
        self._foreign = foreign
        self._policies = policies
        self._controller_name = controller_name

    def held(self, ref: ObjectRef) -> Held | None:
        return self._shelves.get(ref.kind, {}).get(ref)

    def refs(self, kind: str) -> tuple[ObjectRef, ...]:
        return tuple(self._shelves.get(kind, ()))

    def get(self, kind: type[T], namespace: str, name: str) -> T | None:
        ref = ObjectRef(kind_of(kind), namespace if kind.namespaced else "", name)
        if child := self._foreign.get(ref):
            found: Object | None = child.stub(kind)
        else:
            held = self.held(ref)
            found = held.object if held else None
        if not isinstance(found, kind) or (isinstance(found, Gateway) and self.foreign_class(found) is not None):
            return None
        return found

    def foreign_class(self, gateway: Gateway) -> str | None:
        """Why the Gateway is not served by Envoy Gateway; None when it is."""
        held = self.held(ObjectRef(_CLASS, "", gateway.spec.gateway_class_name))
        return _foreign_class(gateway, held, self._controller_name)

    def grants(self, namespace: str) -> tuple[ReferenceGrant, ...]:
        shelf = self._shelves.get(kind_of(ReferenceGrant), {})
        found = (held.object for ref, held in sorted(shelf.items()) if ref.namespace == namespace)
        return tuple(each for each in found if isinstance(each, ReferenceGrant))

    def policies_of(self, backend: Target) -> tuple[AnyBackendSecurityPolicy, ...]:
        found = (self.held(ref) for ref in self._policies.get(backend, ()))
        return tuple(each.object for each in found if each and isinstance(each.object, AnyBackendSecurityPolicy))

    def unread_policies_of(self, backend: Target) -> tuple[str, ...]:
        found = (self.held(ref) for ref in self._policies.get(backend, ()))
        return tuple(each.ref.name for each in found if each and each.object is None)

    def labels(self, namespace: str) -> Mapping[str, str]:
        held = self.held(ObjectRef(_NAMESPACE, "", namespace))
        labels = held.object.metadata.labels if held and held.object else {}
        return {NAME_LABEL: namespace, **labels}

    def problem(self, kind: type[Object], namespace: str, name: str) -> str | None:
        held = self.held(ObjectRef(kind_of(kind), namespace if kind.namespaced else "", name))
        if held is None:
            return None
        if held.object is None:
            return held.problem
        return self.foreign_class(held.object) if isinstance(held.object, Gateway) else None


def _foreign_class(gateway: Gateway, held: Held | None, controller_name: str) -> str | None:
    name = gateway.spec.gateway_class_name
    if held is None or not isinstance(held.object, GatewayClass):
        return f"GatewayClass {name} not found; create it or correct spec.gatewayClassName of the Gateway"
    if held.object.spec.controller_name != controller_name:
        return f"GatewayClass {name} is served by {held.object.spec.controller_name}, not by Envoy Gateway"
    return None


class Store:
    def __init__(self, controller_name: str) -> None:
        """`controller_name`: of the GatewayClasses that Envoy Gateway serves."""
        self._controller_name = controller_name
        self._shelves: dict[str, dict[ObjectRef, Held]] = {kind: {} for kind in BY_KIND}
        self._children: dict[ObjectRef, Child] = {}
        self._foreign: dict[ObjectRef, Child] = {}
        self._of_owner: dict[ObjectRef, dict[ObjectRef, None]] = {}
        self._policies: dict[Target, tuple[ObjectRef, ...]] = {}
        self._secrets: dict[ObjectRef, int] = {}
        """version of every Secret there is, whether its content is here or not"""
        self._frozen: dict[str, Mapping[ObjectRef, Held]] = {}
        self._ended: dict[str, None] = {}
        """uids of objects that are gone, oldest first"""

    # ---- asking

    def view(self) -> View:
        """Costs a copy of the kinds that changed since the last one."""
        for kind, shelf in self._shelves.items():
            if kind not in self._frozen:
                self._frozen[kind] = dict(shelf)
        return View(dict(self._frozen), dict(self._foreign), dict(self._policies), self._controller_name)

    def held(self, ref: ObjectRef) -> Held | None:
        return self._shelves.get(ref.kind, {}).get(ref)

    def gateway_problem(self, ref: ObjectRef) -> str | None:
        """Why a Gateway that is there is not used; None when it is used or not there."""
        held = self.held(ref)
        if held is None or not isinstance(held.object, Gateway):
            return held.problem if held else None
        of_class = self._shelves[_CLASS].get(ObjectRef(_CLASS, "", held.object.spec.gateway_class_name))
        return _foreign_class(held.object, of_class, self._controller_name)

    def refs(self, kind: str) -> tuple[ObjectRef, ...]:
        return tuple(self._shelves[kind])

    def policies_of(self, http_route: ObjectRef) -> Iterator[ObjectRef]:
        """Policies of Envoy Gateway's that target an HTTPRoute as a whole."""
        for kind in _POLICIES:
            for ref, held in self._shelves[kind].items():
                if http_route in _targeted(held):
                    yield ref

    def child(self, ref: ObjectRef) -> Child | None:
        return self._children.get(ref)

    def children_of(self, route: ObjectRef) -> tuple[Child, ...]:
        """What is generated for a route, whether it still exists or not."""
        return tuple(self._children[ref] for ref in self._of_owner.get(route, ()))

    def owners(self) -> tuple[ObjectRef, ...]:
        """Every route that something is generated for."""
        return tuple(self._of_owner)

    def stale_secrets(self, refs: Iterable[Key]) -> tuple[ObjectRef, ...]:
        """Those of `refs` that are Secrets whose content is not here, or old."""
        shelf = self._shelves[_SECRET]
        return tuple(
            ref
            for ref in refs
            if ref.kind == _SECRET
            and (seen := self._secrets.get(ref)) is not None
            and ((held := shelf.get(ref)) is None or held.version < seen)
        )

    def forget_secrets(self, wanted: Iterable[Key]) -> None:
        """Keeps the content of no Secret that nobody refers to."""
        shelf = self._shelves[_SECRET]
        for ref in shelf.keys() - set(wanted):
            del shelf[ref]
            self._frozen.pop(_SECRET, None)

    # ---- events

    def keep_only(
        self, watched: Watched, namespace: str | None, items: Iterable[Document], as_of: int | None = None
    ) -> Change:
        """There are no other objects of the kind (in one namespace, or None for all) than `items`, or there were none
        `as_of` that version: what is known to be newer stays."""
        change = Change()
        present = {documents.ref_of(document, watched) for document in items}
        for ref in [ref for ref in self._known(watched) if ref.kind == watched.kind and ref not in present]:
            newer = as_of is not None and self._version(watched, ref) > as_of
            if not newer and namespace in (None, ref.namespace):
                change.add(self._remove(watched, ref))
        return change

    def put(self, watched: Watched, document: Document) -> Change:
        """The object is new or has changed; older news than what is known changes nothing. The answer to a write of
        ours may be such: it can come after the watch has said that the object is gone."""
        if document["metadata"].get("uid") in self._ended:
            return Change()
        match watched.sort:
            case "child":
                return self._put_child(documents.child(document, watched))
            case "secret":
                return self._saw_secret(documents.ref_of(document, watched), documents.version(document))
            case _:
                return self._put(watched, document)

    def put_secret(self, document: Document) -> Change:
        """The content of a Secret that is referred to."""
        if document["metadata"].get("uid") in self._ended:
            return Change()
        change = self._put(BY_KIND[_SECRET], document)
        ref = documents.ref_of(document, BY_KIND[_SECRET])
        self._secrets[ref] = max(self._secrets.get(ref, 0), documents.version(document))
        return change

    def remove(self, watched: Watched, document: Document) -> Change:
        """`document` is the last state of an object that is gone."""
        if uid := document["metadata"].get("uid"):
            self._ended[uid] = None
            if len(self._ended) > ENDED:
                del self._ended[next(iter(self._ended))]
        ref = documents.ref_of(document, watched)
        if self._version(watched, ref) > documents.version(document):
            return Change()  # made anew in the meantime
        return self._remove(watched, ref)

    def gone(self, ref: ObjectRef) -> Change:
        """The API server says that the object is not there."""
        return self._remove(BY_KIND[ref.kind], ref)

    # ---- inside

    def _known(self, watched: Watched) -> Iterable[ObjectRef]:
        match watched.sort:
            case "child":
                return self._children
            case "secret":
                return self._secrets
            case _:
                return self._shelves[watched.kind]

    def _version(self, watched: Watched, ref: ObjectRef) -> int:
        if watched.sort == "child":
            child = self._children.get(ref)
            return child.version if child else 0
        if watched.sort == "secret":
            return self._secrets.get(ref, 0)
        held = self._shelves[watched.kind].get(ref)
        return held.version if held else 0

    def _put(self, watched: Watched, document: Document) -> Change:
        ref = documents.ref_of(document, watched)
        old = self._shelves[watched.kind].get(ref)
        version = documents.version(document)
        if old is not None and version < old.version:
            return Change()
        metadata = document["metadata"]
        uid = metadata.get("uid", "")
        kept = old.object if old is not None and old.uid == uid else None
        problem = None
        notes: tuple[str, ...] = ()
        try:
            read = documents.read(watched.model(document["apiVersion"]), document)
            object_: Object | None = read.object
            notes = read.notes
        except (InvalidObject, LookupError) as exc:
            object_, problem = kept, str(exc)
        except Exception as exc:
            _log.exception("%s cannot be read", ref)
            object_, problem = kept, f"cannot be read ({type(exc).__name__}); the controller's log has more"
        ours = watched.sort == "ours"
        new = Held(
            ref=ref,
            uid=uid,
            version=version,
            generation=metadata.get("generation"),
            object=kept if kept == object_ else object_,
            problem=problem,
            claims=claimed(document) if kept is None and object_ is None else (),
            notes=notes,
            conditions=documents.conditions(document) if ours else (),
            finalizers=tuple(metadata.get("finalizers") or ()),
            deleting="deletionTimestamp" in metadata,
        )
        self._shelves[watched.kind][ref] = new
        self._frozen.pop(watched.kind, None)
        change = Change()
        if (
            old is None
            or old.object is not new.object
            or (old.problem, old.notes, old.uid, old.generation) != (new.problem, new.notes, new.uid, new.generation)
        ):
            change.keys = self._keys(old, new)
        for each in (old, new):
            change.checks |= self._owners_of(_targeted(each))
        if ours and (
            old is None
            or (old.generation, old.conditions, old.finalizers, old.deleting, old.uid)
            != (new.generation, new.conditions, new.finalizers, new.deleting, new.uid)
        ):
            change.checks.add(ref)
        return change

    def _put_child(self, child: Child) -> Change:
        old = self._children.get(child.ref)
        if old is not None and child.version < old.version:
            return Change()
        self._drop_child(child.ref)
        self._children[child.ref] = child
        if child.owner is not None:
            self._of_owner.setdefault(child.owner, {})[child.ref] = None
        if child.foreign:
            self._foreign[child.ref] = child
        return _change_of_child(old, child)

    def _saw_secret(self, ref: ObjectRef, version: int) -> Change:
        if version <= self._secrets.get(ref, -1):
            return Change()
        self._secrets[ref] = version
        return Change(keys={ref})

    def _remove(self, watched: Watched, ref: ObjectRef) -> Change:
        match watched.sort:
            case "child":
                old = self._children.get(ref)
                self._drop_child(ref)
                return _change_of_child(old, None)
            case "secret":
                self._secrets.pop(ref, None)
                self._shelves[_SECRET].pop(ref, None)
                self._frozen.pop(_SECRET, None)
                return Change(keys={ref})
            case _:
                held = self._shelves[watched.kind].pop(ref, None)
                if held is None:
                    return Change()
                self._frozen.pop(watched.kind, None)
                checks = {ref} if watched.sort == "ours" else self._owners_of(_targeted(held))
                return Change(keys=self._keys(held, None), checks=checks)

    def _owners_of(self, http_routes: Iterable[ObjectRef]) -> set[ObjectRef]:
        children = (self._children.get(ref) for ref in http_routes)
        return {child.owner for child in children if child is not None and child.owner is not None}

    def _drop_child(self, ref: ObjectRef) -> None:
        old = self._children.pop(ref, None)
        self._foreign.pop(ref, None)
        if old is not None and old.owner is not None:
            siblings = self._of_owner[old.owner]
            del siblings[ref]
            if not siblings:
                del self._of_owner[old.owner]

    def _keys(self, old: Held | None, new: Held | None) -> set[Key]:
        """The questions that the object's change gives new answers to."""
        one = old or new
        assert one is not None
        keys = {one.ref}
        for held in (old, new):
            match held.object if held else None:
                case ReferenceGrant():
                    keys.add(grants_key(one.ref.namespace))
                case AnyBackendSecurityPolicy() as policy:
                    keys |= {policies_key(target) for target in targets(policy)}
                case GatewayClass():
                    keys |= self._gateways_of_class(one.ref.name)
                case None if held is not None:
                    keys |= {policies_key(target) for target in held.claims}
                case _:
                    pass
        if one.ref.kind == "BackendSecurityPolicy":
            self._index_policy(old, new)
        return keys

    def _gateways_of_class(self, name: str) -> set[Key]:
        return {
            ref
            for ref, held in self._shelves[_GATEWAY].items()
            if isinstance(held.object, Gateway) and held.object.spec.gateway_class_name == name
        }

    def _index_policy(self, old: Held | None, new: Held | None) -> None:
        for held, present in ((old, False), (new, True)):
            if held is None:
                continue
            policy = held.object
            for target in targets(policy) if isinstance(policy, AnyBackendSecurityPolicy) else held.claims:
                others = {ref for ref in self._policies.get(target, ()) if ref != held.ref}
                self._policies[target] = tuple(sorted(others | ({held.ref} if present else set())))
                if not self._policies[target]:
                    del self._policies[target]


def _targeted(policy: Held | None) -> tuple[ObjectRef, ...]:
    """The HTTPRoutes that a policy of Envoy Gateway's targets as a whole; none for other objects."""
    found = policy.object if policy else None
    if not isinstance(found, TargetingPolicy):
        return ()
    return tuple(
        ObjectRef("HTTPRoute", found.namespace, target.name)
        for target in found.targets()
        if (target.group, target.kind, target.section_name) == (GATEWAY_API, "HTTPRoute", None)
    )


def _change_of_child(old: Child | None, new: Child | None) -> Change:
    """The compiler asks only whether a name is somebody else's; the writer, about everything in our own."""
    one = new or old
    if one is None:
        return Change()
    change = Change()
    if (old is not None and old.foreign) != (new is not None and new.foreign):
        change.keys.add(one.ref)
    change.checks = {child.owner for child in (old, new) if child is not None and child.owner is not None}
    if old is not None and new is not None and old.content == new.content:
        change.checks = set()
    return change
