"""Serialized resources with holes where bytes come that differ from one translation to the next.

A hole stands for a whole protobuf message and has its size, so what surrounds it stays as long as it is, and a message
with holes can be decoded, patched and encoded again like any other: a hole is an unknown field, which protobuf hands on
as it is. It says itself where it begins and ends.
"""

import functools
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from extension_server.xds import wire

_MARK: Final = os.urandom(8)
"""Nobody outside of this process knows what a hole looks like."""
_SAYS: Final = struct.Struct(">HBH")
"""number of the hole, bytes of it before the mark, bytes in all"""
_LEAST: Final = len(_MARK) + _SAYS.size
_FIELD: Final = 15
"""that no message has which a hole stands for"""
_EVEN: Final = b"\x78\x00"
"""field 15 as a number: for sizes that one field with a length cannot have"""
_REMEMBERED: Final = 1 << 12
"""Thousands of resources have few sizes."""
LAST: Final = 0xFFFF
"""a hole that the last value fills"""


@functools.lru_cache(_REMEMBERED)
def message(number: int, head: bytes, size: int) -> bytes:
    """A hole for a message of `size` bytes and `head`, its length as it stands in front of it. Empty when that is too
    short: such a message has to stay what it is."""
    for even in (b"", _EVEN):
        whole = size - len(even)
        for length in (whole - 2, whole - 3):
            if length >= _LEAST:
                tag = wire.varint(_FIELD << 3 | 2) + wire.varint(length)
                if len(tag) + length == whole:
                    return head + tag + _marked(number, len(head + tag), len(head) + size, length) + even
    return b""


def appendix(size: int) -> bytes:
    """A hole for fields of `size` bytes that are appended, filled by the last value. Not to be decoded. Empty when that
    is too short."""
    return _marked(LAST, 0, size, size) if size >= _LEAST else b""


def _marked(number: int, lead: int, size: int, length: int) -> bytes:
    return (_MARK + _SAYS.pack(number, lead, size)).ljust(length, b"\0")


class Template:
    """Serialized parts with holes, one after the other."""

    __slots__ = ("_fixed", "_values")

    def __init__(self, parts: Iterable[tuple[bytes, int]]) -> None:
        """Each part, and the number of the value that fills its hole 0; the next one fills its hole 1."""
        self._fixed: list[bytes] = []
        """what is before, between and after the holes"""
        self._values: list[int] = []
        """number of the value for each hole"""
        begun: list[bytes] = []
        for part, first in parts:
            end = 0
            while (mark := part.find(_MARK, end)) >= 0:
                number, lead, size = _SAYS.unpack_from(part, mark + len(_MARK))
                begun.append(part[end : mark - lead])
                self._fixed.append(b"".join(begun))
                self._values.append(-1 if number == LAST else first + number)
                begun, end = [], mark - lead + size
            begun.append(part[end:])
        self._fixed.append(b"".join(begun))

    def filled(self, values: Sequence[bytes]) -> bytes:
        """The parts with these values in their holes."""
        pieces = [b""] * (2 * len(self._fixed) - 1)
        pieces[::2] = self._fixed
        pieces[1::2] = map(values.__getitem__, self._values)
        return b"".join(pieces)


def filled(part: bytes, values: Sequence[bytes]) -> bytes:
    """One part with these values in its holes."""
    return Template([(part, 0)]).filled(values) if values else part
