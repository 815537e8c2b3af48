"""Envoy's resources opened only as far as the hooks look into them; the rest stays bytes, in its order.

A shell is a message type with a few of the real one's fields. What it does not name is kept as unknown fields and
written back; sub-messages declared as `bytes` are handed through as they came. Opening 2,000 routes so costs a tenth of
decoding them.
"""

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from extension_server.hooks.transition import Entry
from extension_server.xds import route_table, wire

Message = Any
"""one protobuf message; classes are made at run time"""

_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {"string": _FIELD.TYPE_STRING, "bytes": _FIELD.TYPE_BYTES, "uint32": _FIELD.TYPE_UINT32}
_PACKAGE: Final = "aigw.shells"

_HOSTS: Final = 2
_ROUTES: Final = 3
_MATCHER: Final = 21
_TYPES: Final = {
    "RouteConfiguration": (("name", 1, "string"), ("virtual_hosts", _HOSTS, "VirtualHost*")),
    "VirtualHost": (("name", 1, "string"), ("routes", _ROUTES, "bytes*"), ("matcher", _MATCHER, "bytes")),
    "Route": (("name", 14, "string"), ("route", 2, "RouteAction")),
    "RouteAction": (("cluster", 1, "string"), ("weighted_clusters", 3, "WeightedCluster")),
    "WeightedCluster": (("clusters", 1, "ClusterWeight*"),),
    "ClusterWeight": (("name", 1, "string"),),
    "Cluster": (
        ("name", 1, "string"),
        ("alt_stat_name", 28, "string"),
        ("load_assignment", 33, "ClusterLoadAssignment"),
    ),
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


@dataclass(frozen=True, slots=True)
class Routed:
    """A route, and the token that it demands."""

    raw: bytes
    token: str | None
    entry: Entry | None = None
    """of the route alone, if somebody has it"""
    clusters: tuple[str, ...] = ()
    """that it leads to"""
    origin: Literal["rule", "last", "bare", "user"] = "rule"
    """an AI rule's, a generated last one, one that lacks its addition, a user's own"""


def _untold(others: Sequence[Routed], addition: bytes, own: Callable[[bytes], bytes]) -> list[bytes]:
    """Routes without a token."""
    if not any(each.origin == "user" for each in others):
        return [each.raw + addition if each.origin == "bare" else each.raw for each in others]
    narrowed = own(addition) if addition else b""
    return [
        each.raw + narrowed if each.origin == "bare" else own(each.raw) if each.origin == "last" else each.raw
        for each in others
    ]


def _entry(token: str, same: Sequence[Routed]) -> Entry:
    """Of routes with the same token."""
    clusters = tuple(name for each in same for name in each.clusters)
    return Entry(route_table.entry(token, [each.raw for each in same]), clusters)


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
        self._trees: list[wire.Pieces | None] = [None] * len(self._hosts)
        """matcher that takes the place of a host's routes"""

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

    def fold(
        self,
        routed: Sequence[Sequence[Routed]],
        addition: bytes,
        keep: Callable[[str, Collection[str]], Mapping[str, Entry]],
        own: Callable[[bytes], bytes],
    ) -> dict[str, dict[str, Entry]]:
        """Puts `routed` in the place of each host's routes, and has Envoy find them by their token (`xds.route_table`).
        `addition`: appended to `bare` ones. `keep(host, tokens)`: routes to have besides those with these tokens.
        `own`: makes a last route one that stands beside routes of users (`xds.precedence`). Returns, for each virtual
        host, what it holds for each token, without those that are kept."""
        found = {}
        for host, (name, _) in enumerate(self.hosts()):
            first: dict[str, Routed] = {}
            several: dict[str, list[Routed]] = {}
            others: list[Routed] = []
            for each in routed[host]:
                token = each.token
                if token is None:
                    others.append(each)
                elif token in first:
                    several.setdefault(token, [first[token]]).append(each)
                else:
                    first[token] = each
            untold = self._hosts[host] = _untold(others, addition, own)
            entries = found[name] = {token: each.entry or _entry(token, [each]) for token, each in first.items()}
            entries |= {token: _entry(token, same) for token, same in several.items()}
            if kept := keep(name, entries):
                entries = {**kept, **entries}
            if entries:
                ordered = [entries[token].raw for token in sorted(entries)]
                self._trees[host] = route_table.tree(ordered, untold)
        self._changed = True
        return found

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
        for bare, routes, tree in zip(self._bare.virtual_hosts, self._hosts, self._trees, strict=True):
            if tree is not None:
                bare.ClearField("matcher")
            host = wire.Pieces(bytes(bare.SerializeToString(deterministic=True)))
            if tree is None:
                host.fields(_ROUTES, routes)
            else:
                host.extend(tree.inside(_MATCHER))
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
