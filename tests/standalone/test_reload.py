"""Saving the file: applied live, without one failed request; a bad save changes nothing."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from conformance.upstream.http_server import Request, Response, serve
from filters.contract import jsonlib
from tests.standalone import files
from tests.standalone.gateway import Gateway, running
from tests.support.envoy import free_port

pytestmark = pytest.mark.envoy


def provider(name: str) -> object:
    async def handle(request: Request) -> Response:
        await asyncio.sleep(0.01)
        key = request.headers.get("authorization") or request.headers.get("x-api-key")
        assert request.target == ("/v1/messages" if name.startswith("anthropic") else "/v1/chat/completions")
        text = f"{name} {key}"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": usage,
        }
        if name.startswith("anthropic"):
            body = {
                "id": "x",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }
        return Response(headers=(("content-type", "application/json"),), body=jsonlib.encode(body))

    return handle


def one_backend(schema: str, port: int, key: str) -> str:
    type_ = "AnthropicAPIKey" if schema == "Anthropic" else "APIKey"
    return files.text(
        files.gateway(),
        files.route({"m": [{"name": "b"}]}),
        files.backend("b", schema, port),
        files.api_key("b", key, type_),
    )


def save(gateway: Gateway, text: str) -> None:
    """As an editor does: a new file over the old one."""
    path = gateway.directory / "gateway.yaml"
    new = path.with_suffix(".new")
    new.write_text(text.replace("PORT", str(gateway.port)))
    os.replace(new, path)


@pytest.fixture
async def ports() -> AsyncIterator[dict[str, int]]:
    async with (
        serve(provider("openai")) as one,  # type: ignore[arg-type]
        serve(provider("anthropic")) as two,  # type: ignore[arg-type]
    ):
        yield {"OpenAI": one.port, "Anthropic": two.port}


async def test_saves_under_load_fail_no_request_and_mix_no_providers(tmp_path: Path, ports: dict[str, int]) -> None:
    """The backend of one rule changes its provider, address and key with every save."""
    saves = 6
    schemas = ["OpenAI", "Anthropic"]
    texts = [one_backend(schemas[i % 2], ports[schemas[i % 2]], f"key-{i}") for i in range(saves + 1)]
    start = asyncio.get_running_loop()
    with running(tmp_path / "run", texts[0]) as gateway:
        done = asyncio.Event()
        answers: list[str] = []

        async def ask(client: httpx.AsyncClient) -> None:
            while not done.is_set():
                answer = await client.post(
                    "/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "x"}]}
                )
                assert answer.status_code == 200, answer.text
                answers.append(answer.json()["choices"][0]["message"]["content"])

        limits = httpx.Limits(max_keepalive_connections=16)
        async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False, limits=limits) as client:
            load = [asyncio.create_task(ask(client)) for _ in range(8)]
            try:
                for number, text in enumerate(texts[1:], 1):
                    save(gateway, text)
                    await start.run_in_executor(None, gateway.wait_for, ": applied after", number)
            finally:
                done.set()
                await asyncio.gather(*load)
            last = await client.post(
                "/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "x"}]}
            )
        expected = {
            f"{schemas[i % 2].lower()} {'' if i % 2 else 'Bearer '}key-{i}" for i in range(saves + 1)
        }  # a key of one save never meets the provider of another
        assert set(answers) <= expected
        assert len(set(answers)) > 1
        assert last.json()["choices"][0]["message"]["content"] == f"openai Bearer key-{saves}"


async def test_a_bad_save_keeps_the_last_good_configuration_and_says_why(tmp_path: Path, ports: dict[str, int]) -> None:
    good = one_backend("OpenAI", ports["OpenAI"], "k")
    with running(tmp_path / "run", good) as gateway:
        loop = asyncio.get_running_loop()
        save(gateway, good.replace("name: OpenAI", "name: OpenAy"))
        await loop.run_in_executor(None, gateway.wait_for, "not applied, the last good configuration stays in place")
        assert "AIServiceBackend default/b" in gateway.err()
        assert "spec.schema.name" in gateway.err()
        answer = await loop.run_in_executor(None, gateway.chat, "m")
        assert answer.status_code == 200
        save(gateway, good.replace("value: m\n", "value: m2\n"))
        await loop.run_in_executor(None, gateway.wait_for, ": applied after")
        assert (await loop.run_in_executor(None, gateway.chat, "m2")).status_code == 200
        assert (await loop.run_in_executor(None, gateway.chat, "m")).status_code == 404


async def test_what_only_envoy_refuses_keeps_the_last_good_configuration(tmp_path: Path, ports: dict[str, int]) -> None:
    good = one_backend("OpenAI", ports["OpenAI"], "k")
    regex = "type: RegularExpression\n        name: x-tenant\n        value: '['\n      - name: x-ai-eg-model"
    with running(tmp_path / "run", good) as gateway:
        loop = asyncio.get_running_loop()
        save(gateway, good.replace("name: x-ai-eg-model", regex))
        await loop.run_in_executor(None, gateway.wait_for, "not applied")
        assert (await loop.run_in_executor(None, gateway.chat, "m")).status_code == 200


async def test_a_listener_moves_to_another_port(tmp_path: Path, ports: dict[str, int]) -> None:
    good = one_backend("OpenAI", ports["OpenAI"], "k")
    with running(tmp_path / "run", good) as gateway:
        loop = asyncio.get_running_loop()
        port = free_port()
        save(gateway, good.replace("PORT", str(port)))
        await loop.run_in_executor(None, gateway.wait_for, ": applied after")
        gateway.port = port
        assert (await loop.run_in_executor(None, gateway.chat, "m")).status_code == 200


async def test_a_stream_outlives_the_configuration_that_it_began_with(tmp_path: Path, ports: dict[str, int]) -> None:
    go_on = asyncio.Event()

    def chunk(text: str, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
        head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return b"data: " + jsonlib.encode(head) + b"\n\n"

    async def pieces() -> AsyncIterator[bytes]:
        yield chunk("first")
        await go_on.wait()
        yield chunk("last", "stop")
        yield b"data: [DONE]\n\n"

    async def slow(_: Request) -> Response:
        return Response(headers=(("content-type", "text/event-stream"),), body=pieces())

    async with serve(slow) as server:
        with running(tmp_path / "run", one_backend("OpenAI", server.port, "k")) as gateway:
            loop = asyncio.get_running_loop()
            question = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
            async with (
                httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client,
                client.stream("POST", "/v1/chat/completions", json=question) as answer,
            ):
                lines = answer.aiter_lines()
                assert "first" in await anext(lines)
                save(gateway, one_backend("Anthropic", ports["Anthropic"], "k2"))
                await loop.run_in_executor(None, gateway.wait_for, ": applied after")
                assert "anthropic k2" in (await loop.run_in_executor(None, gateway.chat, "m")).text
                go_on.set()
                rest = "".join([line async for line in lines])
            assert "last" in rest
            assert rest.endswith("data: [DONE]")
