"""The resources of one moment: frozen, indexed by kind, namespace and name, always in the same order.

Built by the file loader and by the controller's store; read by everything that compiles or patches. A snapshot never
changes: a new state of the world is a new snapshot.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from extension_server.api import aigateway
from extension_server.api.aigateway import AnyBackendSecurityPolicy
from extension_server.api.base import Object
from extension_server.api.gateway import ReferenceGrant
from extension_server.compile.result import ObjectRef
from extension_server.compile.selectors import NAME_LABEL

T = TypeVar("T", bound=Object)
Target = tuple[str, str]
"""namespace and name of an AIServiceBackend"""


class Resources(Protocol):
    """What compiling one object may ask. Few questions, so that a caller can note which were asked (`reads.py`)."""

    def get(self, kind: type[T], namespace: str, name: str) -> T | None:
        """The object of that kind and name, or None."""

    def grants(self, namespace: str) -> tuple[ReferenceGrant, ...]:
        """The ReferenceGrants of one namespace, by name."""

    def policies_of(self, backend: Target) -> tuple[AnyBackendSecurityPolicy, ...]:
        """The BackendSecurityPolicies that target an AIServiceBackend, by name."""

    def unread_policies_of(self, backend: Target) -> tuple[str, ...]:
        """Names of those that target it and cannot be read: nobody knows which credential it is to have."""

    def labels(self, namespace: str) -> Mapping[str, str]:
        """Labels of a namespace."""

    def problem(self, kind: type[Object], namespace: str, name: str) -> str | None:
        """Why an object that exists cannot be used at all (`get` gives None then); None when there is no such."""


def ref_of(object_: Object) -> ObjectRef:
    return ObjectRef(object_.kind, object_.namespace, object_.metadata.name)


class DuplicateObject(ValueError):
    """Two objects of one kind, namespace and name."""

    def __init__(self, ref: ObjectRef) -> None:
        super().__init__(f"{ref} is defined twice")
        self.ref = ref


@dataclass(frozen=True, slots=True, init=False)
class Snapshot:
    """`Snapshot(objects)`: the order of the objects does not matter. `problems`: objects that are there and cannot be
    used, with the reason. `unread`: those documents, as far as there are any. Raises DuplicateObject."""

    _by_ref: MappingProxyType[ObjectRef, Object]
    _by_kind: MappingProxyType[str, tuple[Object, ...]]
    _policies: MappingProxyType[Target, tuple[AnyBackendSecurityPolicy, ...]]
    _unread: MappingProxyType[Target, tuple[str, ...]]
    problems: Mapping[ObjectRef, str]

    def __init__(
        self,
        objects: Iterable[Object] = (),
        problems: Mapping[ObjectRef, str] | None = None,
        unread: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        by_ref: dict[ObjectRef, Object] = {}
        for object_ in objects:
            ref = ref_of(object_)
            if ref in by_ref:
                raise DuplicateObject(ref)
            by_ref[ref] = object_
        by_kind: dict[str, list[Object]] = {}
        for ref in sorted(by_ref):
            by_kind.setdefault(ref.kind, []).append(by_ref[ref])
        object.__setattr__(self, "_by_ref", MappingProxyType({ref: by_ref[ref] for ref in sorted(by_ref)}))
        object.__setattr__(
            self, "_by_kind", MappingProxyType({kind: tuple(members) for kind, members in by_kind.items()})
        )
        object.__setattr__(self, "_policies", MappingProxyType(policies_by_target(self.all(AnyBackendSecurityPolicy))))
        object.__setattr__(self, "_unread", MappingProxyType(_by_claim(unread)))
        object.__setattr__(self, "problems", MappingProxyType(dict(problems or {})))

    def get(self, kind: type[T], namespace: str, name: str) -> T | None:
        """The object of that kind and name, or None."""
        found = self._by_ref.get(ObjectRef(kind_of(kind), namespace if kind.namespaced else "", name))
        return found if isinstance(found, kind) else None

    def all(self, kind: type[T]) -> tuple[T, ...]:
        """Every object of that kind, by namespace and name."""
        return tuple(found for found in self._by_kind.get(kind_of(kind), ()) if isinstance(found, kind))

    def grants(self, namespace: str) -> tuple[ReferenceGrant, ...]:
        return tuple(grant for grant in self.all(ReferenceGrant) if grant.namespace == namespace)

    def policies_of(self, backend: Target) -> tuple[AnyBackendSecurityPolicy, ...]:
        return self._policies.get(backend, ())

    def unread_policies_of(self, backend: Target) -> tuple[str, ...]:
        return self._unread.get(backend, ())

    def labels(self, namespace: str) -> Mapping[str, str]:
        """Namespaces are not objects of a file: each has the one label that it has everywhere."""
        return {NAME_LABEL: namespace}

    def problem(self, kind: type[Object], namespace: str, name: str) -> str | None:
        return self.problems.get(ObjectRef(kind_of(kind), namespace if kind.namespaced else "", name))

    def __iter__(self) -> Iterator[Object]:
        return iter(self._by_ref.values())

    def __len__(self) -> int:
        return len(self._by_ref)

    def with_objects(self, objects: Iterable[Object]) -> "Snapshot":
        """This snapshot and `objects` besides. Raises DuplicateObject."""
        return self.of((*self, *objects))

    def of(self, objects: Iterable[Object]) -> "Snapshot":
        """`objects` instead, beside what cannot be used. Raises DuplicateObject."""
        made = Snapshot(objects, self.problems)
        object.__setattr__(made, "_unread", self._unread)
        return made


def targets(policy: AnyBackendSecurityPolicy) -> tuple[Target, ...]:
    """The AIServiceBackends that a policy targets, each once."""
    references = policy.spec.target_refs if policy.spec else ()
    ours = (each for each in references if (each.group, each.kind) == (aigateway.GROUP, "AIServiceBackend"))
    return tuple(dict.fromkeys((policy.namespace, each.name) for each in ours))


def claimed(document: Mapping[str, Any]) -> tuple[Target, ...]:
    """The same of a BackendSecurityPolicy that cannot be read, as far as its targetRefs can be."""
    match document:
        case {
            "kind": "BackendSecurityPolicy",
            "metadata": Mapping() as metadata,
            "spec": {"targetRefs": [*references]},
        }:
            namespace = str(metadata.get("namespace") or "default")
            wanted = {"group": aigateway.GROUP, "kind": "AIServiceBackend"}
            names = (
                each.get("name")
                for each in references
                if isinstance(each, Mapping) and wanted.items() <= {**each}.items()
            )
            return tuple(dict.fromkeys((namespace, name) for name in names if isinstance(name, str)))
    return ()


def _by_claim(documents: Iterable[Mapping[str, Any]]) -> dict[Target, tuple[str, ...]]:
    found: dict[Target, set[str]] = {}
    for document in documents:
        for target in claimed(document):
            found.setdefault(target, set()).add(str(document["metadata"].get("name")))
    return {target: tuple(sorted(each)) for target, each in found.items()}


def policies_by_target(
    policies: Iterable[AnyBackendSecurityPolicy],
) -> Mapping[Target, tuple[AnyBackendSecurityPolicy, ...]]:
    """Each AIServiceBackend that some policy targets → these policies, in their order."""
    found: dict[Target, list[AnyBackendSecurityPolicy]] = {}
    for policy in policies:
        for target in targets(policy):
            found.setdefault(target, []).append(policy)
    return {target: tuple(each) for target, each in found.items()}


def kind_of(model: type[Object]) -> str:
    kind: str = model.model_fields["kind"].default
    return kind
