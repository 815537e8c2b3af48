"""The platform: paths, modes, errors. Whole answers and streams are shown by the conformance cases."""

from typing import Any

import pytest

from filters.contract import jsonlib
from filters.contract.headers import Headers
from filters.contract.usage import Usage
from filters.dialects.converse import failure
from filters.errors import BadUpstreamAnswer
from filters.providers.aws_bedrock import PROVIDER, ConverseChat
from filters.streams import eventstream
from tests.support.converse import USER, call_of

STREAM = "application/vnd.amazon.eventstream"


def translator(model: str = "m", *, stream: bool = False) -> ConverseChat:
    return ConverseChat(call_of(jsonlib.encode({"model": model, "messages": USER}), stream=stream))


def frame(kind: str, payload: object) -> bytes:
    return eventstream.encode({":event-type": kind}, jsonlib.encode(payload))


def test_the_provider_serves_chat() -> None:
    assert PROVIDER.schema == "AWSBedrock"
    assert isinstance(PROVIDER.routes["chat_completions"](translator()._call), ConverseChat)


@pytest.mark.parametrize(
    ("model", "segment"),
    [
        ("anthropic.claude-v2:1", "anthropic.claude-v2:1"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/x", "arn:aws:bedrock:us-east-1:1:inference-profile%2Fx"),
        ("a/../b?c#d e", "a%2F..%2Fb%3Fc%23d%20e"),
        ("..", "%2E%2E"),
        ("ü", "%C3%BC"),
    ],
)
@pytest.mark.parametrize(("stream", "operation"), [(False, "converse"), (True, "converse-stream")])
def test_the_model_is_one_path_segment(model: str, segment: str, stream: bool, operation: str) -> None:
    assert translator(model, stream=stream).request().path == f"/model/{segment}/{operation}"


@pytest.mark.parametrize(
    ("status", "content_type", "stream", "mode"),
    [
        (200, STREAM, True, "stream"),
        (200, "", True, "stream"),
        (200, "application/json", True, "buffer"),
        (200, "application/json", False, "buffer"),
        (429, "application/json", True, "buffer"),
        (503, "text/plain", False, "buffer"),
    ],
)
def test_only_a_good_stream_is_passed_piece_by_piece(status: int, content_type: str, stream: bool, mode: str) -> None:
    start = translator(stream=stream).start(status, Headers((("content-type", content_type),)))
    assert start.body == mode
    assert (("content-type", "text/event-stream") in start.headers) is (mode == "stream")


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_body_may_come_in_pieces(stream: bool) -> None:
    made = translator(stream=stream)
    made.start(429, Headers((("content-type", "application/json"), ("x-amzn-errortype", "ThrottlingException"))))
    assert made.feed(b'{"mess', end=False).body == b""
    output = made.feed(b'age":"m"}', end=True)
    assert jsonlib.decode(output.body or b"", dict[str, Any])["error"] == {
        "type": "ThrottlingException",
        "code": "429",
        "message": "m",
    }


def test_a_whole_answer_in_pieces_is_read_at_its_end() -> None:
    made = translator()
    made.start(200, Headers((("content-type", "application/json"),)))
    assert made.feed(b'{"output":{"message":', end=False).body == b""
    output = made.feed(b'{"content":[]}},"usage":{"inputTokens":1,"outputTokens":2}}', end=True)
    assert output.usage == Usage(input=1, output=2, total=3)


def test_json_instead_of_a_stream_is_a_bad_answer() -> None:
    made = translator(stream=True)
    made.start(200, Headers((("content-type", "application/json"),)))
    assert made.feed(b"{", end=False).body == b""
    with pytest.raises(BadUpstreamAnswer, match="application/json instead of a stream"):
        made.feed(b"}", end=True)


def test_usage_is_told_as_soon_as_it_is_seen() -> None:
    made = translator(stream=True)
    made.start(200, Headers((("content-type", STREAM),)))
    pieces = [
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x"}}),
        frame("messageStop", {"stopReason": "end_turn"}),
        frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 4}}),
    ]
    outputs = [made.feed(piece, end=False) for piece in pieces]
    assert [output.usage for output in outputs] == [None, None, Usage(input=5, output=2, total=7, cached=4)]
    assert [output.content for output in outputs] == [True, False, False]


@pytest.mark.parametrize(
    ("content_type", "error_type", "body", "expected"),
    [
        ("application/json", "A:http://x", b'{"message":"m"}', ("A", "m")),
        ("application/x-amz-json-1.1", "", b'{"__type":"ns#B","Message":"m"}', ("B", "m")),
        ("application/json", "", b'{"code":"C:x","message":""}', ("C", "")),
        ("application/json", ":x", b"{}", ("AWSBedrockBackendError", "")),
        ("application/json", "A", b"[1]", ("A", "[1]")),
        ("application/json", "A", b'{"reason":"x"}', ("A", '{"reason":"x"}')),
        ("text/html", "", b"\xff<", ("AWSBedrockBackendError", "\ufffd<")),
    ],
)
def test_errors_have_a_type_and_a_message(
    content_type: str, error_type: str, body: bytes, expected: tuple[str, str]
) -> None:
    assert failure.read_body(content_type, error_type, body) == expected
