"""gRPC's own layer over HTTP/2 streams: message framing, status, timeouts. Sans-IO; knows no service.

Format: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import struct
import zlib
from enum import IntEnum
from typing import Final
from urllib.parse import quote

PREFIX: Final = 5
_pack: Final = struct.Struct(">BI").pack
_unpack: Final = struct.Struct(">BI").unpack_from
"""compressed flag, length"""
MAX_MESSAGE: Final = 128 * 1024 * 1024
"""A message holds one body, or one chunk of it; listeners usually buffer up to 50 MiB."""


class Status(IntEnum):
    """https://grpc.github.io/grpc/core/md_doc_statuscodes.html; those that we send."""

    OK = 0
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class GrpcError(Exception):
    """Ends one stream with `status`. The text goes to the caller: it names no content."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def frame(message: bytes) -> bytes:
    """One message, ready for the stream, not compressed."""
    return _pack(0, len(message)) + message


def prefix(message: bytes) -> bytes:
    """What goes before a message that is not compressed."""
    return _pack(0, len(message))


_SMALL: Final = 4096
_GATHERED: Final = 64 * 1024
"""Pieces of less than _SMALL bytes are gathered into ones of up to _GATHERED: an object per byte would take forty."""


class MessageReader:
    """Cuts a stream of bytes into messages. Linear in bytes; holds at most one message and what came behind it.

    What came is kept in its pieces and joined once, when a message is complete: a body of 600 KB comes in 37 frames,
    and one buffer that grows, is copied out of and shrinks again took a fifth of all its time here.
    """

    __slots__ = ("_gzip", "_pieces", "_start", "size")

    def __init__(self, *, gzip: bool = False) -> None:
        self._pieces: list[bytes | bytearray] = []
        self._start = 0
        """where in the first piece the next message begins"""
        self._gzip = gzip
        self.size = 0
        """bytes held"""

    def whole(self, data: bytes) -> bytes | None:
        """The message, if nothing is held and `data` is exactly one: the case of nearly every message."""
        if self.size or len(data) < PREFIX:
            return None
        compressed, length = _unpack(data)
        return None if compressed or len(data) - PREFIX != length else data[PREFIX:]

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        pieces = self._pieces
        if len(data) >= _SMALL:
            pieces.append(data)
        elif pieces and isinstance(last := pieces[-1], bytearray) and len(last) < _GATHERED:
            last += data
        elif data:
            pieces.append(bytearray(data))

    def next(self) -> bytes | None:
        """The next complete message, None when more bytes are needed.

        Raises GrpcError RESOURCE_EXHAUSTED for a message beyond MAX_MESSAGE (as soon as its length is known), INTERNAL
        for a compressed one that cannot be read.
        """
        if self.size < PREFIX:
            return None
        if len(self._pieces[0]) - self._start < PREFIX:
            self._pieces = [b"".join(self._pieces)[self._start :]]
            self._start = 0
        compressed, length = _unpack(self._pieces[0], self._start)
        if length > MAX_MESSAGE:
            raise GrpcError(Status.RESOURCE_EXHAUSTED, f"a message of {length} bytes; {MAX_MESSAGE} are allowed")
        if self.size < PREFIX + length:
            return None
        self._start += PREFIX
        message = self._take(length)
        self.size -= PREFIX + length
        return self._inflate(message, compressed) if compressed else message

    def _take(self, length: int) -> bytes:
        """The next `length` bytes, which are there."""
        pieces, start = self._pieces, self._start
        taken = []
        number = 0
        while length > (here := len(pieces[number]) - start):
            taken.append(pieces[number][start:])
            length -= here
            start = 0
            number += 1
        taken.append(pieces[number][start : start + length])
        start += length
        if start == len(pieces[number]):
            number, start = number + 1, 0
        del pieces[:number]
        self._start = start
        return b"".join(taken)

    def _inflate(self, message: bytes, flag: int) -> bytes:
        if flag != 1 or not self._gzip:
            raise GrpcError(Status.INTERNAL, "a compressed message without grpc-encoding")
        decompressor = zlib.decompressobj(wbits=31)
        try:
            plain = decompressor.decompress(message, MAX_MESSAGE + 1)
        except zlib.error as exc:
            raise GrpcError(Status.INTERNAL, "a compressed message that is not gzip") from exc
        if len(plain) > MAX_MESSAGE:
            raise GrpcError(Status.RESOURCE_EXHAUSTED, f"a compressed message of more than {MAX_MESSAGE} bytes")
        if not decompressor.eof:
            raise GrpcError(Status.INTERNAL, "a compressed message that is cut off")
        return plain


def uses_gzip(encoding: str) -> bool:
    """Reads `grpc-encoding`. Raises GrpcError UNIMPLEMENTED for what we do not have."""
    if encoding in {"", "identity"}:
        return False
    if encoding == "gzip":
        return True
    raise GrpcError(Status.UNIMPLEMENTED, "grpc-encoding must be identity or gzip")


_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def timeout_seconds(value: str) -> float:
    """Reads `grpc-timeout`. Raises GrpcError INTERNAL for one that breaks the format."""
    digits, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not (digits.isascii() and digits.isdigit()) or len(digits) > 8:
        raise GrpcError(Status.INTERNAL, "grpc-timeout must be up to 8 digits and one of H, M, S, m, u, n")
    return int(digits) * _UNITS[unit]


def status_trailers(status: Status, message: str = "") -> tuple[tuple[bytes, bytes], ...]:
    """The trailer block that ends a stream."""
    code = (b"grpc-status", str(int(status)).encode())
    if not message:
        return (code,)
    return (code, (b"grpc-message", quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[]^_`{|}").encode()))
