"""Data URIs and base64, as clients write them."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.mappings import data_uri
from filters.mappings.data_uri import Data


@pytest.mark.parametrize(
    ("uri", "data"),
    [
        ("data:image/png;base64,AAAA", Data("image/png", "AAAA")),
        ("DATA:Image/PNG;charset=x;BASE64,AAAA", Data("image/png", "AAAA")),
        ("data:text/plain,a%20b", Data("text/plain", "YSBi")),
        ("data:text/plain;charset=utf-8,%C3%BC", Data("text/plain", "w7w=")),
        ("data:a/b;base64,", Data("a/b", "")),
    ],
)
def test_data_uris_are_read(uri: str, data: Data) -> None:
    assert data_uri.is_data_uri(uri)
    assert data_uri.read(uri) == data


@pytest.mark.parametrize("uri", ["data:", "data:,x", "data:image/png", "data:image/png;base64,A", "data:x;base64,A=A="])
def test_what_is_no_data_uri_is_an_error_that_shows_no_content(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^(not a valid data URI|illegal base64 data)$"):
        data_uri.read(uri)


@pytest.mark.parametrize("uri", ["", "dat", "https://x", "s3://data:"])
def test_other_urls_are_none(uri: str) -> None:
    assert not data_uri.is_data_uri(uri)


@given(st.binary(max_size=50), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_every_way_to_write_base64_gives_the_canonical_one(
    content: bytes, url_safe: bool, padded: bool, wrapped: bool
) -> None:
    canonical = base64.b64encode(content).decode()
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(content).decode()
    text = text if padded else text.rstrip("=")
    text = "\r\n".join(text[at : at + 8] for at in range(0, len(text), 8)) if wrapped else text
    assert data_uri.canonical_base64(text) == canonical


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_text_is_base64_or_a_value_error(text: str) -> None:
    try:
        found = data_uri.canonical_base64(text)
    except ValueError:
        return
    assert base64.b64encode(base64.b64decode(found, validate=True)).decode() == found
