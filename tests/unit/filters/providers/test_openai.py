"""Pass-through: which bytes are changed, which are not, and what is read on the way (OpenAI and Azure OpenAI)."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.contract.config import Backend, Schema
from filters.contract.headers import Headers
from filters.contract.translation import Call, Output, ResponseStart, Translator, UpstreamRequest
from filters.contract.usage import Usage
from filters.providers import azure_openai, openai
from filters.streams import sse

STREAM = b'{"model": "some-model", "stream": true}'
TEXT = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}\n\n'
STOP = b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
USAGE = b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}\n\n'
DONE = b"data: [DONE]\n\n"
OPENAI = Schema("OpenAI", prefix="v1")


def call(body: bytes, *, schema: Schema = OPENAI, override: str = "", usage_needed: bool = True) -> Call:
    members = jsonlib.members(body)
    return Call(
        body=body,
        members=members,
        headers=Headers(()),
        model=override or jsonlib.decode(members["model"], str),
        client_model=jsonlib.decode(members["model"], str),
        stream=b'"stream": true' in body,
        include_usage=b'"include_usage": true' in body,
        backend=Backend(name="b", short_name="b", schema=schema, model_override=override),
        created=1_700_000_000,
        request_id="req-0000",
        usage_needed=usage_needed,
    )


def openai_chat(made: Call) -> Translator:
    return openai.PROVIDER.routes["chat_completions"](made)


def azure_chat(made: Call) -> Translator:
    return azure_openai.PROVIDER.routes["chat_completions"](made)


def head(kind: str) -> Headers:
    return Headers((("content-type", kind),))


@pytest.mark.parametrize(
    ("body", "override", "sent"),
    [
        # The client's bytes are nobody's to change.
        (b'{ "model" : "some-model", "x_vendor": [1, 2 ]}\n', "", None),
        (b'{"model": "m", "stream": true, "stream_options": {"include_usage": true}}', "", None),
        # Forced usage: appended, or replaced in place.
        (STREAM, "", b'{"model": "some-model", "stream": true,"stream_options":{"include_usage":true}}'),
        (
            b'{"model": "m", "stream": true, "stream_options": {"include_usage": false}}',
            "",
            b'{"model": "m", "stream": true, "stream_options": {"include_usage": true}}',
        ),
        (
            b'{"stream_options" : { "include_usage" :false , "x": 1 }, "model": "m", "stream": true}',
            "",
            b'{"stream_options" : { "include_usage" :true , "x": 1 }, "model": "m", "stream": true}',
        ),
        (
            b'{"model": "m", "stream": true, "stream_options": {"continuous_usage_stats": true}}',
            "",
            b'{"model": "m", "stream": true, "stream_options": {"continuous_usage_stats": true,"include_usage":true}}',
        ),
        (
            b'{"model": "m", "stream": true, "stream_options": null}',
            "",
            b'{"model": "m", "stream": true, "stream_options": {"include_usage":true}}',
        ),
        (
            b'{"model": "m", "stream": true, "stream_options": {}}',
            "",
            b'{"model": "m", "stream": true, "stream_options": {"include_usage":true}}',
        ),
        (b'{"model": "m", "stream": true, "stream_options": [1]}', "", None),
        # Override: the value of `model`, and nothing else.
        (
            b'{ "messages": [{"role":"user","content":"model"}], "model" : "m" }',
            'n/"1',
            b'{ "messages": [{"role":"user","content":"model"}], "model" : "n/\\"1" }',
        ),
        # Both.
        (STREAM, "other", b'{"model": "other", "stream": true,"stream_options":{"include_usage":true}}'),
        (
            b'{"stream": true, "stream_options": {"include_usage": false}, "model": "m"}',
            "other",
            b'{"stream": true, "stream_options": {"include_usage": true}, "model": "other"}',
        ),
    ],
)
def test_changes_only_what_it_must(body: bytes, override: str, sent: bytes | None) -> None:
    made = call(body, override=override)
    assert openai_chat(made).request() == UpstreamRequest(path="/v1/chat/completions", body=sent)
    assert made.body == body  # a retry starts from it again
    assert jsonlib.members(body) == made.members


def test_no_usage_is_forced_when_none_is_needed() -> None:
    made = call(STREAM, usage_needed=False)
    translator = openai_chat(made)
    assert translator.request().body is None
    assert translator.start(200, head("text/event-stream")) == ResponseStart(body="observe")


def test_a_model_that_is_absent_is_added() -> None:
    made = call(b'{"model": "m"}', override="n")
    body = b'{"messages": []}'
    without = msgspec.structs.replace(made, body=body, members=jsonlib.members(body))
    assert openai_chat(without).request().body == b'{"messages": [],"model":"n"}'


@pytest.mark.parametrize(
    ("model", "version", "path"),
    [
        ("gpt-4o", "2024-10-21", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        (
            "../x?y#z/w",
            "2025-01-01-preview",
            "/openai/deployments/..%2Fx%3Fy%23z%2Fw/chat/completions?api-version=2025-01-01-preview",
        ),
        ("..", "v&1", "/openai/deployments/%2E%2E/chat/completions?api-version=v%261"),
    ],
)
def test_azure_names_the_deployment_in_the_path(model: str, version: str, path: str) -> None:
    schema = Schema("AzureOpenAI", version=version)
    made = call(b'{"model": "client-model"}', schema=schema, override=model)
    assert azure_chat(made).request() == UpstreamRequest(path=path)


def test_azure_sends_the_body_with_usage_forced_and_the_clients_model() -> None:
    made = call(STREAM, schema=Schema("AzureOpenAI", version="v"), override="deployment")
    assert azure_chat(made).request().body == (
        b'{"model": "some-model", "stream": true,"stream_options":{"include_usage":true}}'
    )


def run(translator: Translator, pieces: list[bytes]) -> tuple[bytes | None, Usage | None, str, str]:
    outputs = [translator.feed(piece, end=False) for piece in pieces] + [translator.feed(b"", end=True)]
    usage = None
    for output in outputs:
        usage = output.usage or usage
    body = None if outputs[0].body is None else b"".join(output.body or b"" for output in outputs)
    model = next((output.model for output in outputs if output.model), "")
    failure = next((output.failure.code for output in outputs if output.failure), "")
    return body, usage, model, failure


@given(places=st.lists(st.integers(0, 1000), max_size=8), line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_the_usage_chunk_that_was_forced_is_taken_out_again(places: list[int], line_end: bytes) -> None:
    stream = (b": hi\n\n" + TEXT + STOP + USAGE + DONE).replace(b"\n", line_end)
    edges = [0, *sorted(place % len(stream) for place in places), len(stream)]
    translator = openai_chat(call(STREAM))
    assert translator.start(200, head("text/event-stream; charset=utf-8")) == ResponseStart(body="stream")
    assert run(translator, [stream[start:end] for start, end in pairwise(edges)]) == (
        (b": hi\n\n" + TEXT + STOP + DONE).replace(b"\n", line_end),
        Usage(input=9, output=2, total=11),
        "m",
        "",
    )


def test_usage_in_chunks_with_choices_stays() -> None:
    chunk = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}\n\n'
    first = b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n'
    translator = openai_chat(call(STREAM))
    translator.start(200, head("text/event-stream"))
    assert run(translator, [first + chunk, USAGE, DONE.rstrip()])[0] == first + chunk + DONE.rstrip()


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        (TEXT, TEXT),
        (TEXT + TEXT.rstrip(), TEXT + TEXT),
        (TEXT + TEXT.rstrip() + b"\r", TEXT + TEXT),
        (TEXT + STOP[:40], TEXT),
        (TEXT + b": half a comment", TEXT),
        (b"", b""),
    ],
)
def test_a_cut_stream_ends_with_an_error_where_bytes_are_written(cut: bytes, kept: bytes) -> None:
    translator = openai_chat(call(STREAM))
    translator.start(200, head("text/event-stream"))
    body, _, _, failure = run(translator, [cut[:50], cut[50:]])
    assert body == kept + (
        b'data: {"type":"error","error":{"type":"TruncatedStream","code":"502",'
        b'"message":"the provider\'s stream ended before the answer was complete"}}\n\n'
    )
    assert failure == "stream_truncated"


def test_a_client_that_asked_gets_every_byte() -> None:
    translator = openai_chat(call(b'{"model": "m", "stream": true, "stream_options": {"include_usage": true}}'))
    assert translator.start(200, head("text/event-stream")) == ResponseStart(body="observe")
    assert run(translator, [TEXT, STOP, USAGE, DONE]) == (None, Usage(input=9, output=2, total=11), "m", "")


@pytest.mark.parametrize("body", [b'{"model": "m"}', STREAM])
@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"])
def test_a_whole_answer_passes_whatever_was_asked_for(body: bytes, kind: str) -> None:
    translator = openai_chat(call(body))
    assert translator.start(200, head(kind)) == ResponseStart(body="observe")
    answer = b'{"model":"m-2","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}'
    assert run(translator, [answer[:30], answer[30:]]) == (None, Usage(input=9, output=2, total=11), "m-2", "")


def test_a_stream_that_nobody_asked_for_is_counted_too() -> None:
    translator = openai_chat(call(b'{"model": "m"}'))
    assert translator.start(200, head("text/event-stream")) == ResponseStart(body="observe")
    assert run(translator, [TEXT, USAGE, DONE]) == (None, Usage(input=9, output=2, total=11), "m", "")


@pytest.mark.parametrize("headers", [Headers(()), head("text/plain")])
def test_an_answer_of_no_known_type_is_read_as_what_was_asked_for(headers: Headers) -> None:
    translator = openai_chat(call(STREAM))
    assert translator.start(200, headers) == ResponseStart(body="observe")
    assert run(translator, [TEXT, STOP, USAGE, DONE]) == (None, Usage(input=9, output=2, total=11), "m", "")


def test_a_page_in_place_of_a_stream_passes() -> None:
    translator = openai_chat(call(STREAM))
    assert translator.start(200, head("text/html")) == ResponseStart(body="observe")
    assert run(translator, [b"<html>"]) == (None, Usage(input=0, output=0, total=0), "", "")


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503, 302])
def test_json_errors_are_not_touched(status: int) -> None:
    assert openai_chat(call(STREAM)).start(status, head("application/json; charset=utf-8")).body == "pass"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"service not available", '"code":"503","message":"service not available"'),
        (b'<html>"a\\b"\n</html>', '"code":"503","message":"<html>\\"a\\\\b\\"\\n</html>"'),
        (b"gr\xfcn", '"code":"503","message":"gr\ufffdn"'),
        (b"", '"code":"503"'),
    ],
)
@pytest.mark.parametrize("headers", [head("text/plain"), head("text/html"), Headers(())])
def test_other_errors_become_error_objects(headers: Headers, body: bytes, error: str) -> None:
    translator = openai_chat(call(STREAM))
    assert translator.start(503, headers) == ResponseStart(body="buffer")
    assert translator.feed(body, end=True) == Output(
        body=f'{{"type":"error","error":{{"type":"OpenAIBackendError",{error}}}}}'.encode(),
        headers=(("content-type", "application/json"),),
    )


def test_an_error_that_comes_in_pieces_is_joined() -> None:
    translator = openai_chat(call(STREAM))
    translator.start(502, head("text/plain"))
    assert translator.feed(b"bad ", end=False) == Output(body=b"")
    assert b'"message":"bad gateway"' in (translator.feed(b"gateway", end=True).body or b"")


def test_a_stream_with_an_event_beyond_the_limit_still_passes() -> None:
    translator = openai_chat(call(STREAM))
    translator.start(200, head("text/event-stream"))
    big = b"data: " + b"x" * (sse.MAX_EVENT_BYTES + 9) + b"\n\n"
    body, *_ = run(translator, [TEXT, big, DONE])
    assert body == TEXT + big + DONE
