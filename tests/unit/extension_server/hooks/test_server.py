"""The hooks over gRPC, on TCP, called by grpcio's client as Envoy Gateway calls them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from extension_server.hooks import messages
from extension_server.hooks.messages import METHODS, SERVICE
from extension_server.hooks.server import HEALTH_NAME, AddressInUse, HookServer
from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from tests.support.hooks import GATEWAY, Observed, scenario

HEALTH = "grpc.health.v1.Health"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
LIMIT = 20.0
"""seconds until a call counts as hanging"""


@pytest.fixture
async def server() -> AsyncIterator[tuple[HookServer, str]]:
    made = HookServer(HookService(scenario("two-fqdn-weights").results()))
    address = f"127.0.0.1:{await made.start('127.0.0.1:0')}"
    yield made, address
    await made.stop(0)


@pytest.fixture
async def channel(server: tuple[HookServer, str]) -> AsyncIterator[Any]:
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(server[1], options=unlimited) as made:
        yield made


async def call(channel: Any, method: str, request: bytes, service: str = SERVICE) -> bytes:
    return bytes(await channel.unary_unary(f"/{service}/{method}")(request, timeout=LIMIT))


async def test_all_six_methods_are_served(channel: Any) -> None:
    for method in METHODS:
        assert await call(channel, method, b"") == b""


async def test_a_recorded_translation_is_patched(channel: Any) -> None:
    recorded = scenario("two-fqdn-weights")
    expected = HookService(recorded.results()).answer("PostTranslateModify", recorded.translation)
    assert await call(channel, "PostTranslateModify", recorded.translation) == expected


async def test_sixty_four_mebibytes_are_no_wall(channel: Any) -> None:
    secret = b"s" * (66 * 1024 * 1024)
    request = messages.request("PostTranslateModify")(secrets=[secret]).SerializeToString()
    answer = messages.response("PostTranslateModify").FromString(await call(channel, "PostTranslateModify", request))
    assert [len(each) for each in answer.secrets] == [len(secret)]


async def test_what_is_no_request_is_an_error_and_the_next_call_is_fine(channel: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, "PostTranslateModify", b"\x0a\xff")
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert await call(channel, "PostTranslateModify", b"") == b""


async def test_methods_that_do_not_exist_are_unimplemented(channel: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, "PostNothingModify", b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("name", ["", SERVICE, HEALTH_NAME])
async def test_health_is_serving_before_anything_is_compiled(name: str, channel: Any) -> None:
    request = b"\x0a" + bytes([len(name)]) + name.encode() if name else b""
    assert await call(channel, "Check", request, HEALTH) == SERVING


async def test_health_of_an_unknown_service_is_not_found(channel: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, "Check", b"\x0a\x01x", HEALTH)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_lists_the_server_by_name(channel: Any) -> None:
    name = HEALTH_NAME.encode()
    entry = b"\x0a" + bytes([len(name)]) + name + b"\x12\x02" + SERVING
    assert await call(channel, "List", b"", HEALTH) == b"\x0a" + bytes([len(entry)]) + entry


async def test_watchers_of_health_learn_of_the_end(server: tuple[HookServer, str], channel: Any) -> None:
    unknown = channel.unary_stream(f"/{HEALTH}/Watch")(b"\x0a\x01x", timeout=LIMIT)
    assert await unknown.read() == SERVICE_UNKNOWN
    unknown.cancel()
    watch = channel.unary_stream(f"/{HEALTH}/Watch")(b"", timeout=LIMIT)
    assert await watch.read() == SERVING
    stopping = asyncio.ensure_future(server[0].stop(LIMIT))
    assert await watch.read() == NOT_SERVING
    watch.cancel()
    await stopping


async def test_a_port_in_use_is_an_error(server: tuple[HookServer, str]) -> None:
    """With SO_REUSEPORT two servers would share the calls."""
    with pytest.raises(AddressInUse, match=server[1]):
        await HookServer(HookService(CompiledResults())).start(server[1])


async def test_a_call_that_comes_before_anything_is_known_waits_for_it() -> None:
    recorded = scenario("two-fqdn-weights")
    results = CompiledResults(warm=False)
    measured: list[tuple[str, str]] = []
    server = HookServer(HookService(results), lambda hook, result, *_: measured.append((hook, result)), hold=LIMIT)
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        waiting = asyncio.create_task(call(channel, "PostTranslateModify", recorded.translation))
        # Answered on the same connection meanwhile: what has nothing to do with us.
        assert await call(channel, "PostTranslateModify", b"") == b""
        assert not waiting.done()
        results.put(recorded.compiled())
        results.warmed()
        server.warmed()
        expected = HookService(recorded.results()).answer("PostTranslateModify", recorded.translation)
        assert await waiting == expected
    await server.stop(0)
    assert measured == [("PostTranslateModify", "answered")] * 2


async def test_a_call_that_waited_long_enough_is_turned_away() -> None:
    recorded = scenario("two-fqdn-weights")
    sink = Observed()
    server = HookServer(HookService(CompiledResults(warm=False), sink), hold=0)
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "PostTranslateModify", recorded.translation)
    await server.stop(0)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert sink.away == [GATEWAY]
