"""Every translated stream looks like OpenAI's own, and says so when it is not whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from filters.contract import jsonlib
from filters.contract.jsonlib import Raw
from filters.contract.translation import Output
from filters.contract.usage import Usage
from filters.dialects.events import (
    Annotation,
    End,
    Event,
    Failure,
    Finish,
    MessageStart,
    Ping,
    ReasoningBlock,
    ReasoningDelta,
    RedactedReasoning,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from filters.dialects.openai_chat.encode import ChatStreamEncoder
from filters.errors import TruncatedStream, UpstreamFailure
from filters.streams import sse

ANNOTATION = (
    b'{"type":"url_citation","url_citation":{"url":"https://a.test","title":"A","start_index":0,"end_index":1}}'
)
ANSWER: list[Event] = [
    MessageStart("msg_1", "provider-model"),
    TextDelta(""),
    Ping(),
    ReasoningDelta("hm"),
    ReasoningBlock("hm", "sig"),
    RedactedReasoning("c2VjcmV0"),
    TextDelta("Gr\u00fc\u00dfe <&> \u2028"),
    TextDelta(""),
    RefusalDelta("no"),
    RefusalDelta(""),
    ReasoningDelta(""),
    Annotation(Raw(ANNOTATION)),
    ToolCallStart(0, "call_a", "f"),
    ToolCallDelta(0, '{"a":'),
    ToolCallDelta(0, ""),
    ToolCallDelta(0, "1}"),
    ToolCallStart(1, "call_b", "g"),
    UsageReport(Usage(input=10, cached=4)),
    Finish("tool_calls"),
    UsageReport(Usage(output=5, total=15, reasoning=2), "flex"),
    End(),
]


def encoder(*, include_usage: bool = True) -> ChatStreamEncoder:
    return ChatStreamEncoder(id="chatcmpl-req-0000", model="m", created=17, include_usage=include_usage)


def datas(body: bytes | None) -> list[bytes]:
    return [event.data for event in sse.Parser().feed(body or b"")]


def chunks(body: bytes | None) -> list[dict[str, object]]:
    return [jsonlib.decode(data, dict[str, object]) for data in datas(body) if data != b"[DONE]"]


def delta(chunk: dict[str, object]) -> object:
    match chunk["choices"]:
        case [{"delta": found}]:
            return found
    return None


def test_writes_each_event_as_its_chunk() -> None:
    output = encoder().feed(ANSWER, end=True)
    assert [delta(chunk) for chunk in chunks(output.body)] == [
        {"content": "", "role": "assistant"},
        {},
        {"reasoning_content": "hm"},
        {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "sig", "index": 0}]},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "c2VjcmV0", "index": 1}]},
        {"content": "Gr\u00fc\u00dfe <&> \u2028"},
        {"refusal": "no"},
        {"annotations": [{"index": 0, **jsonlib.decode(ANNOTATION, dict[str, object])}]},
        {"tool_calls": [{"index": 0, "id": "call_a", "function": {"arguments": "", "name": "f"}, "type": "function"}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]},
        {"tool_calls": [{"index": 1, "id": "call_b", "function": {"arguments": "", "name": "g"}, "type": "function"}]},
        {},
        None,
    ]
    assert output == Output(
        body=output.body,
        usage=Usage(input=10, output=5, total=15, cached=4, reasoning=2),
        model="provider-model",
        content=True,
    )


def test_writes_the_exact_bytes_of_a_short_answer() -> None:
    body = (
        encoder()
        .feed(
            [TextDelta("Hi"), Finish("stop"), UsageReport(Usage(input=1, output=2, cached=0), "default"), End()],
            end=True,
        )
        .body
    )
    assert body == (
        b'data: {"id":"chatcmpl-req-0000","choices":[{"index":0,"delta":{"content":"Hi","role":"assistant"},'
        b'"finish_reason":null}],"created":17,"model":"m","object":"chat.completion.chunk"}\n\n'
        b'data: {"id":"chatcmpl-req-0000","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
        b'"created":17,"model":"m","object":"chat.completion.chunk"}\n\n'
        b'data: {"id":"chatcmpl-req-0000","choices":[],"created":17,"model":"m","service_tier":"default",'
        b'"object":"chat.completion.chunk","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,'
        b'"prompt_tokens_details":{"cached_tokens":0}}}\n\n'
        b"data: [DONE]\n\n"
    )


def test_every_chunk_is_one_for_the_sdk() -> None:
    for data in datas(encoder().feed(ANSWER, end=True).body)[:-1]:
        ChatCompletionChunk.model_validate_json(data, strict=True)


def test_all_chunks_carry_the_same_id_time_and_model() -> None:
    assert {
        (chunk["id"], chunk["created"], chunk["model"], chunk["object"])
        for chunk in chunks(encoder().feed(ANSWER, end=True).body)
    } == {("msg_1", 17, "m", "chat.completion.chunk")}


@given(st.lists(st.integers(0, len(ANSWER)), max_size=6))
def test_the_bytes_do_not_depend_on_the_batches(places: list[int]) -> None:
    whole = encoder().feed(ANSWER, end=True).body
    cut = encoder()
    edges = [0, *sorted(places), len(ANSWER)]
    pieces = [cut.encode(ANSWER[start:end]) for start, end in pairwise(edges)]
    assert b"".join(pieces) + (cut.feed([], end=True).body or b"") == whole


@given(st.lists(st.sampled_from([*ANSWER, Failure("t", 500, "m"), Finish("stop"), MessageStart()]), max_size=20))
def test_any_order_of_events_gives_chunks_and_one_ending(batch: list[Event]) -> None:
    writer = encoder()
    output = writer.feed(batch, end=True)
    found = datas(output.body)
    assert sum(data == b"[DONE]" or data.startswith(b'{"type":"error"') for data in found) == 1
    assert (found[-1] == b"[DONE]") == (output.failure is None)
    for data in found[:-1]:
        ChatCompletionChunk.model_validate_json(data, strict=True)
    assert writer.feed(ANSWER, end=True) == Output(body=b"")


def test_openais_own_sdk_joins_the_chunks() -> None:
    twice = [*ANSWER[:8], *ANSWER[5:6], *ANSWER[11:12], *ANSWER[11:]]  # lists that go on in a later chunk
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for data in datas(encoder(include_usage=True).feed(twice, end=True).body)[:-1]:
        state.handle_chunk(ChatCompletionChunk.model_validate_json(data, strict=True))
    completion = state.get_final_completion().to_dict()
    message = completion["choices"][0]["message"]  # type: ignore[index]
    kinds = [block["type"] for block in message["thinking_blocks"]]
    assert kinds == ["thinking", "redacted_thinking", "redacted_thinking"]
    assert len(message["annotations"]) == 2
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["f", "g"]
    assert message["content"] == "Gr\u00fc\u00dfe <&> \u2028"


def test_a_sign_of_life_before_the_answer_is_a_comment() -> None:
    writer = encoder()
    assert writer.encode([Ping()]) == sse.PING
    assert writer.encode([MessageStart("msg_1"), Ping()]).startswith(b'data: {"id":"msg_1"')


def test_the_role_comes_with_whatever_is_first() -> None:
    for first in (
        TextDelta("a"),
        ReasoningDelta("a"),
        ReasoningBlock("a", ""),
        ToolCallStart(0, "c", "f"),
        RefusalDelta("a"),
    ):
        writer = encoder()
        (one,) = chunks(writer.encode([MessageStart(), first]))
        (two,) = chunks(writer.encode([TextDelta("b")]))
        assert "'role': 'assistant'" in str(one)
        assert "role" not in str(two)


def test_usage_goes_only_to_clients_that_asked() -> None:
    output = encoder(include_usage=False).feed(ANSWER, end=True)
    assert b"usage" not in (output.body or b"")
    assert output.usage == Usage(input=10, output=5, total=15, cached=4, reasoning=2)


def test_usage_that_is_not_known_is_not_made_up() -> None:
    output = encoder().feed([TextDelta("a"), Finish("stop"), End()], end=True)
    assert b"usage" not in (output.body or b"")
    assert output.usage is None


@pytest.mark.parametrize("begun", [[], [TextDelta("a")], [TextDelta("a"), Finish("stop")]])
def test_a_stream_that_just_stops_ends_with_an_error_and_without_done(begun: list[Event]) -> None:
    output = encoder().feed(begun, end=True)
    assert datas(output.body)[-1] == (
        b'{"type":"error","error":{"type":"TruncatedStream","code":"502",'
        b'"message":"the provider\'s stream ended before the answer was complete"}}'
    )
    assert isinstance(output.failure, TruncatedStream)
    assert output.failure.code == "stream_truncated"


def test_an_end_without_a_reason_is_a_failure() -> None:
    output = encoder().feed([TextDelta("a"), End()], end=True)
    assert isinstance(output.failure, TruncatedStream)
    assert b"[DONE]" not in (output.body or b"")


def test_a_failure_of_the_provider_ends_the_stream_once() -> None:
    writer = encoder()
    output = writer.feed([TextDelta("a"), Failure("overloaded_error", 529, 'over"loaded\n'), TextDelta("b")], end=False)
    assert datas(output.body)[1:] == [
        b'{"type":"error","error":{"type":"overloaded_error","code":"529","message":"over\\"loaded\\n"}}'
    ]
    assert isinstance(output.failure, UpstreamFailure)
    assert (output.failure.type, output.failure.status) == ("overloaded_error", 529)
    assert writer.feed([TextDelta("c"), Finish("stop"), End()], end=True) == Output(body=b"")


def test_a_batch_without_content_is_not_content() -> None:
    writer = encoder()
    assert not writer.feed([MessageStart(), TextDelta(""), Ping()], end=False).content
    assert writer.feed([ReasoningDelta("a")], end=False).content
    assert not writer.feed([Finish("stop"), End()], end=False).content
