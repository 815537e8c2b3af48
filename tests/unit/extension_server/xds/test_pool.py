"""The private pool."""

import pytest
from google.protobuf import descriptor_pool

from extension_server.xds import pool


def test_an_any_is_written_and_read_back() -> None:
    route = pool.message(pool.ROUTE, name="r", match={"prefix": "/"}, route={"timeout": pool.duration(1.5)})
    any_ = pool.message("google.protobuf.Any", **pool.packed_message(route))
    assert pool.type_name(any_) == pool.ROUTE
    assert pool.unpacked(any_) == route


def test_replacing_with_the_same_message_keeps_the_bytes() -> None:
    """Envoy Gateway writes map keys in random order; an untouched message must not become another."""
    one = pool.message(pool.ROUTE, name="r")
    any_ = pool.message(
        "google.protobuf.Any", type_url=f"type.googleapis.com/{pool.ROUTE}", value=one.SerializeToString()
    )
    unusual = any_.value + b"\x72\x01r"  # the field again: another encoding of the same message
    any_.value = unusual
    pool.replace(any_, pool.unpacked(any_))
    assert any_.value == unusual
    pool.replace(any_, pool.message(pool.ROUTE, name="other"))
    assert pool.unpacked(any_).name == "other"


def test_unknown_fields_and_types_are_errors() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        pool.message(pool.ROUTE, nonsense=1)
    with pytest.raises(KeyError):
        pool.message_class("envoy.no.such.Type")


def test_nothing_is_registered_globally() -> None:
    pool.message_class(pool.ROUTE)
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth")


@pytest.mark.parametrize(("seconds", "expected"), [(0, (0, 0)), (1.5, (1, 500_000_000)), (0.1, (0, 100_000_000))])
def test_durations(seconds: float, expected: tuple[int, int]) -> None:
    assert pool.duration(seconds) == dict(zip(("seconds", "nanos"), expected, strict=True))
