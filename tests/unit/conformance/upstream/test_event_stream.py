import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from conformance.upstream import event_stream

TEXTS = st.text(min_size=1, max_size=40)


@given(st.dictionaries(TEXTS, TEXTS, max_size=5), st.binary(max_size=2000))
def test_an_independent_reader_understands_every_frame(headers: dict[str, str], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event_stream.frame(headers, payload))
    (message,) = list(buffer)
    assert (message.headers, message.payload) == (headers, payload)


def test_lines_become_frames_with_the_usual_headers() -> None:
    text = b"""
{"headers": {":event-type": "a"}, "payload": {"x": 1}}
{"headers": {":exception-type": "b"}, "payload": "not json"}
{"raw": "00ff"}
"""
    data = event_stream.encode_lines(text)
    expected = (
        event_stream.frame(
            {":event-type": "a", ":content-type": "application/json", ":message-type": "event"}, b'{"x":1}'
        ),
        event_stream.frame(
            {":exception-type": "b", ":content-type": "application/json", ":message-type": "exception"}, b"not json"
        ),
        b"\0\xff",
    )
    assert data == b"".join(expected)
    assert event_stream.event("a", b'{"x":1}') == expected[0]
    assert event_stream.exception("b", b"not json") == expected[1]


@pytest.mark.parametrize("line", [b"{", b"[]", b"{}", b'{"headers": {}}', b'{"raw": "zz"}'])
def test_a_broken_line_is_named_by_its_number(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"^line 2: "):
        event_stream.encode_lines(b'{"raw": ""}\n' + line)


def test_a_header_name_has_a_limit() -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        event_stream.frame({"x" * 256: ""}, b"")
