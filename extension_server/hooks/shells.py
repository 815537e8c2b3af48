"""Envoy's resources opened only as far as the hooks look into them; the rest stays bytes, in its order.

A shell is a message type with a few of the real one's fields. What it does not name is kept as unknown fields and
written back; sub-messages declared as `bytes` are handed through as they came. Opening 2,000 routes so costs a tenth of
decoding them.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from extension_server.xds import pool, route_table

Message = Any
"""one protobuf message; classes are made at run time"""

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {"string": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES, "uint32": _FIELD.TYPE_UINT32}
_PACKAGE: Final = "aigw.shells"

_TYPES: Final = {
    "RouteConfiguration": (("name", 1, "string"), ("virtual_hosts", 2, "VirtualHost*")),
    "VirtualHost": (("routes", 3, "bytes*"), ("matcher", 21, "bytes")),
    "Route": (("name", 14, "string"),),
    "Cluster": (("name", 1, "string"), ("load_assignment", 33, "ClusterLoadAssignment")),
    "ClusterLoadAssignment": (("endpoints", 2, "LocalityLbEndpoints*"),),
    "LocalityLbEndpoints": (("locality", 1, "Locality"), ("lb_endpoints", 2, "bytes*"), ("priority", 5, "uint32")),
    "Locality": (("region", 1, "string"),),
}
"""Type → (field, number, type; `*`: repeated). Names and numbers are Envoy's."""


@functools.cache
def shell(name: str) -> Message:
    """The class of a shell."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


class RouteTable:
    """A RouteConfiguration, opened down to its routes."""

    def __init__(self, raw: bytes) -> None:
        """Raises DecodeError."""
        self.raw = raw
        self._shell = shell("RouteConfiguration").FromString(raw)
        self.name = str(self._shell.name)
        self._hosts = [[*host.routes] for host in self._shell.virtual_hosts]
        self._changed = self._by_token = False

    def __iter__(self) -> Iterator[bytes]:
        """Every route, the last one first: a fallback is found soon."""
        for routes in self._hosts:
            yield from reversed(routes)

    def rewrite(self, change: Callable[[bytes], bytes]) -> None:
        """Replaces every route by what `change` makes of it."""
        for host, routes in enumerate(self._hosts):
            changed = [change(route) for route in routes]
            if changed != routes:
                self._hosts[host] = changed
                self._changed = True

    def fold(self) -> None:
        """Has Envoy find routes by their token (`xds.route_table`)."""
        self._by_token = self._changed = True

    def without_routes(self) -> bytes:
        """The RouteConfiguration with its virtual hosts, but no route in them."""
        bare = shell("RouteConfiguration")()
        bare.CopyFrom(self._shell)
        for host in bare.virtual_hosts:
            del host.routes[:]
        return bytes(bare.SerializeToString())

    def encode(self) -> bytes:
        """`raw` itself when nothing was replaced or folded."""
        if not self._changed:
            return self.raw
        for host, routes in zip(self._shell.virtual_hosts, self._hosts, strict=True):
            del host.routes[:]
            if self._by_token and (tree := route_table.folded(routes)) is not None:
                host.matcher = pool.serialized(tree)
            else:
                host.routes.extend(routes)
        return bytes(self._shell.SerializeToString(deterministic=True))


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="aigw/shells.proto", package=_PACKAGE, syntax="proto3")
    for type_, fields in _TYPES.items():
        declared = file.message_type.add(name=type_)
        for name, number, of in fields:
            label = _FIELD.LABEL_REPEATED if of.endswith("*") else _FIELD.LABEL_OPTIONAL
            scalar = _SCALARS.get(of.rstrip("*"))
            if scalar is not None:
                declared.field.add(name=name, number=number, type=scalar, label=label)
            else:
                full = f".{_PACKAGE}.{of.rstrip('*')}"
                declared.field.add(name=name, number=number, type=_FIELD.TYPE_MESSAGE, label=label, type_name=full)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
