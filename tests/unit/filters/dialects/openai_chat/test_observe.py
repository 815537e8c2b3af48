"""What passes through is read, never refused, at any cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract.translation import Output
from filters.contract.usage import Usage
from filters.dialects.openai_chat import observe
from filters.dialects.openai_chat.observe import BodyObserver, StreamObserver, is_usage_only
from filters.errors import TruncatedStream, UpstreamFailure
from filters.streams import sse

TEXT = b'data: {"model":"m-1","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
STOP = b'data: {"model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
USAGE = b'data: {"model":"m-1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}\n\n'
DONE = b"data: [DONE]\n\n"
COUNTED = Usage(input=9, output=2, total=11)


def summary(outputs: list[Output]) -> tuple[Usage | None, str, bool, str]:
    """What an exchange makes of them."""
    usage, model, content, failure = None, "", False, ""
    for output in outputs:
        assert output.body is None
        usage = output.usage or usage
        model = output.model or model
        content = content or output.content
        failure = output.failure.code if output.failure else failure
    return usage, model, content, failure


def whole(stream: bytes) -> tuple[Usage | None, str, bool, str]:
    return summary([StreamObserver().feed(stream, end=True)])


STREAMS = {
    "OpenAI": (TEXT + STOP + USAGE + DONE, (COUNTED, "m-1", True, "")),
    "CRLF": ((TEXT + STOP + USAGE + DONE).replace(b"\n", b"\r\n"), (COUNTED, "m-1", True, "")),
    "usage in an unterminated last line": (TEXT + STOP + USAGE.rstrip(), (COUNTED, "m-1", True, "")),
    "no blank lines between events": (
        (TEXT + STOP + USAGE + DONE).replace(b"\n\n", b"\n"),
        (COUNTED, "m-1", True, ""),
    ),
    "no space after data": ((TEXT + USAGE + DONE).replace(b": ", b":"), (COUNTED, "m-1", True, "")),
    "usage in every chunk, newest wins": (
        b'data: {"model":"m","choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":9,'
        b'"completion_tokens":1}}\n\n'
        + USAGE
        + b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}\n\n'
        + DONE,
        (Usage(input=9, output=3, total=12), "m-1", True, ""),
    ),
    "Groq": (
        TEXT + b'data: {"model":"g","choices":[{"delta":{},"finish_reason":"stop"}],'
        b'"x_groq":{"id":"r","usage":{"queue_time":0.1,"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}}\n\n',
        (COUNTED, "g", True, ""),
    ),
    "Groq without usage": (
        TEXT + b'data: {"x_groq":{"id":"usage"}}\n\ndata: {"x_groq":"usage"}\n\n' + DONE,
        (None, "m-1", True, ""),
    ),
    "Moonshot": (
        TEXT + b'data: {"choices":[{"delta":{},"finish_reason":"stop",'
        b'"usage":{"prompt_tokens":9,"completion_tokens":2}}]}\n\n',
        (COUNTED, "m-1", True, ""),
    ),
    "Azure's first chunk names no model": (
        b'data: {"choices":[],"model":"","id":"","prompt_filter_results":[]}\n\n' + TEXT + STOP + DONE,
        (None, "m-1", True, ""),
    ),
    "garbage is stepped over": (
        b": hi\n\ndata: {broken\n\ndata: [1]\n\ndata: \xff\n\nnonsense\n\n" + TEXT + b"data:\n\n" + USAGE + DONE,
        (COUNTED, "m-1", True, ""),
    ),
    "odd types are stepped over": (
        b'data: {"model":7,"choices":{"a":1},"usage":"x"}\n\ndata: {"choices":[{"delta":"x"}]}\n\n' + TEXT + DONE,
        (None, "m-1", True, ""),
    ),
    "no text, tool calls only": (
        b'data: {"model":"m","choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0}]}}]}\n\n'
        + STOP,
        (None, "m-1", True, ""),
    ),
    "no content at all": (
        b'data: {"model":"m-1","choices":[{"delta":{"role":"assistant","content":""}}]}\n\n' + STOP,
        (None, "m-1", False, ""),
    ),
    "an error object in mid-stream": (
        TEXT + b'data: {"error":{"message":"boom","type":"server_error","code":null}}\n\n',
        (None, "m-1", True, "stream_failed"),
    ),
    "vLLM's older error object": (
        TEXT + b'data: {"object":"error","message":"boom","code":400}\n\n' + DONE,
        (None, "m-1", True, "stream_failed"),
    ),
    "an error event": (TEXT + b'event: error\ndata: {"error":"boom"}\n\n', (None, "m-1", True, "stream_failed")),
    "null is no error": (TEXT + b'data: {"error":null,"usage":null}\n\n' + STOP, (None, "m-1", True, "")),
    "only the first error counts": (
        TEXT + b'data: {"error":{"code":429}}\n\ndata: {"error":{"code":500}}\n\n',
        (None, "m-1", True, "stream_failed"),
    ),
    "cut": (TEXT, (None, "m-1", True, "stream_truncated")),
    "cut inside an event": (TEXT + STOP[:20], (None, "m-1", True, "stream_truncated")),
    "nothing": (b"", (None, "", False, "stream_truncated")),
}


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS.keys())
def test_reads_a_stream_at_any_cut(stream: bytes, expected: object) -> None:
    assert whole(stream) == expected
    observer = StreamObserver()
    outputs = [observer.feed(stream[i : i + 1], end=False) for i in range(len(stream))]
    assert summary([*outputs, observer.feed(b"", end=True)]) == expected


@given(st.binary(max_size=60), st.integers(0, 60))
def test_nothing_makes_it_raise(noise: bytes, cut: int) -> None:
    observer = StreamObserver()
    observer.feed(TEXT + noise[:cut], end=False)
    observer.feed(noise[cut:], end=True)
    BodyObserver().feed(noise, end=True)
    is_usage_only(noise)


def test_tells_what_is_new_and_only_that() -> None:
    observer = StreamObserver()
    assert observer.feed(b": hello\n\n", end=False) == Output()
    assert observer.feed(TEXT, end=False) == Output(model="m-1", content=True)
    assert observer.feed(TEXT, end=False) == Output(content=True)
    assert observer.feed(TEXT[:9], end=False) == Output()
    assert observer.feed(TEXT[9:] + USAGE, end=False) == Output(content=True, usage=COUNTED)
    assert observer.feed(DONE, end=True) == Output(content=True)


def test_an_event_too_large_ends_observation_only() -> None:
    observer = StreamObserver()
    big = b"data: " + b"x" * (sse.MAX_EVENT_BYTES + 9) + b"\n\n"
    assert summary([observer.feed(part, end=False) for part in (TEXT, big, USAGE)]) == (None, "m-1", True, "")
    assert observer.feed(DONE, end=True) == Output()


@pytest.mark.parametrize(
    ("error", "type_", "status"),
    [
        (b'{"message":"m","type":"rate_limit","code":"429"}', "rate_limit", 429),
        (b'{"message":"m","code":503}', "error", 503),
        (b'{"message":["m"],"type":"","code":"rate_limit_exceeded"}', "error", 500),
        (b'{"code":200}', "error", 500),
        (b'"boom"', "error", 500),
    ],
)
def test_a_failure_tells_its_type_and_status(error: bytes, type_: str, status: int) -> None:
    failure = StreamObserver().feed(b'data: {"error":' + error + b"}\n\n", end=True).failure
    assert isinstance(failure, UpstreamFailure)
    assert (failure.type, failure.status) == (type_, status)


def test_a_cut_stream_fails() -> None:
    assert isinstance(StreamObserver().feed(TEXT, end=True).failure, TruncatedStream)


BODIES = {
    "an answer": (
        b'{"model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}',
        (COUNTED, "m", ""),
    ),
    "no usage counts as zero": (b'{"model":"m"}', (Usage(input=0, output=0, total=0), "m", "")),
    "null": (b"null", (Usage(input=0, output=0, total=0), "", "")),
    "nothing": (b"", (Usage(input=0, output=0, total=0), "", "")),
    "a page": (b"<html>", (Usage(input=0, output=0, total=0), "", "")),
    "cut": (b'{"model":"m","choices":[{"index"', (Usage(input=0, output=0, total=0), "", "")),
    "not UTF-8": (b'{"model":"\xff"}', (Usage(input=0, output=0, total=0), "", "")),
    "odd types": (
        b'{"created":"x","model":null,"choices":[{"message":{"content":[]}}],"usage":{"prompt_tokens":9,"completion_tokens":2}}',
        (COUNTED, "", ""),
    ),
    "an error with status 200": (
        b'{"error":{"message":"boom"}}',
        (Usage(input=0, output=0, total=0), "", "upstream_error"),
    ),
}


@pytest.mark.parametrize(("body", "expected"), BODIES.values(), ids=BODIES.keys())
def test_reads_a_whole_answer_at_any_cut(body: bytes, expected: object) -> None:
    for size in (1, 7, len(body) or 1):
        observer = BodyObserver()
        for start in range(0, len(body), size):
            assert observer.feed(body[start : start + size], end=False) == Output()
        output = observer.feed(b"", end=True)
        assert (output.usage, output.model, output.failure.code if output.failure else "") == expected


def test_an_answer_too_large_to_keep_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "MAX_OBSERVED_BODY", 10)
    observer = BodyObserver()
    assert [observer.feed(b"x" * 6, end=False), observer.feed(b"x" * 6, end=False)] == [Output(), Output()]
    assert observer.feed(b"", end=True) == Output()


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (USAGE, True),
        (b': c\r\ndata: { "choices" : [ ],\r\ndata: "usage": {}}\r\n\r\n', True),
        (STOP, False),
        (b'data: {"choices":[],"usage":null}\n\n', False),
        (b'data: {"choices":[]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"\\"choices\\":[]"}}],"usage":{}}\n\n', False),
        (b'data: {"choices":[{"x":{"choices":[]}}],"usage":{}}\n\n', False),
        (b'data: {"other":{"choices":[]},"usage":{}}\n\n', False),
        (b'data: {"choices":[],"x":{"usage":1}}\n\n', False),
        (b'data: "choices":[] "usage"\n\n', False),
        (b': "choices":[] "usage"\n\n', False),
    ],
)
def test_knows_a_chunk_that_tells_usage_only(piece: bytes, expected: bool) -> None:
    assert is_usage_only(piece) is expected
