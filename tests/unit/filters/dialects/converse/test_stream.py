"""ConverseStream: bytes to events, whatever the cut, and what becomes of broken streams."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.contract.usage import Usage
from filters.dialects.converse import stream
from filters.dialects.converse.stream import StreamDecoder
from filters.dialects.events import (
    End,
    Event,
    Failure,
    Finish,
    MessageStart,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoning,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from filters.streams import eventstream


def frame(kind: str, payload: object) -> bytes:
    return eventstream.encode({":event-type": kind, ":message-type": "event"}, jsonlib.encode(payload))


def delta(index: int | None, value: object) -> bytes:
    payload: dict[str, object] = {"delta": value}
    if index is not None:
        payload["contentBlockIndex"] = index
    return frame("contentBlockDelta", payload)


def tool(index: int | None, id_: str, name: str) -> bytes:
    payload: dict[str, object] = {"start": {"toolUse": {"toolUseId": id_, "name": name}}}
    if index is not None:
        payload["contentBlockIndex"] = index
    return frame("contentBlockStart", payload)


START = frame("messageStart", {"role": "assistant"})
STOP = frame("messageStop", {"stopReason": "end_turn"})
METADATA = frame("metadata", {"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}})
ANSWER = (
    START
    + delta(0, {"reasoningContent": {"text": "Hm"}})
    + delta(0, {"reasoningContent": {"signature": "c2ln"}})
    + frame("contentBlockStop", {"contentBlockIndex": 0})
    + delta(1, {"text": "grüße"})
    + frame("contentBlockStop", {"contentBlockIndex": 1})
    + tool(2, "t1", "f")
    + delta(2, {"toolUse": {"input": "{}"}})
    + frame("contentBlockStop", {"contentBlockIndex": 2})
    + STOP
    + METADATA
)
OPENED = [MessageStart(id="r"), TextDelta("")]


def decode(*pieces: bytes) -> list[Event]:
    decoder = StreamDecoder("r")
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return found + decoder.close()


def test_an_answer_becomes_events_in_order() -> None:
    usage = Usage(input=3, output=4, total=7)
    assert decode(ANSWER) == [
        *OPENED,
        ReasoningDelta("Hm"),
        ReasoningBlock("Hm", "c2ln"),
        TextDelta("grüße"),
        ToolCallStart(0, "t1", "f"),
        ToolCallDelta(0, "{}"),
        Finish("tool_calls"),  # whatever the stop reason says
        UsageReport(usage),
        End(),
    ]


@given(st.lists(st.integers(0, len(ANSWER)), max_size=12), st.integers(0, len(ANSWER)))
@settings(max_examples=150, deadline=None)
def test_any_cut_gives_the_same_events(places: list[int], end: int) -> None:
    part = ANSWER[:end]
    edges = [0, *sorted(min(place, end) for place in places), end]
    assert decode(*(part[left:right] for left, right in pairwise(edges))) == decode(part)


@given(st.binary(max_size=400), st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_random_bytes_end_in_a_failure_and_never_raise(noise: bytes, keep: int) -> None:
    found = decode(START * keep, noise)
    assert isinstance(found[-1], Failure)
    assert sum(isinstance(event, Failure) for event in found) == 1


@given(
    st.sampled_from(["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "metadata", "x"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["delta", "start", "text", "toolUse", "usage", "eventType"]), inner)
        ),
        max_leaves=10,
    ),
)
@settings(max_examples=200, deadline=None)
def test_odd_payloads_never_raise(kind: str, payload: object) -> None:
    last = decode(START, frame(kind, payload), STOP)[-1]
    assert last == End() or (isinstance(last, Failure) and kind.startswith("contentBlock"))


def test_events_without_an_index_belong_to_the_last_block() -> None:
    found = decode(
        START, tool(0, "a", "f"), delta(None, {"toolUse": {"input": "1"}}), frame("contentBlockStop", {}), STOP
    )
    assert ToolCallDelta(0, "1") in found


def test_reused_indexes_are_new_calls() -> None:
    stop = frame("contentBlockStop", {"contentBlockIndex": 0})
    found = decode(START, tool(0, "a", "f"), stop, tool(0, "b", "g"), stop, STOP)
    assert [event for event in found if isinstance(event, ToolCallStart)] == [
        ToolCallStart(0, "a", "f"),
        ToolCallStart(1, "b", "g"),
    ]


def test_a_call_without_arguments_has_an_object_without_members() -> None:
    stop, tool_use = (
        frame("contentBlockStop", {"contentBlockIndex": 0}),
        frame("messageStop", {"stopReason": "tool_use"}),
    )
    empty = delta(0, {"toolUse": {"input": ""}})
    for pieces in ([stop, tool_use], [empty, stop, tool_use], [tool_use], [tool_use, stop]):
        assert decode(START, tool(0, "a", "f"), *pieces).count(ToolCallDelta(0, "{}")) == 1


def test_a_call_that_was_cut_off_is_not_completed() -> None:
    found = decode(START, tool(0, "a", "f"), frame("messageStop", {"stopReason": "max_tokens"}))
    assert found[-2:] == [Finish("length"), End()]
    assert not any(isinstance(event, ToolCallDelta) for event in found)


def test_a_stream_may_begin_without_message_start() -> None:
    assert decode(delta(0, {"text": "x"}), STOP) == [*OPENED, TextDelta("x"), Finish("stop"), End()]


def test_a_missing_stop_reason_is_an_ordinary_end() -> None:
    assert Finish("stop") in decode(START, frame("messageStop", {}))


def test_redacted_pieces_are_joined_unless_padding_separates_them() -> None:
    def redacted(*pieces: str) -> list[Event]:
        blocks = [delta(0, {"reasoningContent": {"redactedContent": piece}}) for piece in pieces]
        found = decode(START, *blocks, frame("contentBlockStop", {"contentBlockIndex": 0}), STOP)
        return [event for event in found if isinstance(event, RedactedReasoning)]

    assert redacted("QUJD", "REVG") == [RedactedReasoning("QUJDREVG")]
    assert redacted("QQ==", "Qg==") == [RedactedReasoning("QQ=="), RedactedReasoning("Qg==")]


def test_endless_thinking_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_REASONING", 10)
    thought = delta(0, {"reasoningContent": {"text": "12345678"}})
    found = decode(START, thought, thought, thought)
    assert found[-1] == Failure("ReasoningTooLarge", 502, "Bedrock's reasoning is over 10 characters")
    assert found.count(ReasoningDelta("12345678")) == 1


def test_a_cut_after_the_last_event_does_not_spoil_the_answer() -> None:
    assert decode(START, STOP, METADATA, METADATA[:20])[-1] == End()


def test_a_cut_in_the_last_event_is_a_truncation() -> None:
    last = decode(START, STOP, METADATA[:20])[-1]
    assert isinstance(last, Failure)
    assert last.type == "TruncatedStream"


@pytest.mark.parametrize(
    ("headers", "payload", "failure"),
    [
        (
            {":message-type": "exception", ":exception-type": "throttlingException"},
            b'{"message":"m"}',
            ("throttlingException", 429, "m"),
        ),
        ({":exception-type": "validationException"}, b'{"Message":"m"}', ("validationException", 400, "m")),
        ({":message-type": "exception", ":exception-type": "newException"}, b"{}", ("newException", 500, "")),
        ({":message-type": "exception"}, b"plain", ("AWSBedrockBackendError", 500, "plain")),
        (
            {":message-type": "error", ":error-code": "ServiceUnavailableException", ":error-message": "m"},
            b"",
            ("ServiceUnavailableException", 503, "m"),
        ),
        ({":message-type": "error"}, b"", ("AWSBedrockBackendError", 500, "")),
    ],
)
def test_failures_have_the_status_that_their_name_stands_for(
    headers: dict[str, eventstream.HeaderValue], payload: bytes, failure: tuple[str, int, str]
) -> None:
    found = decode(START, eventstream.encode(headers, payload), STOP)
    assert found == [*OPENED, Failure(*failure)]


def test_nothing_follows_a_failure() -> None:
    decoder = StreamDecoder("r")
    decoder.feed(eventstream.encode({":message-type": "error"}, b""))
    assert decoder.feed(START + STOP) == []
    assert decoder.close() == []
