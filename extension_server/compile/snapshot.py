"""The resources of one moment: frozen, indexed by kind, namespace and name, always in the same order.

Built by the file loader and by the controller's store; read by everything that compiles or patches. A snapshot never
changes: a new state of the world is a new snapshot.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from extension_server.api.base import Object
from extension_server.compile.result import ObjectRef

T = TypeVar("T", bound=Object)


def ref_of(object_: Object) -> ObjectRef:
    return ObjectRef(object_.kind, object_.namespace, object_.metadata.name)


class DuplicateObject(ValueError):
    """Two objects of one kind, namespace and name."""

    def __init__(self, ref: ObjectRef) -> None:
        super().__init__(f"{ref} is defined twice")
        self.ref = ref


@dataclass(frozen=True, slots=True, init=False)
class Snapshot:
    """`Snapshot(objects)`: the order of the objects does not matter. Raises DuplicateObject."""

    _by_ref: MappingProxyType[ObjectRef, Object]
    _by_kind: MappingProxyType[str, tuple[Object, ...]]

    def __init__(self, objects: Iterable[Object] = ()) -> None:
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

    def get(self, kind: type[T], namespace: str, name: str) -> T | None:
        """The object of that kind and name, or None."""
        found = self._by_ref.get(ObjectRef(_kind(kind), namespace if kind.namespaced else "", name))
        return found if isinstance(found, kind) else None

    def all(self, kind: type[T]) -> tuple[T, ...]:
        """Every object of that kind, by namespace and name."""
        return tuple(found for found in self._by_kind.get(_kind(kind), ()) if isinstance(found, kind))

    def __iter__(self) -> Iterator[Object]:
        return iter(self._by_ref.values())

    def __len__(self) -> int:
        return len(self._by_ref)

    def with_objects(self, objects: Iterable[Object]) -> "Snapshot":
        """This snapshot and `objects` besides. Raises DuplicateObject."""
        return Snapshot((*self, *objects))


def _kind(model: type[Object]) -> str:
    kind: str = model.model_fields["kind"].default
    return kind
