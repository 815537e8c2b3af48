"""The gRPC server in its own process, with grpcio as the client."""

import asyncio
import contextlib
import gzip
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from filters.extproc.service import HEALTH_CHECK_PATH, PROCESS_PATH
from tests.support.ext_proc import parse, request_body, request_headers, response_body, response_headers
from tests.support.filter_process import FilterProcess, running_filter

MEBIBYTE = 1024 * 1024
LARGE = 50 * MEBIBYTE
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module")
def server() -> Iterator[FilterProcess]:
    with running_filter() as process:
        yield process


@contextlib.asynccontextmanager
async def connected(server: FilterProcess, *options: tuple[str, Any]) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"unix:{server.socket}", options=[*OPTIONS, *options]) as channel:
        yield channel


def process(channel: grpc.aio.Channel, **arguments: Any) -> Any:
    return channel.stream_stream(PROCESS_PATH)(**arguments)


async def say(call: Any, message: bytes) -> Any:
    await call.write(message)
    return parse(await call.read())


async def outcome(call: Any) -> grpc.StatusCode:
    """How a call ends that is refused."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        await call.read()
    status: grpc.StatusCode = await call.code()
    return status


async def test_a_whole_conversation(server: FilterProcess) -> None:
    async with connected(server) as channel:
        call = process(channel)
        assert (await say(call, request_headers({"x-echo": "body"}))).request_headers
        assert (await say(call, request_body(b"abc"))).request_body.response.body_mutation.body == b"abc"
        assert (await say(call, response_headers())).response_headers
        assert (await say(call, response_body(b"xyz"))).response_body.response.body_mutation.body == b"xyz"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_a_thousand_streams_at_once(server: FilterProcess) -> None:
    async def converse(channel: grpc.aio.Channel, gate: asyncio.Barrier, number: int) -> bytes:
        call = process(channel)
        await say(call, request_headers({"x-echo": "body"}))
        await gate.wait()
        body = b"%d" % number
        reply = await say(call, request_body(body))
        await gate.wait()
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
        return bytes(reply.request_body.response.body_mutation.body)

    async with connected(server) as channel:
        gate = asyncio.Barrier(1000)
        answers = await asyncio.gather(*(converse(channel, gate, number) for number in range(1000)))
    assert answers == [b"%d" % number for number in range(1000)]


async def test_a_body_of_fifty_megabytes_there_and_back(server: FilterProcess) -> None:
    body = bytes(range(256)) * (LARGE // 256)
    async with connected(server) as channel:
        call = process(channel)
        await say(call, request_headers({"x-echo": "body"}))
        reply = await say(call, request_body(body))
        assert reply.request_body.response.body_mutation.body == body


async def test_a_slow_reader_does_not_make_the_server_grow(server: FilterProcess) -> None:
    # 200 MiB are on offer; the client reads nothing until the writes stand still.
    piece = request_body(bytes(MEBIBYTE))
    before = server.resident()
    async with connected(server) as channel:
        call = process(channel)
        await say(call, request_headers({"x-echo": "body"}))
        sent = 0

        async def write_all() -> None:
            nonlocal sent
            for _ in range(200):
                await call.write(piece)
                sent += 1

        writer = asyncio.create_task(write_all())
        last = -1
        while last != sent:  # until back-pressure has reached the client
            last = sent
            await asyncio.wait([writer], timeout=0.5)
        assert sent < 150
        assert server.resident() - before < 96 * MEBIBYTE
        for _ in range(200):
            assert await call.read() is not grpc.aio.EOF
        await writer
        call.cancel()


async def test_a_slow_stream_does_not_stop_its_neighbours(server: FilterProcess) -> None:
    async with connected(server) as channel:
        slow = process(channel)
        await say(slow, request_headers({"x-echo": "body"}))
        for _ in range(8):
            await slow.write(request_body(bytes(MEBIBYTE)))
        fast = process(channel)
        await say(fast, request_headers({"x-echo": "body"}))
        for _ in range(20):
            await say(fast, request_body(b"x"))
        slow.cancel()


async def test_a_deadline(server: FilterProcess) -> None:
    async with connected(server) as channel:
        call = process(channel, timeout=0.3)
        await call.write(request_headers({"x-echo": "silent"}))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_cancelled_streams_leave_the_connection_alone(server: FilterProcess) -> None:
    async with connected(server) as channel:
        for _ in range(2000):
            call = process(channel)
            await call.write(request_headers())
            call.cancel()
        call = process(channel)
        assert (await say(call, request_headers())).request_headers


async def test_compressed_messages(server: FilterProcess) -> None:
    async with connected(server) as channel:
        call = process(channel, compression=grpc.Compression.Gzip)
        await say(call, request_headers({"x-echo": "body"}))
        body = b"a" * 100_000
        assert len(gzip.compress(body)) < 1000
        assert (await say(call, request_body(body))).request_body.response.body_mutation.body == body
        call.cancel()
        deflated = process(channel, compression=grpc.Compression.Deflate)
        assert await outcome(deflated) is grpc.StatusCode.UNIMPLEMENTED


async def test_keepalive_pings_are_answered(server: FilterProcess) -> None:
    frequent = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_timeout_ms", 1000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    async with connected(server, *frequent) as channel:
        call = process(channel)
        await say(call, request_headers())
        with contextlib.suppress(TimeoutError):
            # Long enough for some pings; a server that counts them against the client would have ended the stream.
            await asyncio.wait_for(call.read(), 0.8)
        assert not call.done() or call.cancelled()


async def test_unknown_methods_and_broken_messages(server: FilterProcess) -> None:
    async with connected(server) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/no.Such/Method")(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        call = process(channel)
        await call.write(b"\xff")
        assert await outcome(call) is grpc.StatusCode.INVALID_ARGUMENT


async def test_health(tmp_path: Any) -> None:
    document = tmp_path / "good"
    document.write_text("{}")
    with running_filter() as filter_:
        async with connected(filter_) as channel:
            check = channel.unary_unary(HEALTH_CHECK_PATH)
            assert await check(b"") == b"\x08\x02"
            assert filter_.load(document).loaded
            assert await check(b"") == b"\x08\x01"


async def test_sigterm_finishes_what_is_in_flight() -> None:
    with running_filter() as filter_:
        async with connected(filter_) as channel:
            call = process(channel)
            await say(call, request_headers({"x-echo": "body"}))
            filter_.process.send_signal(signal.SIGTERM)
            assert (await say(call, request_body(b"late"))).request_body.response.body_mutation.body == b"late"
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
        assert await asyncio.to_thread(filter_.process.wait, 5) == 0
