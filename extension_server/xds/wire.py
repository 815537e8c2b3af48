"""Protobuf's wire format, as far as large messages are put together from serialized parts without copying them into
message objects and out again."""

import functools
from typing import Final

_REMEMBERED: Final = 1 << 14
"""Thousands of routes have few lengths."""


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _head(number, len(value)) + value


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
