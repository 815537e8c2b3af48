"""AWS event stream (`application/vnd.amazon.eventstream`): bytes in any cut → messages, and back.

One message, all numbers big-endian: total length u32 · headers length u32 · CRC-32 of those 8 bytes u32 · headers ·
payload · CRC-32 of everything before it u32. Source: translation chapter §7.7; AWS "Event stream encoding".
Used by the dialects of AWS providers (decoder) and by tests, the demo and the replay upstream (encoder). Knows nothing
of what the messages mean.
"""

import struct
from collections.abc import Mapping
from typing import Final
from uuid import UUID
from zlib import crc32

from msgspec import Struct

from filters.errors import BadUpstreamAnswer, TruncatedStream

MAX_HEADERS: Final = 128 * 1024
"""AWS's own limit for the header block of one message"""
MAX_MESSAGE: Final = 24 * 1024 * 1024 + MAX_HEADERS
"""AWS's own limit for a payload is 24 MiB; a length beyond it is a broken stream, not a reason to buffer"""

_PRELUDE: Final = struct.Struct(">III")
_U32: Final = struct.Struct(">I")
_OVERHEAD: Final = 16
"""prelude and the last checksum"""
_CACHED_HEADERS: Final = 32
"""Header blocks repeat (a handful of event kinds per stream): reading each once saves most of the work per message.
The bound keeps a provider that varies them from filling memory."""
_CACHED_HEADER_BYTES: Final = 512


class Timestamp(Struct, frozen=True):
    """Header value type 8."""

    milliseconds: int


HeaderValue = bool | int | bytes | str | Timestamp | UUID


class Message(Struct, frozen=True):
    headers: Mapping[str, HeaderValue]
    payload: bytes

    def text(self, name: str) -> str:
        """The string header `name`; empty when absent or of another type."""
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else ""


class _Corrupt(Exception):
    """What is wrong with a message, in words."""


class Decoder:
    """One stream. Every message that is whole is returned at once, in order; a tail waits for more.

    A message that cannot be right (checksum, lengths, header coding) ends the stream: the messages before it are
    returned, `error` is set, and whatever follows is ignored. There is no way to find the next message after it.
    """

    __slots__ = ("_buffer", "_known_headers", "_need", "error")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._need = _PRELUDE.size
        self._known_headers: dict[bytes, Mapping[str, HeaderValue]] = {}
        self.error: BadUpstreamAnswer | None = None

    def feed(self, data: bytes) -> list[Message]:
        """Messages completed by `data`. Never raises."""
        if self.error is not None:
            return []
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        messages: list[Message] = []
        start, end = 0, len(data)
        try:
            while end - start >= _PRELUDE.size:
                total = _message_length(data, start)
                if end - start < total:
                    self._need = total
                    break
                messages.append(self._message(data, start, total))
                start += total
            else:
                self._need = _PRELUDE.size
        except _Corrupt as exc:
            self.error = BadUpstreamAnswer(f"corrupt AWS event stream: {exc}", code="bad_upstream_answer")
            return messages
        if start < end:
            self._buffer += data[start:] if start else data
        return messages

    def close(self) -> list[Message]:
        """The stream is over. Raises TruncatedStream when it ended inside a message, or the error met before."""
        if self.error is not None:
            raise self.error
        if self._buffer:
            raise TruncatedStream("AWS event stream ended inside a message", code="stream_truncated")
        return []

    def _message(self, data: bytes, start: int, total: int) -> Message:
        last = start + total - _U32.size
        if crc32(memoryview(data)[start:last]) != _U32.unpack_from(data, last)[0]:
            raise _Corrupt("checksum of a message does not match")
        headers_start = start + _PRELUDE.size
        payload_start = headers_start + _U32.unpack_from(data, start + 4)[0]
        block = data[headers_start:payload_start]
        headers = self._known_headers.get(block)
        if headers is None:
            headers = _read_headers(block)
            if len(block) <= _CACHED_HEADER_BYTES and len(self._known_headers) < _CACHED_HEADERS:
                self._known_headers[block] = headers
        return Message(headers, data[payload_start:last])


def _message_length(data: bytes, start: int) -> int:
    total, headers, checksum = _PRELUDE.unpack_from(data, start)
    if crc32(data[start : start + 8]) != checksum:
        raise _Corrupt("checksum of a message prelude does not match")
    if total > MAX_MESSAGE:
        raise _Corrupt(f"a message of {total} bytes is over the limit of {MAX_MESSAGE}")
    if headers > MAX_HEADERS:
        raise _Corrupt(f"a header block of {headers} bytes is over the limit of {MAX_HEADERS}")
    if total < headers + _OVERHEAD:
        raise _Corrupt("a message is shorter than its headers")
    return int(total)


_FIXED: Final = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
"""header value types of fixed-size integers"""
_BOOLEANS: Final = {0: True, 1: False}
_BYTES, _STRING, _TIMESTAMP, _UUID = 6, 7, 8, 9


def _read_headers(block: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    position = 0
    try:
        while position < len(block):
            name_end = position + 1 + block[position]
            name = block[position + 1 : name_end].decode()
            value, position = _read_value(block, name_end)
            if name in headers:
                raise _Corrupt("a header is there twice")
            headers[name] = value
    except (IndexError, struct.error, UnicodeDecodeError) as exc:
        raise _Corrupt("a header block cannot be read") from exc
    return headers


def _read_value(block: bytes, position: int) -> tuple[HeaderValue, int]:
    """The value whose type byte stands at `position`, and where it ends."""
    kind = block[position]
    position += 1
    if kind in _BOOLEANS:
        return _BOOLEANS[kind], position
    if kind in _FIXED:
        fixed = _FIXED[kind]
        return fixed.unpack_from(block, position)[0], position + fixed.size
    if kind in (_BYTES, _STRING):
        (length,) = struct.unpack_from(">H", block, position)
        position += 2
        value = _take(block, position, length)
        return (value.decode() if kind == _STRING else value), position + length
    if kind == _TIMESTAMP:
        return Timestamp(struct.unpack_from(">q", block, position)[0]), position + 8
    if kind == _UUID:
        return UUID(bytes=_take(block, position, 16)), position + 16
    raise _Corrupt(f"a header has the unknown value type {kind}")


def _take(block: bytes, position: int, length: int) -> bytes:
    value = block[position : position + length]
    if len(value) < length:
        raise _Corrupt("a header value is longer than its block")
    return value


def encode(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    """One message. Integers go out as 64-bit values. Raises ValueError for what the format cannot hold."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    total = len(block) + len(payload) + _OVERHEAD
    if len(block) > MAX_HEADERS or total > MAX_MESSAGE:
        raise ValueError(f"message of {total} bytes ({len(block)} of headers) is over the format's limits")
    lengths = struct.pack(">II", total, len(block))
    body = b"".join((lengths, _U32.pack(crc32(lengths)), block, payload))
    return body + _U32.pack(crc32(body))


def _header(name: str, value: HeaderValue) -> bytes:
    raw = name.encode()
    if not 0 < len(raw) < 256:
        raise ValueError("a header name has 1 to 255 bytes")
    return bytes((len(raw),)) + raw + _value(value)


def _value(value: HeaderValue) -> bytes:
    match value:
        case bool():
            return b"\x00" if value else b"\x01"
        case int():
            return b"\x05" + value.to_bytes(8, "big", signed=True)
        case bytes():
            return b"\x06" + struct.pack(">H", len(value)) + value
        case str():
            raw = value.encode()
            return b"\x07" + struct.pack(">H", len(raw)) + raw
        case Timestamp():
            return b"\x08" + value.milliseconds.to_bytes(8, "big", signed=True)
        case UUID():
            return b"\x09" + value.bytes
