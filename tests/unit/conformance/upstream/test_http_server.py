import asyncio
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from conformance.upstream.http_server import End, Request, Response, serve


async def echo(request: Request) -> Response:
    return Response(headers=(("x-target", request.target),), body=request.body)


async def pieces() -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"


def streaming(end: End) -> Response:
    return Response(body=pieces(), end=end)


async def test_bytes_are_answered_with_a_length_and_the_connection_stays() -> None:
    async with serve(echo, record=True) as server, httpx.AsyncClient(trust_env=False) as client:
        for body in (b"a", b"x" * 1_000_000, b""):
            answer = await client.post(f"http://127.0.0.1:{server.port}/p?q=1", content=body)
            assert (answer.content, answer.headers["x-target"]) == (body, "/p?q=1")
            assert answer.headers["content-length"] == str(len(body))
        assert server.connections == 1
        assert [len(request.body) for request in server.requests] == [1, 1_000_000, 0]


@pytest.mark.parametrize(("end", "framing"), [("clean", "transfer-encoding"), ("close", "connection")])
async def test_an_iterable_is_streamed(end: End, framing: str) -> None:
    async def handler(_: Request) -> Response:
        return streaming(end)

    async with serve(handler) as server, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/")
        assert answer.content == b"one two"
        assert framing in answer.headers


@pytest.mark.parametrize(("end", "error"), [("eof", httpx.RemoteProtocolError), ("reset", httpx.ReadError)])
async def test_a_cut_answer_ends_in_an_error_after_its_last_byte(end: End, error: type[Exception]) -> None:
    async def handler(_: Request) -> Response:
        return streaming(end)

    received: list[bytes] = []

    async def read(client: httpx.AsyncClient, url: str) -> None:
        async with client.stream("GET", url) as answer:
            async for piece in answer.aiter_raw():
                received.append(piece)  # noqa: PERF401  a comprehension would lose them on the error

    async with serve(handler) as server, httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(error):
            await read(client, f"http://127.0.0.1:{server.port}/")
    assert b"".join(received) == b"one two"


async def test_what_is_no_http_closes_the_connection() -> None:
    async with serve(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x16\x03\x01 not http\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async with serve(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 100 \r\n"
        writer.write(b"ok")
        assert b"200" in (await reader.readuntil(b"ok"))
        writer.close()
        await writer.wait_closed()


async def test_a_port_in_use_is_an_error() -> None:
    async with serve(echo) as server:
        with pytest.raises(OSError, match="in use"):
            async with serve(echo, port=server.port):
                pass


async def test_a_wrong_certificate_does_not_disturb_the_server() -> None:
    async with serve(echo, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as server:
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.get(f"https://127.0.0.1:{server.port}/")
