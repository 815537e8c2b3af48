"""gRPC framing, status and timeouts."""

import gzip
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.extproc import grpc
from filters.extproc.grpc import GrpcError, MessageReader, Status


def read_all(reader: MessageReader) -> list[bytes]:
    found = []
    while (message := reader.next()) is not None:
        found.append(message)
    return found


def test_any_cut_gives_the_same_messages() -> None:
    sent = [b"", b"a", b"b" * 300, b"c" * 70_000, b""]
    data = b"".join(grpc.frame(message) for message in sent)
    cuts = random.Random(1)
    for size in (1, 3, 1000, len(data)):
        reader = MessageReader()
        got = []
        position = 0
        while position < len(data):
            step = cuts.randint(1, size) if size < len(data) else size
            reader.feed(data[position : position + step])
            got += read_all(reader)
            position += step
        assert got == sent
        assert reader.size == 0


def test_many_messages_in_one_piece_and_pieces_of_one_byte_are_read_in_linear_space() -> None:
    reader = MessageReader()
    reader.feed(grpc.frame(b"") * 100_000)
    assert len(read_all(reader)) == 100_000
    message = b"x" * 300_000
    for byte in grpc.frame(message):
        reader.feed(bytes((byte,)))
    assert len(reader._pieces) < 10
    assert reader.next() == message
    assert (reader.size, reader._pieces) == (0, [])


@given(st.lists(st.binary(max_size=40) | st.binary(min_size=4090, max_size=9000), max_size=8), st.data())
def test_any_pieces_give_the_same_messages(sent: list[bytes], draw: st.DataObject) -> None:
    data = b"".join(grpc.frame(message) for message in sent)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=10)))
    reader = MessageReader()
    got = []
    for start, end in itertools.pairwise((0, *cuts, len(data))):
        reader.feed(data[start:end])
        if draw.draw(st.booleans()):
            got += read_all(reader)
    assert got + read_all(reader) == sent
    assert reader.size == 0


def test_one_whole_message_takes_the_short_way() -> None:
    reader = MessageReader()
    assert reader.whole(grpc.frame(b"abc")) == b"abc"
    assert reader.whole(grpc.frame(b"abc")[:-1]) is None
    assert reader.whole(grpc.frame(b"abc") + b"x") is None
    assert reader.whole(b"\1\0\0\0\1x") is None
    assert reader.whole(b"") is None
    reader.feed(b"\0")
    assert reader.whole(grpc.frame(b"abc")) is None


def test_a_message_beyond_the_limit_is_refused_at_its_length() -> None:
    reader = MessageReader()
    reader.feed(b"\0\xff\xff\xff\xff")
    with pytest.raises(GrpcError) as caught:
        reader.next()
    assert caught.value.status is Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (gzip.compress(b"x" * 1000), None),
        (b"not gzip", Status.INTERNAL),
        (gzip.compress(b"x" * 1000)[:-9], Status.INTERNAL),
        (gzip.compress(bytes(grpc.MAX_MESSAGE + 1), 1), Status.RESOURCE_EXHAUSTED),
    ],
    ids=["good", "not gzip", "cut", "bomb"],
)
def test_compressed_messages(payload: bytes, status: Status | None) -> None:
    reader = MessageReader(gzip=True)
    reader.feed(b"\1" + len(payload).to_bytes(4, "big") + payload)
    if status is None:
        assert reader.next() == b"x" * 1000
    else:
        with pytest.raises(GrpcError) as caught:
            reader.next()
        assert caught.value.status is status


@pytest.mark.parametrize("flag", [1, 2, 255])
def test_a_compressed_message_needs_an_announced_encoding(flag: int) -> None:
    reader = MessageReader()
    reader.feed(bytes([flag]) + b"\0\0\0\1x")
    with pytest.raises(GrpcError):
        reader.next()


@pytest.mark.parametrize(("encoding", "expected"), [("", False), ("identity", False), ("gzip", True)])
def test_encodings(encoding: str, expected: bool) -> None:
    assert grpc.uses_gzip(encoding) is expected


def test_an_unknown_encoding_is_unimplemented() -> None:
    with pytest.raises(GrpcError) as caught:
        grpc.uses_gzip("snappy")
    assert caught.value.status is Status.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1H", 3600), ("2M", 120), ("30S", 30), ("1500m", 1.5), ("1u", 1e-6), ("99999999n", 0.099999999)],
)
def test_timeouts(value: str, seconds: float) -> None:
    assert grpc.timeout_seconds(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", "١S"])
def test_timeouts_that_break_the_format_are_refused(value: str) -> None:
    with pytest.raises(GrpcError):
        grpc.timeout_seconds(value)


def test_status_trailers_escape_the_message() -> None:
    assert grpc.status_trailers(Status.OK) == ((b"grpc-status", b"0"),)
    assert grpc.status_trailers(Status.INTERNAL, "50% é\n") == (
        (b"grpc-status", b"13"),
        (b"grpc-message", b"50%25 %C3%A9%0A"),
    )
