"""Messages put together by hand are those that protobuf writes."""

import pytest

from extension_server.xds import pool, wire


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 2_100_000])
def test_fields_of_every_length(size: int) -> None:
    text = "x" * size
    written = pool.message("google.protobuf.StringValue", value=text).SerializeToString()
    assert wire.field(1, text.encode()) == (written or b"\x0a\x00")
    assert b"\x0a" + wire.string(text) == (written or b"\x0a\x00")


def test_fields_with_numbers_of_two_bytes() -> None:
    raw = wire.field(28, b"plain")
    assert pool.message_class(pool.CLUSTER).FromString(raw) == pool.message(pool.CLUSTER, alt_stat_name="plain")
