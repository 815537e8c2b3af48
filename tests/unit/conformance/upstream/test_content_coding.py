import pytest

from conformance.upstream import content_coding
from filters.streams import content_encoding


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "GZIP", "gzip, br", "identity"])
@pytest.mark.parametrize("body", [b"", b"some text, some text", b"x" * 100_000])
def test_the_gateways_side_undoes_every_coding(coding: str, body: bytes) -> None:
    coded = content_coding.encode(body, coding)
    decoder = content_encoding.decoder(coding)
    assert (coded if decoder is None else decoder.feed(coded) + decoder.close()) == body


def test_the_same_body_gives_the_same_bytes() -> None:
    assert content_coding.encode(b"x", "gzip") == content_coding.encode(b"x", "gzip")


def test_an_unknown_coding_is_named() -> None:
    with pytest.raises(ValueError, match="'lz4' is none of identity, gzip"):
        content_coding.encode(b"", "gzip, lz4")
