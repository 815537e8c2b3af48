"""Documents of the API server → what the store holds of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from extension_server.api import base, gateway
from extension_server.api.base import InvalidObject, Model, Object, ObjectMeta, OwnerReference
from extension_server.compile import route
from extension_server.compile.result import ObjectRef
from extension_server.controller.client import FIELD_MANAGER, Document
from extension_server.controller.kinds import Watched

T = TypeVar("T", bound=Object)

_OWNER: Final = "AIGatewayRoute"
_SERVED_PROTOCOLS: Final = ("HTTP", "HTTPS")
_VOLATILE: Final = ("resourceVersion", "generation", "managedFields", "selfLink", "generateName")
"""members of metadata that change without the object meaning anything else"""


def ref_of(document: Document, watched: Watched) -> ObjectRef:
    metadata = document["metadata"]
    return ObjectRef(watched.kind, metadata.get("namespace", "") if watched.namespaced else "", metadata["name"])


def version(document: Document) -> int:
    """The resource version as a number (Kubernetes' promise since 1.35, and etcd's before)."""
    text = str(document["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


def conditions(document: Document) -> tuple[Mapping[str, Any], ...]:
    return tuple((document.get("status") or {}).get("conditions") or ())


@dataclass(frozen=True, slots=True)
class Read:
    object: Object
    notes: tuple[str, ...] = ()
    """parts that could not be read and count as not there, each with the reason"""


def read(model: type[Object], document: Document) -> Read:
    """Members that the model does not know are left out: they are Envoy Gateway's to serve, or of another release. Of
    objects that are not ours, so is everything that we do not need, and every part that cannot be read.

    Raises InvalidObject.
    """
    metadata = {name: member for name, member in document["metadata"].items() if name not in _VOLATILE}
    wanted = {**document, "metadata": metadata}
    notes: list[str] = []
    spec = document.get("spec")
    if (needed := _NEEDED.get(document["kind"])) is not None and isinstance(spec, Mapping):
        wanted["spec"] = {
            name: _readable(name, member, needed[name], notes) for name, member in spec.items() if name in needed
        }
    return Read(base.parse_stored(model, wanted), tuple(notes))


_TARGETS: Final[Mapping[str, type[Model] | None]] = {"targetRef": None, "targetRefs": gateway.PolicyTargetReference}
_NEEDED: Final[Mapping[str, Mapping[str, type[Model] | None]]] = {
    "GatewayClass": {"controllerName": None},
    "Gateway": {"gatewayClassName": None, "listeners": gateway.Listener},
    "ReferenceGrant": {"from": gateway.GrantFrom, "to": gateway.GrantTo},
    "Backend": {"type": None, "endpoints": None},
    "BackendTrafficPolicy": _TARGETS,
    "SecurityPolicy": _TARGETS,
    "EnvoyExtensionPolicy": _TARGETS,
}
"""Kind → members of its spec that the compiler looks at; of a list with a model, only members that this one reads."""
_UNREAD: Final[Mapping[str, tuple[str, ...]]] = {"listeners": ("tls",)}
"""Members of such members that nobody looks at."""


def _readable(name: str, members: Any, model: type[Model] | None, notes: list[str]) -> Any:
    if model is None or not isinstance(members, list):
        return members
    found = []
    for index, member in enumerate(members):
        if name == "listeners" and isinstance(member, Mapping):
            if member.get("protocol") not in _SERVED_PROTOCOLS:
                continue
            member = {key: each for key, each in member.items() if key not in _UNREAD[name]}
        try:
            base.parse_part(model, member)
        except InvalidObject as exc:
            called = f" ({member['name']})" if isinstance(member, Mapping) and "name" in member else ""
            notes.append(f"spec.{name}[{index}]{called} is left out, it cannot be read: {exc}")
        else:
            found.append(member)
    return found


@dataclass(frozen=True, slots=True)
class Content:
    """What an applied document may say, as stored."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    ours: frozenset[tuple[str, str]]
    """(`labels` or `annotations`, name) of those that we applied"""
    owners: tuple[Mapping[str, Any], ...]
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One object of a kind that we generate; of the user's own, the content is not kept."""

    ref: ObjectRef
    uid: str
    version: int
    owner: ObjectRef | None
    """the AIGatewayRoute that controls it"""
    foreign: bool
    content: Content | None

    def stub(self, kind: type[T]) -> T:
        """The object as far as `route.is_foreign` looks at it."""
        metadata = ObjectMeta(name=self.ref.name, namespace=self.ref.namespace)
        return kind.model_construct(metadata=metadata)


def child(document: Document, watched: Watched) -> Child:
    metadata = document["metadata"]
    ref = ref_of(document, watched)
    owners = tuple(metadata.get("ownerReferences") or ())
    annotations = metadata.get("annotations") or {}
    looks = ObjectMeta.model_construct(
        name=ref.name,
        namespace=ref.namespace,
        annotations=annotations,
        owner_references=tuple(
            OwnerReference.model_construct(
                api_version=each["apiVersion"], kind=each["kind"], name=each["name"], controller=each.get("controller")
            )
            for each in owners
        ),
    )
    foreign = route.is_foreign(watched.models[0].model_construct(metadata=looks))
    owner = next((each["name"] for each in owners if each.get("controller")), None) if not foreign else None
    return Child(
        ref=ref,
        uid=metadata.get("uid", ""),
        version=version(document),
        owner=ObjectRef(_OWNER, ref.namespace, owner) if owner else None,
        foreign=foreign,
        content=None
        if foreign
        else Content(
            labels=metadata.get("labels") or {},
            annotations=annotations,
            ours=frozenset(_applied(metadata.get("managedFields") or ())),
            owners=owners,
            spec=document.get("spec") or {},
        ),
    )


def _applied(managers: tuple[Mapping[str, Any], ...]) -> list[tuple[str, str]]:
    """Labels and annotations that our server-side apply owns."""
    found = []
    for manager in managers:
        if manager.get("manager") == FIELD_MANAGER and manager.get("operation") == "Apply":
            fields = manager.get("fieldsV1", {}).get("f:metadata", {})
            for part in ("labels", "annotations"):
                found += [(part, name[2:]) for name in fields.get(f"f:{part}", {}) if name.startswith("f:")]
    return found
