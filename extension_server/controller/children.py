"""Generated objects against stored ones: what has to be written. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import ref_of
from extension_server.controller.client import Document
from extension_server.controller.documents import Child, Content
from extension_server.controller.world import Part


def wanted(part: Part | None) -> dict[ObjectRef, Document]:
    """What must exist for a route: nothing where it was not compiled, or has no spec."""
    if part is None or part.route is None:
        return {}
    return {ref_of(each): each.dump() for each in part.route.generated.objects()}


def differs(document: Document, stored: Content | None) -> bool:
    """Whether applying `document` would change the stored object."""
    if stored is None:
        return True
    metadata = document["metadata"]
    maps: dict[str, Mapping[str, str]] = {part: metadata.get(part, {}) for part in ("labels", "annotations")}
    have = {"labels": stored.labels, "annotations": stored.annotations}
    if any(have[part].get(name) != text for part, texts in maps.items() for name, text in texts.items()):
        return True
    if any(name not in maps[part] for part, name in stored.ours):
        return True
    if any(owner not in stored.owners for owner in metadata.get("ownerReferences", ())):
        return True
    return bool(document["spec"] != stored.spec)


def removals(wanted_: Mapping[str, Any], stored: Mapping[str, Any]) -> Document:
    """The merge patch that takes out of `stored` what is not in `wanted_`. Applying cannot: it leaves alone what
    somebody else put there."""
    patch: Document = {}
    for name, member in stored.items():
        if name not in wanted_:
            patch[name] = None
        elif (
            isinstance(member, Mapping)
            and isinstance(wanted_[name], Mapping)
            and (inner := removals(wanted_[name], member))
        ):
            patch[name] = inner
    return patch


def surplus(present: Iterable[Child], expected: Iterable[ObjectRef]) -> tuple[Child, ...]:
    """Generated objects that nothing asks for any more."""
    keep = set(expected)
    return tuple(child for child in present if child.ref not in keep)
