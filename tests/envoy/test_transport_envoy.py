"""The gRPC server behind a real Envoy."""

import asyncio
import collections
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from conformance.upstream.http_server import Request, Response, serve
from tests.support.envoy import RunningEnvoy, free_port, running_envoy
from tests.support.ext_proc_bootstrap import ext_proc_bootstrap
from tests.support.filter_process import FilterProcess, running_filter
from tests.support.http_client import HttpClient, Reply, post

pytestmark = pytest.mark.envoy

LARGE = 50 * 1024 * 1024
LIMIT = 30.0
"""Seconds; a request that takes longer hangs."""


async def echo(request: Request) -> Response:
    """An upstream that answers the body, and the `x-` headers that it got."""
    headers = [("content-type", "application/json")]
    headers += [(name, value) for name, value in request.headers.items if name in {"x-answered-by", "x-echo-size"}]
    return Response(headers=tuple(headers), body=request.body)


@contextlib.asynccontextmanager
async def gateway(sockets: list[str], *, graceful: bool = False) -> AsyncIterator[tuple[int, RunningEnvoy]]:
    """Envoy's port, and Envoy: in front of an echoing upstream, with ext_proc on `sockets`."""
    async with serve(echo) as upstream:
        port = free_port()
        bootstrap = ext_proc_bootstrap(port, sockets, upstream_port=upstream.port, graceful=graceful)
        with running_envoy(bootstrap) as envoy:
            yield port, envoy


@pytest.fixture(scope="module")
def server() -> Iterator[FilterProcess]:
    with running_filter() as process:
        yield process


async def all_of(replies: list[asyncio.Task[Reply]]) -> list[Reply]:
    async with asyncio.timeout(LIMIT):
        return await asyncio.gather(*replies)


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    """Waits for something that other processes do."""
    async with asyncio.timeout(LIMIT):
        while not await check():  # noqa: ASYNC110  nobody here can set an event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("graceful", [True, False], ids=["half-close", "reset"])
async def test_bodies_are_replaced_both_ways(server: FilterProcess, graceful: bool) -> None:
    async with gateway([server.socket], graceful=graceful) as (port, envoy):
        client = HttpClient(port)
        for number in range(20):
            body = b'{"n": %d}' % number
            reply = await client.post(body, {"x-echo": "body"})
            assert (reply.status, reply.body) == (200, body)
            assert reply.headers["x-echo-size"] == str(len(body))
        client.close()
        stats = envoy.stats("ext_proc")
        assert stats["http.main.ext_proc.streams_started"] == 20
        assert stats["http.main.ext_proc.streams_failed"] == 0
        assert stats["http.main.ext_proc.spurious_msgs_received"] == 0


async def test_a_failed_exchange_is_a_500_with_a_code_and_harms_nobody_else(server: FilterProcess) -> None:
    async with gateway([server.socket]) as (port, _):
        for mode in ("raise", "raise-body"):
            reply = await post(port, b"{}", {"x-echo": mode})
            assert reply.status == 500
            assert b'"code":"internal_error"' in reply.body
        reply = await post(port, b"{}", {"x-echo": "immediate"})
        assert (reply.status, reply.body) == (418, b"short and stout")
        assert (await post(port, b"{}")).status == 200


async def test_a_failure_within_a_streamed_answer_breaks_it_off(server: FilterProcess) -> None:
    async with gateway([server.socket]) as (port, _):
        reply = await post(port, b"x" * 1000, {"x-echo": "raise-stream"})
        assert reply.status == 500 or not reply.complete
        reply = await post(port, b"x" * 1000, {"x-echo": "stream"})
        assert (reply.status, reply.body, reply.complete) == (200, b"x" * 1000, True)


async def test_a_thousand_requests_at_once(server: FilterProcess) -> None:
    async with gateway([server.socket]) as (port, envoy):
        tasks = [asyncio.create_task(post(port, b"%d" % number, {"x-echo": "body"})) for number in range(1000)]
        replies = await all_of(tasks)
        assert [(reply.status, reply.body) for reply in replies] == [(200, b"%d" % number) for number in range(1000)]
        assert envoy.stats("ext_proc")["http.main.ext_proc.streams_failed"] == 0


async def test_fifty_megabytes_there_and_back(server: FilterProcess) -> None:
    body = os.urandom(1024) * (LARGE // 1024)
    async with gateway([server.socket]) as (port, _):
        reply = await asyncio.wait_for(post(port, body, {"x-echo": "body"}), LIMIT)
        assert reply.status == 200
        assert reply.body == body


async def test_clients_that_hang_up_leave_nothing_behind(server: FilterProcess) -> None:
    async with gateway([server.socket]) as (port, envoy):
        for _ in range(50):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\nx-echo: silent\r\n\r\n12345")
            await writer.drain()
            writer.close()
        assert (await post(port, b"{}")).status == 200

        async def idle() -> bool:
            return envoy.stats("cluster.ext_proc.upstream_rq_active")["cluster.ext_proc.upstream_rq_active"] == 0

        await until(idle)


async def test_a_request_that_lands_in_another_worker_is_answered_by_its_owner() -> None:
    with running_filter("--workers", "2") as filter_:
        for number in (0, 1):
            async with gateway([f"{filter_.socket}.{number}"]) as (port, _):
                for owner in (0, 1):
                    name = f"{owner}.{filter_.worker(owner)}"
                    reply = await post(port, b"{}", {"x-echo": f"owner-{name}"})
                    assert reply.headers["x-answered-by"] == str(owner)
                    assert reply.headers["x-served-by"] == str(number)
                assert (await post(port, b"{}", {"x-echo": "owner-7.7"})).status == 503


async def test_a_worker_killed_under_load_comes_back_and_no_request_hangs() -> None:
    with running_filter("--workers", "2") as filter_:
        async with gateway([f"{filter_.socket}.{number}" for number in (0, 1)]) as (port, _):
            stop = asyncio.Event()

            async def load() -> list[int]:
                client, statuses = HttpClient(port), []
                while not stop.is_set():
                    reply = await asyncio.wait_for(client.post(b"{}", {"x-echo": "body"}), LIMIT)
                    statuses.append(reply.status)
                client.close()
                return statuses

            tasks = [asyncio.create_task(load()) for _ in range(16)]
            for number in (0, 1, 0):
                old = filter_.worker(number)
                os.kill(old, signal.SIGKILL)
                await until(lambda number=number, old=old: replaced(filter_, number, old))
                await until(lambda number=number: answers_by(port, number))
            stop.set()
            statuses = [status for task in tasks for status in await task]
            assert len(statuses) > 100
            # What is in flight in the killed process is lost; the rest is not.
            assert sum(status != 200 for status in statuses) <= 3 * 16, collections.Counter(statuses)
            for _ in range(20):
                assert (await post(port, b"{}")).status == 200


async def replaced(filter_: FilterProcess, worker: int, old: int) -> bool:
    with contextlib.suppress(LookupError, FileNotFoundError):
        return filter_.worker(worker) != old
    return False


async def answers_by(port: int, worker: int) -> bool:
    reply = await post(port, b"{}")
    return reply.headers.get("x-served-by") == str(worker)


async def test_a_successor_takes_the_socket_over_without_one_failed_request() -> None:
    async with contextlib.AsyncExitStack() as stack:
        first = stack.enter_context(running_filter())
        port, _ = await stack.enter_async_context(gateway([first.socket]))
        stop = asyncio.Event()

        async def load() -> list[int]:
            client, statuses = HttpClient(port), []
            while not stop.is_set():
                statuses.append((await asyncio.wait_for(client.post(b"{}", {"x-echo": "body"}), LIMIT)).status)
            client.close()
            return statuses

        tasks = [asyncio.create_task(load()) for _ in range(8)]
        previous = first
        for _ in range(2):
            successor = stack.enter_context(running_filter("--socket", first.socket))
            previous.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(previous.process.wait, LIMIT) == 0
            previous = successor
        stop.set()
        statuses = [status for task in tasks for status in await task]
        assert set(statuses) == {200}
