"""Envoy's resources opened only as far as the hooks look into them; the rest stays bytes, in its order.

A shell is a message type with a few of the real one's fields. What it does not name is kept as unknown fields and
written back; sub-messages declared as `bytes` are handed through as they came. Opening 2,000 routes so costs a tenth of
decoding them.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from extension_server.xds import wire

Message = Any
"""one protobuf message; classes are made at run time"""

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {"string": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES, "uint32": _FIELD.TYPE_UINT32}
_PACKAGE: Final = "aigw.shells"

_HOSTS: Final = 2
ROUTES: Final = 3
"""of a virtual host"""
_MATCHER: Final = 21
_TYPES: Final = {
    "RouteConfiguration": (("name", 1, "string"), ("virtual_hosts", _HOSTS, "VirtualHost*")),
    "VirtualHost": (("name", 1, "string"), ("routes", ROUTES, "bytes*"), ("matcher", _MATCHER, "bytes")),
    "Route": (("name", 14, "string"), ("route", 2, "RouteAction")),
    "RouteAction": (("cluster", 1, "string"), ("weighted_clusters", 3, "WeightedCluster")),
    "WeightedCluster": (("clusters", 1, "ClusterWeight*"),),
    "ClusterWeight": (("name", 1, "string"),),
    "Cluster": (
        ("name", 1, "string"),
        ("eds_cluster_config", 3, "EdsClusterConfig"),
        ("alt_stat_name", 28, "string"),
        ("load_assignment", 33, "ClusterLoadAssignment"),
    ),
    "EdsClusterConfig": (("service_name", 2, "string"),),
    "ClusterLoadAssignment": (("endpoints", 2, "LocalityLbEndpoints*"),),
    "LocalityLbEndpoints": (("locality", 1, "Locality"), ("lb_endpoints", 2, "bytes*"), ("priority", 5, "uint32")),
    "Locality": (("region", 1, "string"),),
    "LbEndpoint": (("endpoint", 1, "Endpoint"),),
    "Endpoint": (("address", 1, "bytes"), ("hostname", 3, "string")),
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
        self._bare = shell("RouteConfiguration").FromString(raw)
        self.name = str(self._bare.name)
        self._hosts = [[*host.routes] for host in self._bare.virtual_hosts]
        for host in self._bare.virtual_hosts:
            del host.routes[:]
        self._changed = False
        self._bodies: list[wire.Pieces | None] = [None] * len(self._hosts)
        """fields that take the place of a host's routes and matcher"""

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

    def hosts(self) -> Iterator[tuple[str, list[bytes]]]:
        """Each virtual host's name and routes."""
        for host, routes in zip(self._bare.virtual_hosts, self._hosts, strict=True):
            yield str(host.name), routes

    def match(self, host: int, matcher: wire.Pieces) -> None:
        """Puts a matcher in the place of a host's routes."""
        self._bodies[host] = matcher.inside(_MATCHER)
        self._changed = True

    def list(self, host: int, routes: wire.Pieces) -> None:
        """Replaces a host's routes by others, each a field `ROUTES` of it."""
        self._bodies[host] = routes
        self._changed = True

    def without_routes(self) -> bytes:
        """The RouteConfiguration with its virtual hosts, but no route in them."""
        return bytes(self._bare.SerializeToString())

    def encode(self) -> wire.Pieces:
        """`raw` itself when nothing was replaced or folded. Once."""
        if not self._changed:
            return wire.Pieces(self.raw)
        head = shell("RouteConfiguration")()
        head.CopyFrom(self._bare)
        head.ClearField("virtual_hosts")
        encoded = wire.Pieces(bytes(head.SerializeToString(deterministic=True)))
        for bare, routes, body in zip(self._bare.virtual_hosts, self._hosts, self._bodies, strict=True):
            if body is not None and bare.matcher:
                bare.ClearField("matcher")
            host = wire.Pieces(bytes(bare.SerializeToString(deterministic=True)))
            if body is None:
                host.fields(ROUTES, routes)
            else:
                host.extend(body)
            encoded.extend(host.inside(_HOSTS))
        return encoded


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
