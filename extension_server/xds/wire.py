"""Protobuf's wire format, as far as large messages are put together from serialized parts without copying them into
message objects and out again."""

import functools
from collections.abc import Iterable
from typing import Final

_REMEMBERED: Final = 1 << 14
"""Thousands of routes have few lengths."""


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _head(number, len(value)) + value


class Pieces:
    """A serialized message in pieces, which are joined once: megabytes inside fields inside fields."""

    __slots__ = ("pieces", "size")

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [*pieces]
        self.size = sum(map(len, pieces))
        """bytes of all pieces"""

    def add(self, raw: bytes) -> None:
        """Appends serialized fields."""
        self.pieces.append(raw)
        self.size += len(raw)

    def extend(self, other: "Pieces") -> None:
        """Appends the fields of another."""
        self.pieces += other.pieces
        self.size += other.size

    def fields(self, number: int, values: Iterable[bytes]) -> None:
        """Appends a length-delimited field for each value."""
        add, size = self.pieces.append, self.size
        for value in values:
            length = len(value)
            head = _head(number, length)
            add(head)
            add(value)
            size += len(head) + length
        self.size = size

    def inside(self, number: int) -> "Pieces":
        """Turns the message into a field of another. Returns itself."""
        head = _head(number, self.size)
        self.pieces.insert(0, head)
        self.size += len(head)
        return self

    def __bytes__(self) -> bytes:
        return b"".join(self.pieces)


@functools.lru_cache(_REMEMBERED)
def _head(number: int, size: int) -> bytes:
    return varint(number << 3 | 2) + varint(size)


def string(text: str) -> bytes:
    """A string as it stands in any message that holds it: after its length."""
    encoded = text.encode()
    return varint(len(encoded)) + encoded


def varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
