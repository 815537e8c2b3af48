"""Envoy Gateway's request once more, as it would write it: Go begins a map at any of its keys, so the metadata of each
route and cluster comes in an order of its own every time."""

import random
from collections.abc import Iterator, Mapping
from typing import Any, Final

from extension_server.hooks import messages
from extension_server.xds import wire

_LENGTH_DELIMITED: Final = 2
_SLOTS: Final = 8
"""of a small map in Go: a walk begins at any of them"""

Paths = Mapping[int, "Paths"]
"""field → what is looked for in it; a message with a `_MAP` has its fields of number 1 turned"""
_MAP: Final = 0
_INNER: Final[Paths] = {_MAP: {}, 1: {2: {5: {_MAP: {}, 1: {}}}}}
_STRUCT: Final[Paths] = {_MAP: {}, 1: {2: {5: _INNER, 6: {1: {5: _INNER}}}}}
"""Struct.fields → Value.struct_value, list_value.values"""
_METADATA: Final[Paths] = {1: {2: _STRUCT}}
_ROUTE: Final[Paths] = {4: _METADATA}
_ROUTE_CONFIGURATION: Final[Paths] = {2: {3: _ROUTE}}
_CLUSTER: Final[Paths] = {25: _METADATA}


def reordered(request: bytes, chance: random.Random) -> bytes:
    """A request of the Translation hook with the metadata maps of routes and clusters turned."""
    message: Any = messages.request("PostTranslateModify").FromString(request)
    for field, paths in (("routes", _ROUTE_CONFIGURATION), ("clusters", _CLUSTER)):
        turned = [_turned(raw, paths, chance) for raw in getattr(message, field)]
        del getattr(message, field)[:]
        getattr(message, field).extend(turned)
    return bytes(message.SerializeToString())


def turned(route: bytes, chance: random.Random) -> bytes:
    """A serialized route with its metadata maps turned."""
    return _turned(route, _ROUTE, chance)


def _turned(raw: bytes, paths: Paths, chance: random.Random) -> bytes:
    parts = [
        (number, wire.field(number, _turned(value, paths[number], chance)) if number in paths and value else whole)
        for number, value, whole in _fields(raw)
    ]
    if _MAP in paths:
        entries = [part for number, part in parts if number == 1]
        first = chance.randrange(_SLOTS)
        first = first if first < len(entries) else 0
        return b"".join([*entries[first:], *entries[:first]])
    return b"".join(part for _, part in parts)


def _fields(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, value (of those with a length) and the whole field, tag included."""
    at = 0
    while at < len(raw):
        begin = at
        tag, at = _varint(raw, at)
        number, kind = tag >> 3, tag & 7
        value = b""
        if kind == _LENGTH_DELIMITED:
            size, at = _varint(raw, at)
            value = raw[at : at + size]
            at += size
        elif kind == 0:
            _, at = _varint(raw, at)
        else:
            at += 8 if kind == 1 else 4
        yield number, value, raw[begin:at]


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = raw[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at
