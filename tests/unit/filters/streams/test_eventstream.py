"""AWS event stream framing: our encoder and decoder against each other, against botocore, and against hostile bytes."""

import struct
import tracemalloc
from itertools import pairwise
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.errors import BadUpstreamAnswer, TruncatedStream
from filters.streams import eventstream
from filters.streams.eventstream import Decoder, HeaderValue, Message, Timestamp

EVENT: dict[str, HeaderValue] = {
    ":event-type": "contentBlockDelta",
    ":content-type": "application/json",
    ":message-type": "event",
}
EVERY_TYPE: dict[str, HeaderValue] = {
    "true": True,
    "false": False,
    "integer": -42,
    "bytes": b"\x00\xff",
    "string": "grüße",
    "empty": "",
    "time": Timestamp(1_700_000_000_123),
    "uuid": UUID(int=7),
}

header_names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
header_values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=40),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.builds(Timestamp, st.integers(-(2**63), 2**63 - 1)),
    st.uuids(),
)
messages = st.builds(Message, st.dictionaries(header_names, header_values, max_size=5), st.binary(max_size=200))


def decode(pieces: list[bytes]) -> list[Message]:
    decoder = Decoder()
    found = [message for piece in pieces for message in decoder.feed(piece)]
    return found + decoder.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(messages, max_size=5), st.lists(st.integers(0, 10_000), max_size=8))
@settings(max_examples=150, deadline=None)
def test_what_is_encoded_comes_back_however_it_is_cut(wanted: list[Message], places: list[int]) -> None:
    stream = b"".join(eventstream.encode(message.headers, message.payload) for message in wanted)
    assert decode(cut(stream, places)) == wanted
    assert decode([bytes((byte,)) for byte in stream]) == wanted


def test_botocore_reads_our_messages() -> None:
    buffer: Any = EventStreamBuffer()
    for _ in range(3):
        buffer.add_data(eventstream.encode(EVENT, b'{"x":1}'))
    found = list(buffer)
    assert [(event.headers, event.payload) for event in found] == [(EVENT, b'{"x":1}')] * 3


def test_every_header_type_is_read_as_botocore_reads_it() -> None:
    buffer: Any = EventStreamBuffer()
    buffer.add_data(eventstream.encode(EVERY_TYPE, b""))
    (event,) = list(buffer)
    expected = {**EVERY_TYPE, "time": 1_700_000_000_123, "uuid": UUID(int=7).bytes}
    assert event.headers == expected
    assert decode([eventstream.encode(EVERY_TYPE, b"")]) == [Message(EVERY_TYPE, b"")]


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [(2, struct.pack(">b", -3), -3), (3, struct.pack(">h", -300), -300), (4, struct.pack(">i", -70_000), -70_000)],
)
def test_small_integers_are_read(kind: int, raw: bytes, value: int) -> None:
    assert decode([frame(b"\x01n" + bytes((kind,)) + raw)]) == [Message({"n": value}, b"")]


def frame(headers: bytes, payload: bytes = b"") -> bytes:
    """A message with any header block, with right checksums."""
    lengths = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    body = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return body + struct.pack(">I", crc32(body))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"\x01n\x0a", id="unknown type"),
        pytest.param(b"\x01n\x07\x00\x05ab", id="string beyond the block"),
        pytest.param(b"\x01n\x07\x00", id="length cut"),
        pytest.param(b"\x05n", id="name beyond the block"),
        pytest.param(b"\x01n", id="no type"),
        pytest.param(b"\x01n\x09\x00", id="short uuid"),
        pytest.param(b"\x01n\x05\x00", id="short integer"),
        pytest.param(b"\x01n\x08\x00", id="short time"),
        pytest.param(b"\x01n\x07\x00\x01\xff", id="string is not UTF-8"),
        pytest.param(b"\x01\xff\x00", id="name is not UTF-8"),
        pytest.param(b"\x01n\x00\x01n\x00", id="twice"),
    ],
)
def test_a_header_block_that_cannot_be_read_is_an_error(headers: bytes) -> None:
    with pytest.raises(BadUpstreamAnswer, match="corrupt AWS event stream"):
        decode([frame(headers)])


@pytest.mark.parametrize("position", [0, 3, 5, 9, 14, 60, -1])
def test_a_flipped_bit_ends_the_stream_after_the_messages_before_it(position: int) -> None:
    good = eventstream.encode(EVENT, b"{}")
    bad = bytearray(good)
    bad[position] ^= 0x40
    for pieces in ([good + bytes(bad) + good], [bytes((byte,)) for byte in good + bytes(bad) + good]):
        decoder = Decoder()
        found = [message for piece in pieces for message in decoder.feed(piece)]
        assert found == [Message(EVENT, b"{}")]
        assert decoder.error is not None
        with pytest.raises(BadUpstreamAnswer):
            decoder.close()


@pytest.mark.parametrize(
    ("total", "headers", "complaint"),
    [
        (eventstream.MAX_MESSAGE + 1, 0, "over the limit"),
        (2**32 - 1, 0, "over the limit"),
        (eventstream.MAX_MESSAGE, eventstream.MAX_HEADERS + 1, "over the limit"),
        (20, 5, "shorter than its headers"),
        (0, 0, "shorter than its headers"),
    ],
)
def test_impossible_lengths_are_refused_before_anything_is_buffered(total: int, headers: int, complaint: str) -> None:
    lengths = struct.pack(">II", total, headers)
    decoder = Decoder()
    assert decoder.feed(lengths + struct.pack(">I", crc32(lengths))) == []
    assert decoder.error is not None
    assert complaint in decoder.error.message


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff", Message({}, b"")),
        (b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96", Message({}, b"{'foo':'bar'}")),
        (
            b"\x00\x00\x00+\x00\x00\x00\x0e4\x8b\xec{\x08event-id\x04\x00\x00\xa0\x0c{'foo':'bar'}\xd3\x89\x02\x85",
            Message({"event-id": 40972}, b"{'foo':'bar'}"),
        ),
        (
            bytes.fromhex("0000003d0000002007fd8396") + b"\x0ccontent-type\x07\x00\x10application/json"
            b"{'foo':'bar'}\x8d\x9c\x08\xb1",
            Message({"content-type": "application/json"}, b"{'foo':'bar'}"),
        ),
    ],
)
def test_the_published_vectors_are_read(stream: bytes, message: Message) -> None:
    assert decode([stream]) == [message]


@pytest.mark.parametrize("keep", [1, 11, 12, 13, -1])
def test_a_stream_that_ends_inside_a_message_is_truncated(keep: int) -> None:
    with pytest.raises(TruncatedStream):
        decode([eventstream.encode(EVENT, b"{}")[:keep]])


def test_an_empty_stream_is_no_error() -> None:
    assert decode([b""]) == []


@given(st.lists(st.binary(max_size=60), max_size=10))
@settings(max_examples=200, deadline=None)
def test_random_bytes_never_raise_while_feeding(pieces: list[bytes]) -> None:
    decoder = Decoder()
    for piece in pieces:
        decoder.feed(piece)


def test_a_large_message_is_buffered_once() -> None:
    payload = bytes(4 * 1024 * 1024)
    stream = eventstream.encode(EVENT, payload)
    decoder = Decoder()
    tracemalloc.start()
    found = [message for at in range(0, len(stream), 1000) for message in decoder.feed(stream[at : at + 1000])]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [Message(EVENT, payload)]
    assert peak < 4 * len(payload)


def test_many_different_header_blocks_are_all_read() -> None:
    wanted = [Message({"n": number}, b"") for number in range(100)]
    assert decode([b"".join(eventstream.encode(message.headers, b"") for message in wanted)]) == wanted


@pytest.mark.parametrize(
    ("headers", "payload"),
    [({"": "x"}, b""), ({"n" * 256: "x"}, b""), ({"n": "x"}, bytes(eventstream.MAX_MESSAGE))],
)
def test_what_the_format_cannot_hold_is_refused(headers: dict[str, HeaderValue], payload: bytes) -> None:
    with pytest.raises(ValueError):
        eventstream.encode(headers, payload)


def test_the_text_of_a_header_is_empty_when_it_is_not_a_string() -> None:
    message = Message({"a": "x", "b": 1}, b"")
    assert [message.text(name) for name in ("a", "b", "c")] == ["x", "", ""]
