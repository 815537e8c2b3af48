"""Errors that the filter cannot write itself: it is gone, or has given the answer's head away already."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from conformance.upstream.http_server import End, Request, Response, serve
from tests.standalone import files
from tests.standalone.gateway import Gateway, running

pytestmark = pytest.mark.envoy

JSON = (("content-type", "application/json"),)


async def ask(gateway: Gateway) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
        return await client.post("/v1/chat/completions", json=body)


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/json"
    return str(answer.json()["error"]["code"])


@pytest.mark.parametrize("schema", ["OpenAI", "Anthropic"])
async def test_a_filter_that_dies_with_a_request_in_its_hands_is_an_error_that_can_be_read(
    tmp_path: Path, schema: str
) -> None:
    came = asyncio.Event()

    async def silent(_: Request) -> Response:
        came.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serve(silent) as server:
        text = files.text(files.gateway(), files.route({"m": [{"name": "b"}]}), files.backend("b", schema, server.port))
        with running(tmp_path / "run", text) as gateway:
            asked = asyncio.create_task(ask(gateway))
            await came.wait()
            os.kill(gateway.child("filters.main"), signal.SIGKILL)
            answer = await asked
    assert (answer.status_code, code(answer)) == (500, "filter_unavailable")


@pytest.mark.parametrize("end", ["eof", "reset"])
async def test_an_answer_that_breaks_off_before_it_is_translated_is_an_error_that_can_be_read(
    tmp_path: Path, end: End
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"type": "message", "content": ['

    async def broken(_: Request) -> Response:
        return Response(headers=(*JSON, ("content-length", "500")), body=pieces(), end=end)

    async with serve(broken) as server:
        text = files.text(
            files.gateway(), files.route({"m": [{"name": "b"}]}), files.backend("b", "Anthropic", server.port)
        )
        with running(tmp_path / "run", text) as gateway:
            answer = await ask(gateway)
    assert code(answer) == "answer_truncated"
    assert answer.status_code in (502, 503)
