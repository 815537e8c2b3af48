"""What goes to Anthropic is what its SDK's types describe; what comes back is what OpenAI's SDK reads."""

from collections.abc import Iterable, Mapping
from typing import Any

import anthropic.types.beta
import msgspec
import openai.types.chat
import pydantic
import pytest

from conformance import case as cases
from filters.contract import jsonlib
from filters.contract.config import Backend, Schema
from filters.contract.headers import Headers
from filters.contract.translation import Call
from filters.errors import BadUpstreamAnswer, TruncatedStream, UpstreamFailure
from filters.providers.anthropic import PROVIDER

CASES = cases.load_all(provider="anthropic")
ANSWERED = [case for case in CASES if case.answer is not None]
STABLE = anthropic.types.message_create_params.MessageCreateParamsBase
BETA = anthropic.types.beta.message_create_params.MessageCreateParamsBase
READERS = {type_: pydantic.TypeAdapter[Any](type_) for type_ in (STABLE, BETA)}
MESSAGES: list[dict[str, object]] = [{"role": "user", "content": "Hi"}]


def call(body: Mapping[str, object], *, headers: Iterable[tuple[str, str]] = (), prefix: str = "v1") -> Call:
    text = msgspec.json.encode({"model": "claude-opus-4-8", "messages": MESSAGES, **body})
    return Call(
        body=text,
        members=jsonlib.members(text),
        headers=Headers(headers),
        model="claude-opus-4-8",
        client_model="claude-opus-4-8",
        stream=body.get("stream") is True,
        include_usage=True,
        backend=Backend("b", "b", Schema("Anthropic", prefix)),
        created=1,
        request_id="r",
    )


def recorded(case: cases.Case, name: str) -> Any:
    return msgspec.json.decode((case.directory / name).read_bytes())


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_requests_are_what_the_sdk_s_types_describe(case: cases.Case) -> None:
    request = recorded(case, "upstream_request.json")
    body = request["body"]
    type_ = BETA if "anthropic-beta" in request["headers"] else STABLE
    read = READERS[type_].validate_python(body)
    list(read["messages"])  # iterables are validated as they are read
    for member in ("tools", "system"):
        list(read.get(member, ()))
    # the SDK does not name the sampling members any more; older models still take them
    assert body.keys() <= {*type_.__annotations__, "stream", "temperature", "top_p", "top_k"}


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_answers_are_what_openai_s_types_describe(case: cases.Case) -> None:
    response = recorded(case, "client_response.json")
    stream = case.directory / "client_response.sse"
    if stream.is_file():
        for line in stream.read_bytes().splitlines():
            if line.startswith(b"data: {") and not line.startswith(b'data: {"type":"error"'):
                openai.types.chat.ChatCompletionChunk.model_validate_json(line[6:], strict=True)
    elif response["status"] == 200:
        openai.types.chat.ChatCompletion.model_validate(response["body"])
    else:
        assert response["body"]["error"].keys() >= {"type", "code", "message"}


@pytest.mark.parametrize(
    ("prefix", "path"), [("", "/v1/messages"), ("v1", "/v1/messages"), ("/a//b/", "/a/b/messages")]
)
def test_the_path_is_the_prefix_and_messages(prefix: str, path: str) -> None:
    assert PROVIDER.routes["chat_completions"](call({}, prefix=prefix)).request().path == path


def test_a_stream_is_asked_for_when_the_client_asks() -> None:
    body = PROVIDER.routes["chat_completions"](call({"stream": True})).request().body
    assert body is not None
    assert body.startswith(b'{"model":"claude-opus-4-8","stream":true,')


def test_a_stream_to_a_client_that_wants_a_whole_answer_must_be_complete() -> None:
    start = b'data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":1}}}\n\n'
    for rest, error in (
        (b"", TruncatedStream),
        (b'data: {"type":"error","error":{"type":"overloaded_error","message":"o"}}\n\n', UpstreamFailure),
    ):
        translator = PROVIDER.routes["chat_completions"](call({}))
        translator.start(200, Headers([("content-type", "text/event-stream")]))
        assert translator.feed(start, end=False).body == b""
        with pytest.raises(error):
            translator.feed(rest, end=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_a_whole_answer_that_cannot_be_read_is_a_bad_answer_for_a_streaming_client_too(stream: bool, kind: str) -> None:
    translator = PROVIDER.routes["chat_completions"](call({"stream": stream}))
    assert translator.start(200, Headers([("content-type", kind)])).body == "buffer"
    with pytest.raises(BadUpstreamAnswer):
        translator.feed(b"{}", end=True)


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_object_with_a_good_status_is_a_failure_all_the_same(stream: bool) -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    translator = PROVIDER.routes["chat_completions"](call({"stream": stream}))
    translator.start(200, Headers([("content-type", "application/json")]))
    with pytest.raises(UpstreamFailure) as caught:
        translator.feed(body, end=True)
    assert (caught.value.type, caught.value.status, caught.value.message) == ("overloaded_error", 529, "Overloaded")


def test_a_stream_cut_anywhere_never_ends_as_if_it_were_complete() -> None:
    whole = (cases.CASES / "anthropic/chat_completions/stream-two-tools/upstream_response.sse").read_bytes()
    complete = whole.index(b'{"type": "message_stop"}') + len(b'{"type": "message_stop"}')
    for length in range(len(whole) + 1):
        translator = PROVIDER.routes["chat_completions"](call({"stream": True}))
        translator.start(200, Headers([("content-type", "text/event-stream")]))
        first = translator.feed(whole[:length], end=False)
        last = translator.feed(b"", end=True)
        body = (first.body or b"") + (last.body or b"")
        failed = first.failure is not None or last.failure is not None
        assert body.endswith(b"data: [DONE]\n\n") is (length >= complete)
        assert failed is (length < complete)


def test_a_stream_without_a_content_type_is_read_as_one() -> None:
    translator = PROVIDER.routes["chat_completions"](call({"stream": True}))
    assert translator.start(200, Headers([])).body == "stream"


@pytest.mark.parametrize(
    ("body", "type_", "message"),
    [
        (b'[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"m"}}]', "RESOURCE_EXHAUSTED", "m"),
        (b'{"error":"text"}', "AnthropicBackendError", "text"),
        (b'{"type":"overloaded_error","message":"m"}', "overloaded_error", "m"),
        (b'{"error":{"type":3}}', "AnthropicBackendError", '{"error":{"type":3}}'),
        (b"[1,2]", "AnthropicBackendError", "[1,2]"),
        (b"\xff<html>", "AnthropicBackendError", "\ufffd<html>"),
        (b"", "AnthropicBackendError", "status 500 without a body"),
    ],
)
def test_errors_of_every_shape_reach_the_client_as_json(body: bytes, type_: str, message: str) -> None:
    translator = PROVIDER.routes["chat_completions"](call({}))
    translator.start(500, Headers([("content-type", "application/json")]))
    output = translator.feed(body, end=True)
    assert msgspec.json.decode(output.body or b"") == {
        "type": "error",
        "error": {"type": type_, "code": "500", "message": message},
    }
