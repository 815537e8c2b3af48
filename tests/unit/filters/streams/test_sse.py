"""Every stream reads the same however it is cut, and as a slow reading of the standard says."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.errors import BadUpstreamAnswer
from filters.streams import sse
from filters.streams.sse import Event


def parse(*pieces: bytes, limit: int = sse.MAX_EVENT_BYTES) -> list[Event]:
    parser = sse.Parser(limit)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.close()


def by_the_standard(stream: bytes) -> list[Event]:
    """A character-by-character reading of "9.2.6 Interpreting an event stream", plus delivery of the last event."""
    stream = stream.removeprefix(b"\xef\xbb\xbf")
    lines, line, index = [], b"", 0
    while index < len(stream):
        byte = stream[index : index + 1]
        if byte in (b"\r", b"\n"):
            lines.append(line)
            line = b""
            if stream[index : index + 2] == b"\r\n":
                index += 1
        else:
            line += byte
        index += 1
    events, data, name = [], [], b""
    for entry in [*lines, line, b""]:
        if entry == b"":
            if data:
                events.append(Event(b"\n".join(data), name.decode(errors="replace")))
            data, name = [], b""
            continue
        if entry.startswith(b":"):
            continue
        field, value = entry.split(b":", 1) if b":" in entry else (entry, b"")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return events


snippets = st.sampled_from(
    [
        b"data: x",
        b"data:y",
        b"data:  two spaces",
        b"data",
        b"data:",
        b": comment",
        b":",
        b"event: ping",
        b"event:\xc3\xbc\xff",
        b"id: 7",
        b"retry: 10",
        b"datax: no",
        b' data: {"a":1}',
        "data: grün 🙂".encode(),
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\r\r",
        b"\xef\xbb\xbf",
    ]
)
streams = st.lists(snippets, max_size=24).map(b"".join)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


@given(streams, st.lists(st.integers(0, 10_000), max_size=8))
def test_reads_as_the_standard_says_at_any_cut(stream: bytes, places: list[int]) -> None:
    expected = by_the_standard(stream)
    assert parse(stream) == expected
    assert parse(*cut(stream, places)) == expected
    assert parse(*(stream[i : i + 1] for i in range(len(stream)))) == expected


@given(streams, st.lists(st.integers(0, 10_000), max_size=8))
def test_cutting_keeps_every_byte_and_each_piece_holds_at_most_one_event(stream: bytes, places: list[int]) -> None:
    cutter = sse.Cutter()
    pieces = [piece for part in cut(stream, places) for piece in cutter.feed(part)] + cutter.close()
    assert b"".join(pieces) == stream
    whole = sse.Cutter()
    assert pieces == whole.feed(stream) + whole.close()
    if b"\xef\xbb\xbf" not in stream:  # each piece is read as a stream of its own, which may begin with a mark
        events = [event for piece in pieces if (event := sse.parse_one(piece)) is not None]
        assert events == by_the_standard(stream)


def test_an_event_is_delivered_as_soon_as_its_blank_line_begins() -> None:
    parser = sse.Parser()
    assert parser.feed(b"data: 1\r\n\r") == [Event(b"1")]
    assert parser.feed(b"\ndata: 2\n") == []
    assert parser.feed(b"\n") == [Event(b"2")]
    assert parser.close() == []


def test_a_last_event_without_blank_line_is_delivered() -> None:
    assert parse(b"event: end\ndata: x") == [Event(b"x", "end")]


def test_neighbouring_data_lines_can_be_told_apart_again() -> None:
    (event,) = parse(b"data: 1\ndata: 2\n\n")
    assert event == Event(b"1\n2")
    assert event.lines() == [b"1", b"2"]


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_an_event_beyond_the_limit_fails_after_those_before_it(step: int) -> None:
    stream = b"data: ok\n\ndata: " + b"x" * 30 + b"\n\ndata: never\n\n"
    parser = sse.Parser(limit=20)
    events = []
    with pytest.raises(BadUpstreamAnswer) as caught:  # noqa: PT012
        for start in range(0, len(stream), step):
            events += parser.feed(stream[start : start + step])
        events += parser.close()
    assert events == [Event(b"ok")]
    assert caught.value.code == "stream_event_too_large"
    with pytest.raises(BadUpstreamAnswer):
        parser.close()


def test_a_last_event_beyond_the_limit_fails() -> None:
    parser = sse.Parser(limit=20)
    parser.feed(b"data: " + b"x" * 15)
    with pytest.raises(BadUpstreamAnswer):
        parser.close()


def test_an_event_of_exactly_the_limit_passes() -> None:
    block = b"data: " + b"x" * 14
    assert parse(*(block[i : i + 1] for i in range(20)), b"\n", b"\n", limit=20) == [Event(b"x" * 14)]


def test_the_cutter_gives_out_what_exceeds_the_limit() -> None:
    cutter = sse.Cutter(limit=4)
    assert cutter.feed(b"data") == []
    assert cutter.feed(b": x") == [b"data: x"]
    assert cutter.close() == []


def test_work_is_linear_when_a_big_event_comes_in_small_pieces() -> None:
    parser, cutter = sse.Parser(), sse.Cutter()
    for _ in range(20_000):
        assert parser.feed(b"data: xxxxxxxxxxxxxxxx") == []
        assert cutter.feed(b"data: xxxxxxxxxxxxxxxx") == []
    assert len(parser.feed(b"\n\n")) == 1
    assert len(cutter.feed(b"\n\n")) == 1


@given(st.text(alphabet="a :\n\r", max_size=20), st.sampled_from(["", "ping"]))
def test_what_is_written_reads_back(text: str, name: str) -> None:
    normal = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    assert parse(sse.frame(text.encode(), name)) == [Event(normal, name)]


def test_compact_data_is_one_line() -> None:
    assert sse.frame(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert sse.frame(b"{}", "ping") == b"event: ping\ndata: {}\n\n"
