"""Bodies come out as they went in, whatever the coding and the cuts; broken and hostile ones are refused."""

import gzip
import os
import zlib
from collections.abc import Callable
from itertools import pairwise

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from filters.errors import BadUpstreamAnswer, TruncatedStream
from filters.streams import content_encoding

Compress = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def brotli_(data: bytes) -> bytes:
    return bytes(brotli.compress(data))


CODINGS: dict[str, tuple[str, Compress]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": (" X-GZip ", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("Deflate", raw_deflate),
    "br": ("br", brotli_),
    "zstd": ("zstd", zstd),
    "gzip in br": ("gzip, br", lambda data: brotli_(gzip.compress(data))),
    "zstd in gzip in identity": ("zstd,gzip, identity,", lambda data: gzip.compress(zstd(data))),
    "two members": ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:])),
    "padded members": ("gzip", lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]) + bytes(9)),
    "two frames": ("zstd", lambda data: zstd(data[:7]) + zstd(data[7:])),
}
codings = pytest.mark.parametrize(("name", "compress"), CODINGS.values(), ids=CODINGS.keys())


def decode(name: str, pieces: list[bytes]) -> bytes:
    decoder = content_encoding.decoder(name)
    assert decoder is not None
    return b"".join([decoder.feed(piece) for piece in pieces]) + decoder.close()


@codings
@given(body=st.binary(max_size=300), places=st.lists(st.integers(0, 1000), max_size=6))
def test_decodes_at_any_cut(name: str, compress: Compress, body: bytes, places: list[int]) -> None:
    coded = compress(body)
    edges = [0, *sorted(place % (len(coded) + 1) for place in places), len(coded)]
    assert decode(name, [coded[start:end] for start, end in pairwise(edges)]) == body
    assert decode(name, [coded[i : i + 1] for i in range(len(coded))]) == body


@codings
@pytest.mark.parametrize("body", [b"a" * 5_000_000, os.urandom(200_000)], ids=["even", "random"])
def test_decodes_big_bodies_whole(name: str, compress: Compress, body: bytes) -> None:
    assert decode(name, [compress(body)]) == body


def flushing(name: str) -> Compress:
    """A compressor that flushes after each piece, as servers of event streams do."""
    match name:
        case "br":
            one = brotli.Compressor()
            return lambda data: bytes(one.process(data) + one.flush())
        case "zstd":
            two = zstandard.ZstdCompressor().compressobj()
            return lambda data: two.compress(data) + two.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    three = zlib.compressobj(wbits=31 if name == "gzip" else 15)
    return lambda data: three.compress(data) + three.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_an_event_that_was_flushed_is_given_out_at_once(name: str) -> None:
    compress = flushing(name)
    decoder = content_encoding.decoder(name)
    assert decoder is not None
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        assert decoder.feed(compress(event)) == event


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_output_is_never_held_back_by_the_steps_in_which_it_is_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    coded = dict(CODINGS.values())[name](b"a" * 5000 + bytes(range(256)) * 3)
    unlimited = content_encoding.decoder(name)
    monkeypatch.setattr(content_encoding, "_STEP", 64)
    monkeypatch.setattr(content_encoding, "_ZSTD_INPUT_STEP", 3)
    stepped = content_encoding.decoder(name)
    assert unlimited is not None
    assert stepped is not None
    for index in range(len(coded)):
        with monkeypatch.context() as patch:
            patch.setattr(content_encoding, "_STEP", 1 << 20)
            expected = unlimited.feed(coded[index : index + 1])
        assert stepped.feed(coded[index : index + 1]) == expected


@codings
def test_a_cut_body_is_refused_at_its_end(name: str, compress: Compress) -> None:
    coded = compress(os.urandom(100)).rstrip(b"\0")
    for length in (1, len(coded) // 3, len(coded) - 1):
        with pytest.raises(TruncatedStream):
            decode(name, [coded[:length]])


@codings
def test_an_empty_body_is_whole(name: str, compress: Compress) -> None:
    assert decode(name, []) == decode(name, [b""]) == b""


@codings
def test_a_body_that_is_something_else_is_refused(name: str, compress: Compress) -> None:
    with pytest.raises(BadUpstreamAnswer) as caught:
        decode(name, [b'\xff\xff{"not": "compressed"}'])
    assert caught.value.code == "bad_content_encoding"


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_what_follows_the_end_is_refused(name: str) -> None:
    with pytest.raises(BadUpstreamAnswer):
        decode(name, [dict(CODINGS.values())[name](b"abc"), b"<html>"])


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_refused_before_it_fills_memory(name: str) -> None:
    bomb = dict(CODINGS.values())[name](bytes(content_encoding.FREE_OUTPUT * 2))
    with pytest.raises(BadUpstreamAnswer) as caught:
        decode(name, [bomb])
    assert caught.value.code == "content_encoding_expansion"


def test_a_bomb_in_a_bomb_is_refused() -> None:
    inner = gzip.compress(bytes(content_encoding.FREE_OUTPUT * 2))
    with pytest.raises(BadUpstreamAnswer):
        decode("gzip, gzip", [gzip.compress(inner)])


@pytest.mark.parametrize("name", ["", "identity", " Identity ", ",", "identity, identity"])
def test_nothing_to_undo(name: str) -> None:
    assert content_encoding.decoder(name) is None


@pytest.mark.parametrize("name", ["compress", "gzip, snappy", "gzip gzip", "gzip,gzip,gzip,gzip,gzip"])
def test_unknown_codings_are_refused(name: str) -> None:
    with pytest.raises(BadUpstreamAnswer) as caught:
        content_encoding.decoder(name)
    assert caught.value.code == "unsupported_content_encoding"


@pytest.mark.parametrize(
    ("asked", "limited"),
    [
        ("", ""),
        ("gzip, deflate, br, zstd", "gzip, deflate, br, zstd"),
        ("gzip,br ;q=0.5", "gzip,br ;q=0.5"),
        ("compress, gzip;q=0.5, dcb", "gzip;q=0.5"),
        ("GZIP, exi", "GZIP"),
        ("*", "identity"),
        ("*;q=0.1", "identity"),
        ("identity, *;q=0", "identity, *;q=0"),
        ("br, * ; q=0.000", "br, * ; q=0.000"),
        ("sdch", "identity"),
    ],
)
def test_upstreams_are_asked_only_for_what_can_be_read(asked: str, limited: str) -> None:
    assert content_encoding.supported(asked) == limited
