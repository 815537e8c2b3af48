"""What the official openai SDK raises when a provider refuses, fails or breaks off: the same for every provider."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import openai
import pytest
import yaml
from openai.types.chat import ChatCompletionChunk

from conformance.case import CASES, Case, load
from conformance.gateway import free_port, running
from conformance.resources import CASE_HEADER, Run, document
from conformance.upstream.replay import replaying
from filters.contract import jsonlib

pytestmark = pytest.mark.envoy

PROVIDERS = ("openai", "anthropic", "bedrock")
RAISED = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}
BODIES = {
    "openai": {"error": {"message": "the provider's own words", "type": "its_type", "param": None, "code": "its_code"}},
    "anthropic": {"type": "error", "error": {"type": "its_type", "message": "the provider's own words"}},
    "bedrock": {"message": "the provider's own words"},
}


@dataclass(frozen=True)
class Stream:
    """A stream that says "Hel", and what comes instead of "lo"."""

    suffix: str
    words: str
    failure: str


STREAMS = {
    "openai": Stream(
        suffix="sse",
        words="""\
data: {"id":"1","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{"content":"Hel"}}]}

""",
        failure="""\
data: {"error":{"message":"the provider's own words","type":"its_type"}}

""",
    ),
    "anthropic": Stream(
        suffix="sse",
        words="""\
event: message_start
data: {"type":"message_start","message":{"id":"1","type":"message","role":"assistant","model":"m","content":[]}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}

""",
        failure="""\
event: error
data: {"type":"error","error":{"type":"overloaded_error","message":"the provider's own words"}}

""",
    ),
    "bedrock": Stream(
        suffix="events.jsonl",
        words="""\
{"headers": {":event-type": "messageStart"}, "payload": {"role": "assistant"}}
{"headers": {":event-type": "contentBlockDelta"}, "payload": {"contentBlockIndex": 0, "delta": {"text": "Hel"}}}
""",
        failure="""\
{"headers": {":exception-type": "throttlingException"}, "payload": {"message": "the provider's own words"}}
""",
    ),
}


def made_case(root: Path, provider: str, name: str, upstream: dict[str, object], suffix: str, answer: str) -> Case:
    directory = root / provider / "chat_completions" / name
    directory.mkdir(parents=True)
    (root / provider / "provider.yaml").write_bytes((CASES / provider / "provider.yaml").read_bytes())
    file = {"description": name, "requirements": ["none"], "upstream": upstream}
    (directory / "case.yaml").write_text(yaml.safe_dump(file))
    (directory / "client_request.json").write_bytes(b"{}")  # the SDK writes the request
    (directory / f"upstream_response.{suffix}").write_text(answer)
    return load(directory, root)


def cases(root: Path) -> Iterator[Case]:
    for provider in PROVIDERS:
        for status in RAISED:
            upstream = {"status": status, "headers": {"retry-after": "7"}}
            body = jsonlib.encode(BODIES[provider]).decode()
            yield made_case(root, provider, f"status-{status}", upstream, "json", body)
        stream = STREAMS[provider]
        yield made_case(root, provider, "stream-error", {}, stream.suffix, stream.words + stream.failure)
        yield made_case(root, provider, "stream-reset", {"cut": "reset"}, stream.suffix, stream.words)


@contextlib.asynccontextmanager
async def replays(found: list[Case]) -> AsyncIterator[list[Run]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            Run(case=case, plan="single", number=number, port=(await stack.enter_async_context(replaying(case))).port)
            for number, case in enumerate(found)
        ]


@contextlib.contextmanager
def in_background(found: list[Case]) -> Iterator[list[Run]]:
    """The upstreams, on an event loop in a thread of its own: the SDK here is the blocking one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    upstreams = replays(found)
    try:
        yield asyncio.run_coroutine_threadsafe(upstreams.__aenter__(), loop).result(20)
        asyncio.run_coroutine_threadsafe(upstreams.__aexit__(None, None, None), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, openai.OpenAI]]:
    """`<provider>/<case>` → a client whose requests meet that case's provider."""
    root = tmp_path_factory.mktemp("cases")
    file = root / "gateway.yaml"
    port = free_port()
    with in_background(list(cases(root))) as runs:
        file.write_text(document(runs, port=port, access_log="/dev/null"))
        with running(str(file), port=port) as gateway, contextlib.ExitStack() as stack:
            yield {
                f"{run.case.provider}/{run.case.directory.name}": stack.enter_context(
                    openai.OpenAI(
                        base_url=f"{gateway.base_url}/v1",
                        api_key="any",
                        max_retries=0,
                        timeout=20,
                        default_headers={CASE_HEADER: run.key},
                    )
                )
                for run in runs
            }


@pytest.mark.parametrize("status", RAISED)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_error_answer_raises_the_class_of_its_status(
    clients: dict[str, openai.OpenAI], provider: str, status: int
) -> None:
    with pytest.raises(RAISED[status]) as caught:
        clients[f"{provider}/status-{status}"].chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=5
        )
    assert caught.value.status_code == status
    assert "the provider's own words" in caught.value.message
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_error_inside_a_stream_is_raised_after_the_words_before_it(
    clients: dict[str, openai.OpenAI], provider: str
) -> None:
    stream = clients[f"{provider}/stream-error"].chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=5, stream=True
    )
    words, error = read(stream)
    assert words == "Hel"
    assert isinstance(error, openai.APIError)
    assert "the provider's own words" in error.message


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_that_breaks_off_raises_and_is_never_a_short_answer(
    clients: dict[str, openai.OpenAI], provider: str
) -> None:
    stream = clients[f"{provider}/stream-reset"].chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=5, stream=True
    )
    words, error = read(stream)
    assert words == "Hel"
    assert error is not None


def read(stream: openai.Stream[ChatCompletionChunk]) -> tuple[str, Exception | None]:
    """The words of a stream, and what it ended with."""
    words = ""
    try:
        for chunk in stream:
            assert chunk.choices[0].finish_reason is None
            words += chunk.choices[0].delta.content or ""
    except (openai.APIError, httpx.TransportError) as error:
        return words, error
    return words, None
