"""Envoy Gateway's hook messages, with every xDS resource as bytes (xDS chapter §1.4).

A `bytes` field has the wire format of a message field. So what nobody patches is never decoded and goes back bit for
bit, and a newer Envoy Gateway's fields that we do not know survive. Answers of PostTranslateModify are numbered one
lower than its request. The types live in a descriptor pool of their own; nothing is registered globally.
"""

import functools
from collections.abc import Iterable
from typing import Any, Final, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from extension_server.xds import wire

Method = Literal[
    "PostRouteModify",
    "PostVirtualHostModify",
    "PostHTTPListenerModify",
    "PostClusterModify",
    "PostEndpointsModify",
    "PostTranslateModify",
]
Message = Any
"""one protobuf message; classes are made at run time"""

SERVICE: Final = "envoygateway.extension.EnvoyGatewayExtension"

RESOURCE: Final = "resource"
"""Our name for field 1 of the hooks that carry one resource, in request and answer; contexts (field 2) stay unread."""
TRANSLATION: Final = {"clusters": 2, "secrets": 3, "listeners": 4, "routes": 5}
"""Repeated fields of PostTranslateModifyRequest."""
ANSWERED: Final = {name: number - 1 for name, number in TRANSLATION.items()}
"""The same of its answer."""

_PACKAGE: Final = "envoygateway.extension"
_SINGLE: Final[tuple[Method, ...]] = (
    "PostRouteModify",
    "PostVirtualHostModify",
    "PostHTTPListenerModify",
    "PostClusterModify",
    "PostEndpointsModify",
)
METHODS: Final[tuple[Method, ...]] = (*_SINGLE, "PostTranslateModify")

_FIELD: Final = descriptor_pb2.FieldDescriptorProto


def request(method: Method) -> Message:
    """The class of a request."""
    return _class(f"{method}Request")


def response(method: Method) -> Message:
    """The class of an answer."""
    return _class(f"{method}Response")


def translated(
    clusters: wire.Pieces, secrets: Iterable[bytes], listeners: Iterable[bytes], routes: Iterable[wire.Pieces]
) -> bytes:
    """A PostTranslateModifyResponse, serialized. It may be large, and its parts are there already: `clusters` as fields
    of it, and `routes` are turned into such."""
    answer = wire.Pieces()
    answer.extend(clusters)
    for name, values in (("secrets", secrets), ("listeners", listeners)):
        answer.fields(ANSWERED[name], values)
    for each in routes:
        answer.extend(each.inside(ANSWERED["routes"]))
    return bytes(answer)


def clusters(values: Iterable[bytes]) -> wire.Pieces:
    """Clusters as fields of a PostTranslateModifyResponse."""
    fields = wire.Pieces()
    fields.fields(ANSWERED["clusters"], values)
    return fields


def clusters_of(fields: wire.Pieces) -> list[bytes]:
    """The clusters that `clusters` was called with."""
    return [*response("PostTranslateModify").FromString(bytes(fields)).clusters]


@functools.cache
def _class(name: str) -> Message:
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="aigw/hooks.proto", package=_PACKAGE, syntax="proto3")
    for method in _SINGLE:
        for suffix in ("Request", "Response"):
            declared = file.message_type.add(name=method + suffix)
            # proto3_optional: a request without a resource is told from one with an empty resource.
            declared.field.add(
                name=RESOURCE,
                number=1,
                type=_FIELD.TYPE_BYTES,
                label=_FIELD.LABEL_OPTIONAL,
                proto3_optional=True,
                oneof_index=0,
            )
            declared.oneof_decl.add(name=f"_{RESOURCE}")
    for suffix, numbers in (("Request", TRANSLATION), ("Response", ANSWERED)):
        declared = file.message_type.add(name=f"PostTranslateModify{suffix}")
        for field, number in numbers.items():
            declared.field.add(name=field, number=number, type=_FIELD.TYPE_BYTES, label=_FIELD.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
