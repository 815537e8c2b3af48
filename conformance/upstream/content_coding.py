"""Compresses what an upstream of ours sends. The inverse, for the gateway's side, is in `filters.streams`."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import brotli
import zstandard


def encode(body: bytes, coding: str) -> bytes:
    """`body` in the codings of a `content-encoding` header, applied in order. Raises ValueError for an unknown one."""
    for name in (part.strip().lower() for part in coding.split(",")):
        if name not in _ENCODERS:
            raise ValueError(f"content-encoding: {name!r} is none of {', '.join(_ENCODERS)}")
        body = _ENCODERS[name](body)
    return body


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, 6, mtime=0)


def _deflate(body: bytes) -> bytes:
    return zlib.compress(body)


def _brotli(body: bytes) -> bytes:
    return bytes(brotli.compress(body))


def _zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(body)


_ENCODERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "identity": bytes,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
