"""Envoy's message types, in a descriptor pool of our own: nothing is registered globally, no other package can clash.

Used by the patches, by standalone's base xDS and by the hooks. Messages are made from nested dicts in Envoy's own
vocabulary, which protobuf checks and stores in C:

    message(LISTENER, name="default/gw/http", address={"socket_address": {…}})

A Struct is `struct(…)`. A typed extension (`google.protobuf.Any`) is `packed(TYPE, …)`, read with `unpacked(any)`.
"""

import functools
import lzma
from importlib import resources
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Message = Any
"""one protobuf message; classes are made at run time, so there is no static type to name"""
Fields = dict[str, Any]
"""members of a message as nested dicts"""

CLUSTER: Final = "envoy.config.cluster.v3.Cluster"
CLUSTER_LOAD_ASSIGNMENT: Final = "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER: Final = "envoy.config.listener.v3.Listener"
ROUTE_CONFIGURATION: Final = "envoy.config.route.v3.RouteConfiguration"
ROUTE: Final = "envoy.config.route.v3.Route"
HTTP_CONNECTION_MANAGER: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
HTTP_FILTER: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
HTTP_PROTOCOL_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
EXTERNAL_PROCESSOR: Final = "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
EXT_PROC_PER_ROUTE: Final = "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
DISCOVERY_RESPONSE: Final = "envoy.service.discovery.v3.DiscoveryResponse"

_PREFIX: Final = "type.googleapis.com/"


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    """Loaded on first use: 5 ms."""
    compressed = resources.files("extension_server.xds").joinpath("descriptors.binpb.xz").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(lzma.decompress(compressed))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


@functools.cache
def message_class(name: str) -> Message:
    """The class of a message type by its full name. Raises KeyError for one that is not in the descriptor set."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


def message(type_: str, /, **fields: Any) -> Message:
    """A new message. Raises ValueError or TypeError for fields that the type does not have."""
    return message_class(type_)(**fields)


def packed(type_: str, /, **fields: Any) -> Fields:
    """A new message as the members of an Any."""
    return packed_message(message(type_, **fields))


def packed_message(value: Message) -> Fields:
    """An existing message as the members of an Any. Same message, same bytes."""
    return {"type_url": _PREFIX + value.DESCRIPTOR.full_name, "value": serialized(value)}


def unpacked(any_: Message) -> Message:
    """The message in an Any. Raises KeyError for a type that we do not know, DecodeError for broken bytes."""
    return message_class(type_name(any_)).FromString(any_.value)


def type_name(any_: Message) -> str:
    """Full name of the type in an Any; empty when there is none."""
    return str(any_.type_url).rpartition("/")[2]


def replace(any_: Message, value: Message) -> None:
    """Puts `value` into `any_`; leaves the bytes alone when nothing changed, however they were ordered."""
    if type_name(any_) != value.DESCRIPTOR.full_name or unpacked(any_) != value:
        any_.type_url = _PREFIX + value.DESCRIPTOR.full_name
        any_.value = serialized(value)


def serialized(value: Message) -> bytes:
    """Same message, same bytes (maps are sorted)."""
    return bytes(value.SerializeToString(deterministic=True))


def duration(seconds: float) -> Fields:
    """A google.protobuf.Duration."""
    nanoseconds = round(seconds * 1_000_000_000)
    return {"seconds": nanoseconds // 1_000_000_000, "nanos": nanoseconds % 1_000_000_000}


def struct(members: Fields) -> Message:
    """A google.protobuf.Struct of strings, numbers, booleans, lists and dicts, in this order."""
    made = message("google.protobuf.Struct")
    made.update(members)
    return made
