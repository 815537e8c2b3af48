"""The provider of cluster tests: answers, and remembers what it was asked."""

from collections.abc import AsyncIterator

import httpx
import pytest

from conformance.upstream import recorder
from conformance.upstream.http_server import serve
from filters.contract import jsonlib

CHAT = "/v1/chat/completions"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve(recorder.Recorder()) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as made,
    ):
        yield made


async def test_a_chat_is_answered_in_one_piece(client: httpx.AsyncClient) -> None:
    answer = (await client.post(CHAT, json={"model": "m"})).json()
    assert answer["model"] == "m"
    assert answer["choices"][0]["message"]["content"] == recorder.ANSWER
    assert answer["usage"] == recorder.USAGE


async def test_a_chat_is_streamed(client: httpx.AsyncClient) -> None:
    answer = await client.post(CHAT, json={"model": "m", "stream": True})
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert events.pop() == "[DONE]"
    chunks = [jsonlib.decode(event.encode(), dict) for event in events]
    said = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    assert said == recorder.ANSWER
    assert chunks[-1]["usage"] == recorder.USAGE


@pytest.mark.parametrize("pause", ["0.001", "-1", "long"])
async def test_a_stream_that_takes_its_time_is_the_same(client: httpx.AsyncClient, pause: str) -> None:
    body = {"model": "m", "stream": True}
    at_once = await client.post(CHAT, json=body)
    assert (await client.post(CHAT, json=body, headers={recorder.PAUSE: pause})).text == at_once.text


async def test_probes_are_answered_and_not_kept(client: httpx.AsyncClient) -> None:
    assert (await client.get(recorder.HEALTH)).status_code == 200
    assert (await client.get(recorder.RECORDED)).json() == []


async def test_everything_that_came_is_listed_until_it_is_forgotten(client: httpx.AsyncClient) -> None:
    await client.post(CHAT, content=b"no JSON", headers={"authorization": "a"})
    assert (await client.get("/elsewhere")).status_code == 404
    first, second = (await client.get(recorder.RECORDED)).json()
    assert (first["method"], first["target"], first["body"]) == ("POST", CHAT, "no JSON")
    assert ["authorization", "a"] in first["headers"]
    assert second["target"] == "/elsewhere"
    assert (await client.delete(recorder.RECORDED)).json() == []
    assert (await client.get(recorder.RECORDED)).json() == []
