"""Content codings of HTTP bodies, undone piece by piece (RFC 9110 §8.4): gzip, deflate, br, zstd, and lists of them.

The exchange decodes before a translator sees a body. A decoder keeps its state, so that work is linear in bytes, and
never expands a few bytes into much memory: output is made in steps, and an expansion beyond all reason is refused.

Raises filters.errors.BadUpstreamAnswer (codes `unsupported_content_encoding`, `bad_content_encoding`,
`content_encoding_expansion`) and TruncatedStream (code `content_encoding_truncated`).
"""

import zlib
from collections.abc import Callable
from typing import Final, Protocol

import brotli
import zstandard

from filters.errors import BadUpstreamAnswer, TruncatedStream

MAX_CODINGS: Final = 4
"""A body is coded once, rarely twice; each layer costs memory."""
FREE_OUTPUT: Final = 16 * 1024 * 1024
"""Bytes that any body may expand to, whatever the ratio: an honest answer can be one letter, repeated."""
MAX_RATIO: Final = 128
"""Bytes out per byte in, beyond FREE_OUTPUT. Text and JSON stay below 30, a long run of equal events below 100."""

_STEP: Final = 1024 * 1024
"""Output made at once."""
_ZSTD_INPUT_STEP: Final = 64
"""zstandard has no limit on output, so its input comes in slices: 64 bytes make 2 MiB at most (a block of 4 bytes
makes 128 KiB). Costs 0.3 µs per slice."""
_ZSTD_WINDOW: Final = 8 * 1024 * 1024
"""RFC 9659: the window that an HTTP sender may use"""


class Decoder(Protocol):
    """Undoes the codings of one body."""

    def feed(self, data: bytes) -> bytes:
        """What `data` adds to the decoded body; often nothing. Raises BadUpstreamAnswer."""
        ...

    def close(self) -> bytes:
        """The rest, at the end of the body. Raises TruncatedStream when the coded body is not whole.

        A body without a single byte is whole: answers without content carry the header too.
        """
        ...


def decoder(content_encoding: str) -> Decoder | None:
    """For the value of a content-encoding header; None when there is nothing to undo.

    Raises BadUpstreamAnswer for a coding that is not known here.
    """
    names = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not names:
        return None
    if len(names) > MAX_CODINGS:
        raise _unsupported()
    try:
        layers = [_CODINGS[name]() for name in reversed(names)]
    except KeyError as exc:
        raise _unsupported() from exc
    return _Chain(layers)


def supported(accept_encoding: str) -> str:
    """An accept-encoding value, limited to what `decoder` undoes; as it came when that is all of it.

    `identity` when nothing is left, because an empty value would be read differently by servers.
    """
    parts = [part.strip() for part in accept_encoding.split(",") if part.strip()]
    kept = [part for part in parts if _is_supported(part)]
    if kept == parts:
        return accept_encoding
    return ", ".join(kept) or "identity"


def _is_supported(part: str) -> bool:
    name, _, parameters = part.partition(";")
    name = name.strip().lower()
    if name == "*":
        # "Anything" would let the server pick a coding that is not known here; "nothing else" may stay.
        weight = parameters.replace(" ", "").lower()
        return weight.startswith("q=0") and not weight.strip("q=0.")
    return name == "identity" or name in _CODINGS


class _Layer(Protocol):
    """One coding. Output comes in steps, through the callable that may refuse it."""

    def feed(self, data: bytes, emit: Callable[[bytes], None]) -> None: ...

    def whole(self) -> bool:
        """No byte is missing."""
        ...


class _Chain:
    """Layers from the outermost to the innermost."""

    __slots__ = ("_layers", "_read", "_written")

    def __init__(self, layers: list[_Layer]) -> None:
        self._layers = layers
        self._read = 0
        self._written = [0] * len(layers)

    def feed(self, data: bytes) -> bytes:
        self._read += len(data)
        for number, layer in enumerate(self._layers):
            if not data:
                return b""
            pieces: list[bytes] = []
            self._run(layer, data, number, pieces)
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return data

    def close(self) -> bytes:
        if self._read and not all(layer.whole() for layer in self._layers):
            raise TruncatedStream(
                "the provider's compressed answer ended before it was complete", code="content_encoding_truncated"
            )
        return b""

    def _run(self, layer: _Layer, data: bytes, number: int, pieces: list[bytes]) -> None:
        def emit(piece: bytes) -> None:
            if piece:
                self._written[number] += len(piece)
                if self._written[number] > max(FREE_OUTPUT, self._read * MAX_RATIO):
                    raise BadUpstreamAnswer(
                        "the provider's compressed answer expands beyond all reason", code="content_encoding_expansion"
                    )
                pieces.append(piece)

        try:
            layer.feed(data, emit)
        except (zlib.error, brotli.error, zstandard.ZstdError) as exc:
            raise BadUpstreamAnswer(
                "the provider's answer is not in the content-encoding that it names", code="bad_content_encoding"
            ) from exc


class _Zlib:
    """gzip of any number of members (RFC 1952 §2.2), or one zlib stream, or one raw deflate stream."""

    __slots__ = ("_inflater", "_members", "_wbits")

    def __init__(self, wbits: int, *, members: bool) -> None:
        self._wbits = wbits
        self._members = members
        self._inflater: zlib._Decompress | None = None

    def feed(self, data: bytes, emit: Callable[[bytes], None]) -> None:
        while data:
            if self._inflater is None:
                self._inflater = zlib.decompressobj(self._wbits)
            elif self._inflater.eof:
                data = data.lstrip(b"\0") if self._members else data  # archives are padded with zeros
                if not data:
                    return
                if not self._members:
                    raise zlib.error("data after the end")
                self._inflater = zlib.decompressobj(self._wbits)
            emit(self._inflater.decompress(data, _STEP))
            data = self._inflater.unused_data or self._inflater.unconsumed_tail
        # A step that filled its limit exactly may hold more back.
        while self._inflater is not None and not self._inflater.eof and (more := self._drained()):
            emit(more)

    def _drained(self) -> bytes:
        assert self._inflater is not None
        return self._inflater.decompress(b"", _STEP)

    def whole(self) -> bool:
        return self._inflater is None or self._inflater.eof


class _Deflate:
    """`deflate`: the zlib format by the book, raw deflate from some servers. The first two bytes tell them apart."""

    __slots__ = ("_held", "_inner")

    def __init__(self) -> None:
        self._held = b""
        self._inner: _Zlib | None = None

    def feed(self, data: bytes, emit: Callable[[bytes], None]) -> None:
        if self._inner is None:
            data = self._held + data
            if len(data) < 2:
                self._held = data
                return
            is_zlib = data[0] & 0x0F == 8 and data[0] >> 4 <= 7 and (data[0] << 8 | data[1]) % 31 == 0
            self._inner = _Zlib(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, members=False)
        self._inner.feed(data, emit)

    def whole(self) -> bool:
        return self._inner.whole() if self._inner is not None else not self._held


class _Brotli:
    __slots__ = ("_decompressor",)

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()

    def feed(self, data: bytes, emit: Callable[[bytes], None]) -> None:
        piece: bytes = self._decompressor.process(data, output_buffer_limit=_STEP)
        while piece:
            emit(piece)
            # Input is taken in long before all of its output is out.
            if self._decompressor.is_finished():
                return
            piece = self._decompressor.process(b"", output_buffer_limit=_STEP)

    def whole(self) -> bool:
        return bool(self._decompressor.is_finished())


class _Zstd:
    """Any number of frames (RFC 8878 §3)."""

    __slots__ = ("_context", "_frame")

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def feed(self, data: bytes, emit: Callable[[bytes], None]) -> None:
        for start in range(0, len(data), _ZSTD_INPUT_STEP):
            piece = data[start : start + _ZSTD_INPUT_STEP]
            while piece:
                if self._frame is None or self._frame.eof:
                    self._frame = self._context.decompressobj()
                emit(self._frame.decompress(piece))
                piece = self._frame.unused_data if self._frame.eof else b""

    def whole(self) -> bool:
        return self._frame is None or bool(self._frame.eof)


def _gzip() -> _Layer:
    return _Zlib(zlib.MAX_WBITS | 16, members=True)


_CODINGS: Final[dict[str, Callable[[], _Layer]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,  # RFC 9110 §8.4.1.3: the same
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


def _unsupported() -> BadUpstreamAnswer:
    return BadUpstreamAnswer(
        "the provider's answer has a content-encoding that the gateway cannot read; it reads gzip, deflate, br, zstd",
        code="unsupported_content_encoding",
    )
