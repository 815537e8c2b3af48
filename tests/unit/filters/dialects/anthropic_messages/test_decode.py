"""Streams of the Messages API become the same events however they are cut; nothing that is sent makes them raise."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.contract.usage import Usage
from filters.dialects import events
from filters.dialects.anthropic_messages import decode
from filters.dialects.anthropic_messages.decode import EventDecoder, StreamDecoder
from filters.dialects.events import Event
from filters.errors import BadUpstreamAnswer

Counts = tuple[int | None, int | None, int | None]
BACKEND = "AnthropicBackendError"


def data(value: object) -> bytes:
    return msgspec.json.encode(value)


def frames(*items: dict[str, object]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (str(item["type"]).encode(), data(item)) for item in items)


def start(usage: object = None) -> dict[str, object]:
    message = {"id": "msg_1", "model": "claude", "usage": usage or {"input_tokens": 3, "output_tokens": 1}}
    return {"type": "message_start", "message": message}


def begin(index: int, **block: object) -> dict[str, object]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **change: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": change}


def stop(index: int) -> dict[str, object]:
    return {"type": "content_block_stop", "index": index}


def finish(reason: str | None = "end_turn", usage: object = None) -> dict[str, object]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


STOP: dict[str, object] = {"type": "message_stop"}
WHOLE = frames(
    start(),
    begin(0, type="thinking", thinking=""),
    delta(0, type="thinking_delta", thinking="Hm — "),
    delta(0, type="signature_delta", signature="c2ln"),
    stop(0),
    begin(1, type="text", text=""),
    delta(1, type="text_delta", text="日本 🎉"),
    stop(1),
    begin(2, type="tool_use", id="t", name="f", input={}),
    delta(2, type="input_json_delta", partial_json='{"a":'),
    delta(2, type="input_json_delta", partial_json=" 1}"),
    stop(2),
    finish("tool_use", {"output_tokens": 7}),
    STOP,
)


def decoded(stream: bytes, cuts: list[int] | None = None, json_tool: str = "") -> list[Event]:
    decoder = StreamDecoder(json_tool=json_tool, backend_error=BACKEND)
    edges = [0, *sorted(cuts or []), len(stream)]
    out: list[Event] = []
    for number, left in enumerate(edges[:-1]):
        out += decoder.feed(stream[left : edges[number + 1]], end=number == len(edges) - 2)
    return out


def text_of(happened: list[Event]) -> str:
    return "".join(event.text for event in happened if isinstance(event, events.TextDelta))


def last_usage(happened: list[Event]) -> Usage | None:
    usage = None
    for event in happened:
        if isinstance(event, events.UsageReport):
            usage = event.usage if usage is None else usage.merged(event.usage)
    return usage


def test_a_stream_becomes_the_events_of_an_answer() -> None:
    assert decoded(WHOLE) == [
        events.MessageStart("msg_1", "claude"),
        events.UsageReport(Usage(input=3, total=3)),
        events.ReasoningDelta("Hm — "),
        events.ReasoningBlock("Hm — ", "c2ln"),
        events.TextDelta("日本 🎉"),
        events.ToolCallStart(0, "t", "f"),
        events.ToolCallDelta(0, '{"a":'),
        events.ToolCallDelta(0, " 1}"),
        events.UsageReport(Usage(input=3, output=7, total=10)),
        events.Finish("tool_calls"),
        events.End(),
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=20), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_cuts_and_line_ends_change_nothing(cuts: list[int], line_end: bytes) -> None:
    stream = WHOLE.replace(b"\n", line_end)
    assert decoded(stream, [min(cut, len(stream)) for cut in cuts]) == decoded(WHOLE)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_broken_streams_never_raise(source: st.DataObject) -> None:
    damaged = bytearray(WHOLE)
    for _ in range(source.draw(st.integers(1, 4))):
        damaged[source.draw(st.integers(0, len(damaged) - 1))] = source.draw(st.integers(0, 255))
    happened = decoded(bytes(damaged))
    assert sum(isinstance(event, events.Failure) for event in happened) <= 1


# start in/r/c, delta in/r/c/out → prompt, cached, creation, completion (translation chapter §19.5)
USAGE = [
    ((9, 1, 0), (9, 1, 0, 16), (10, 1, 0, 16)),
    ((5, 0, 3), (5, 0, 3, 10), (8, 0, 3, 10)),
    ((9, 2, 3), (9, 2, 3, 20), (14, 2, 3, 20)),
    ((9, 0, 0), (None, None, None, 16), (9, 0, 0, 16)),
    ((9, 5, 2), (None, None, None, 16), (16, 5, 2, 16)),
    ((9, 0, 0), (9, 5, 2, 16), (16, 5, 2, 16)),
    ((9, 5, 2), (9, 1, 0, 16), (10, 1, 0, 16)),
    ((10, 0, 0), (None, 3, None, 20), (13, 3, 0, 20)),
    ((8, 0, 0), (None, None, 4, 15), (12, 0, 4, 15)),
    ((7, 0, 0), (None, 2, 3, 12), (12, 2, 3, 12)),
    ((20, 5, 3), (None, 7, 2, None), (29, 7, 2, None)),
    ((678, 13363, 0), (678, 13363, 0, 5), (14041, 13363, 0, 5)),
    ((200, 0, 5000), (200, 0, 5000, 8), (5200, 0, 5000, 8)),
]
NAMES = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


@pytest.mark.parametrize(("first", "second", "counted"), USAGE)
def test_usage_is_cumulative(
    first: tuple[int, ...], second: tuple[int | None, ...], counted: tuple[int | None, ...]
) -> None:
    began = {**dict(zip(NAMES, first, strict=False)), "output_tokens": 1}
    changed = {name: value for name, value in zip(NAMES, second, strict=True) if value is not None}
    prompt, cached, creation, completion = counted
    assert last_usage(decoded(frames(start(began), finish(usage=changed), STOP))) == Usage(
        input=prompt,
        output=completion,
        total=(prompt or 0) + (completion or 0),
        cached=cached,
        cache_creation=creation,
    )


def test_a_later_event_without_usage_resets_nothing() -> None:
    counts = {"output_tokens": 16, "output_tokens_details": {"thinking_tokens": 4}}
    began = {"input_tokens": 10, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    happened = decoded(frames(start(began), finish(usage=counts), finish(None), STOP))
    assert last_usage(happened) == Usage(input=10, output=16, total=26, cached=0, cache_creation=0, reasoning=4)
    assert events.Finish("stop") in happened


@pytest.mark.parametrize("nonsense", [-1, 2**60])
def test_counts_that_cannot_be_are_not_believed(nonsense: int) -> None:
    happened = decoded(frames(start(), finish(usage={"input_tokens": nonsense, "output_tokens": 2.0}), STOP))
    assert last_usage(happened) == Usage(input=3, output=2, total=5)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (b"event: message_start\ndata: {\n\n", "unmarshal message_start"),
        (b'event: message_start\ndata: {"type":"message_start"}\n\n', "unmarshal message_start: missing message"),
        (b"event: content_block_start\ndata: []\n\n", "failed to unmarshal content_block_start"),
        (b'event: content_block_delta\ndata: {"delta":{"text":1}}\n\n', "unmarshal content_block_delta"),
        (b'event: content_block_delta\ndata: {"index":1}\n\n', "unmarshal content_block_delta: missing delta"),
        (b'event: message_delta\ndata: {"usage":{"input_tokens":"9"}}\n\n', "unmarshal message_delta usage fields: "),
        (
            frames(delta(4, type="input_json_delta", partial_json="{")),
            "received input_json_delta for unknown tool at index 4",
        ),
        (frames(begin(0, type="tool_use", id="t", name="f", input=[1])), "failed to unmarshal content_block_start"),
        (b"event: error\ndata: oops\n\n", "unparsable error event"),
        (b'event: error\ndata: {"type":"error"}\n\n', "unparsable error event"),
        (b'data: {"type":"message_sta\n\n', "unmarshal event"),
    ],
)
def test_a_frame_that_cannot_be_read_is_a_failure(broken: bytes, message: str) -> None:
    happened = decoded(broken + WHOLE)
    assert len(happened) == 1
    failure = happened[0]
    assert isinstance(failure, events.Failure)
    assert (failure.type, failure.status, failure.message[: len(message)]) == (BACKEND, 502, message)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, ("overloaded_error", 529, "Overloaded")),
        ({"type": "rate_limit_error", "message": "slow"}, ("rate_limit_error", 429, "slow")),
        ({"type": "new_error", "message": "?"}, ("new_error", 500, "?")),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "m"}, ("RESOURCE_EXHAUSTED", 429, "m")),
        ("just text", (BACKEND, 500, "just text")),
        ({"type": None, "message": None}, (BACKEND, 500, "")),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_the_provider_s_errors_keep_their_names(error: object, failure: tuple[str, int, str], named: bool) -> None:
    head = b"event: error\n" if named else b""
    stream = b"%bdata: %b\n\n" % (head, data({"type": "error", "error": error}))
    assert decoded(stream + WHOLE) == [events.Failure(*failure)]


def test_what_is_unknown_is_passed_over() -> None:
    stream = b": comment\n\ndata: [DONE]\n\nevent: news\ndata: not json\n\n" + frames(
        start(), begin(0, type="news"), delta(0, type="news_delta", text="no"), stop(0), stop(9), {"type": "x"}
    )
    assert decoded(stream) == decoded(frames(start()))


def test_events_whose_blank_lines_are_missing_are_told_apart() -> None:
    glued = WHOLE.replace(b"}\n\nevent", b"}\nevent")
    assert decoded(glued) == decoded(WHOLE)


def test_a_json_text_on_several_data_lines_is_one() -> None:
    split = frames(start()).replace(b'"message":', b'"message":\ndata: ')
    assert decoded(split) == decoded(frames(start()))


def test_server_tools_are_hidden() -> None:
    hidden = (
        begin(0, type="server_tool_use", id="s", name="web_search", input={}),
        delta(0, type="input_json_delta", partial_json='{"q":1}'),
        stop(0),
        begin(1, type="web_search_tool_result", tool_use_id="s", content=[]),
        stop(1),
        begin(2, type="tool_use", id="t", name="f", input={}),
        stop(2),
    )
    assert [event for event in decoded(frames(*hidden)) if not isinstance(event, events.UsageReport)] == [
        events.ToolCallStart(0, "t", "f"),
        events.ToolCallDelta(0, "{}"),
    ]


def test_input_that_comes_with_the_start_is_the_arguments_unless_pieces_follow() -> None:
    whole = frames(begin(0, type="tool_use", id="t", name="f", input={"a": 1}), stop(0))
    assert events.ToolCallDelta(0, '{"a":1}') in decoded(whole)
    pieces = frames(
        begin(0, type="tool_use", id="t", name="f", input={"a": 1}),
        delta(0, type="input_json_delta", partial_json='{"a": 1}'),
        stop(0),
    )
    assert [event for event in decoded(pieces) if isinstance(event, events.ToolCallDelta)] == [
        events.ToolCallDelta(0, '{"a": 1}')
    ]


def test_blocks_may_interleave() -> None:
    stream = frames(
        begin(0, type="tool_use", id="a", name="f", input={}),
        begin(1, type="tool_use", id="b", name="g", input={}),
        delta(1, type="input_json_delta", partial_json="[b]"),
        delta(0, type="input_json_delta", partial_json="[a]"),
        stop(0),
        stop(1),
    )
    assert decoded(stream)[2:] == [events.ToolCallDelta(1, "[b]"), events.ToolCallDelta(0, "[a]")]


def test_blocks_left_open_end_with_the_message() -> None:
    stream = frames(begin(0, type="thinking", thinking="T", signature="s"), finish(), STOP)
    assert decoded(stream)[-3:] == [events.ReasoningBlock("T", "s"), events.Finish("stop"), events.End()]


def test_deltas_of_blocks_that_were_never_announced_are_kept() -> None:
    stream = frames(
        delta(0, type="thinking_delta", thinking="T"),
        delta(0, type="signature_delta", signature="s"),
        stop(0),
        delta(1, type="text_delta", text="x"),
    )
    assert decoded(stream) == [
        events.ReasoningDelta("T"),
        events.ReasoningBlock("T", "s"),
        events.TextDelta("x"),
    ]


def test_the_forced_tool_s_input_is_the_text() -> None:
    stream = frames(
        begin(0, type="tool_use", id="t", name="answer", input={}),
        delta(0, type="input_json_delta", partial_json='{"a":1}'),
        stop(0),
        finish("tool_use"),
        STOP,
    )
    assert decoded(stream, json_tool="answer") == [events.TextDelta('{"a":1}'), events.Finish("stop"), events.End()]
    empty = frames(begin(0, type="tool_use", id="t", name="answer", input={}), stop(0))
    assert text_of(decoded(empty, json_tool="answer")) == "{}"


def test_a_thinking_block_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_THINKING", 10)
    happened = decoded(frames(*[delta(0, type="thinking_delta", thinking="1234")] * 5))
    assert isinstance(happened[-1], events.Failure)


def test_open_blocks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_OPEN_BLOCKS", 3)
    happened = decoded(frames(*(begin(index, type="thinking") for index in range(5))))
    assert isinstance(happened[-1], events.Failure)
    happened = decoded(frames(*(delta(index, type="signature_delta", signature="s") for index in range(5))))
    assert isinstance(happened[-1], events.Failure)


def test_an_error_object_without_a_kind_is_an_error() -> None:
    assert decoded(b'data: {"error":{"type":"api_error","message":"m"}}\n\n') == [events.Failure("api_error", 500, "m")]


def test_an_event_beyond_the_limit_is_a_failure_after_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode.sse, "MAX_EVENT_BYTES", 1000)
    monkeypatch.setattr(decode.sse.Parser.__init__, "__defaults__", (1000,))
    happened = decoded(frames(start()) + b"data: " + b"x" * 2000, cuts=[150, 400, 1900])
    assert happened[:-1] == decoded(frames(start()))
    assert isinstance(happened[-1], events.Failure)


@pytest.mark.parametrize(
    "message",
    [{"content": [{"type": "tool_use", "input": 5}]}, {"content": [], "usage": {"input_tokens": "x"}}, {"content": 1}],
)
def test_a_message_of_wrong_types_cannot_be_read(message: object) -> None:
    with pytest.raises(BadUpstreamAnswer):
        EventDecoder(backend_error=BACKEND).message(data(message))


def test_an_empty_thinking_block_is_nothing() -> None:
    assert decoded(frames(begin(0, type="thinking", thinking=""), stop(0))) == []


def test_a_whole_message_gives_the_events_of_its_stream() -> None:
    message = {
        "id": "msg_1",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "Hm — ", "signature": "c2ln"},
            {"type": "text", "text": "日本 🎉"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 7},
    }
    whole = EventDecoder(backend_error=BACKEND).message(data(message))
    streamed = decoded(WHOLE)
    assert text_of(whole) == text_of(streamed)
    assert last_usage(whole) == last_usage(streamed)
    assert [
        event for event in whole if isinstance(event, events.ReasoningBlock | events.ToolCallStart | events.Finish)
    ] == [
        event for event in streamed if isinstance(event, events.ReasoningBlock | events.ToolCallStart | events.Finish)
    ]
