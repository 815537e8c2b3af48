"""Two workers: the streams of one request land in different processes, and the owner answers."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.service.ext_proc import v3 as ext_proc
from envoy_data_plane.google.protobuf import Struct, Value

from filters.contract import config
from filters.contract.config import CONFIG_HEADER, LEVEL_HEADER, LISTENER_HEADER, STATIC_METADATA_NAMESPACE
from filters.contract.sections import split
from filters.extproc.attempt_exchange import BACKEND_ATTRIBUTES
from filters.extproc.listener_exchange import EXCHANGE_KEY
from filters.extproc.peers import Peers, PeerServer
from filters.extproc.program import AiFilters
from filters.extproc.service import PROCESS_PATH, Ask, ExternalProcessor, Health, last_services, services
from filters.main import _program
from filters.process.worker import Options, process_name
from tests.support.ext_proc import header_map, parse, request_body, request_headers, response_body, response_headers
from tests.support.http2_client import Pair

BACKENDS = tuple(
    config.Backend(
        name=f"ns/b{number}/route/r/rule/0/ref/{number}",
        short_name=f"ns/b{number}",
        schema=config.Schema(name="OpenAI", prefix=f"/p{number}"),
    )
    for number in (0, 1)
)
DOCUMENT = config.encode(
    config.FilterConfig(
        gateway="ns/gw",
        listeners=(
            config.Listener(
                "l", (config.VirtualHost(domains=("*",), matches=(config.Match(rule="ns/r/rule/0", model="m"),)),)
            ),
        ),
        rules=(
            config.Rule(
                name="ns/r/rule/0",
                route="ns/r",
                token="token",
                plan="attempt",
                backends=tuple(backend.name for backend in BACKENDS),
            ),
        ),
        backends=BACKENDS,
    )
)
HEADERS = {":path": "/v1/chat/completions", ":method": "POST", ":authority": "h", "content-type": "application/json"}
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


def program(worker: int, process: str = "") -> AiFilters:
    made = _program(Options(socket="none", worker=worker, workers=2), process)
    assert isinstance(made, AiFilters)
    made.load(DOCUMENT)
    return made


def metadata(level: str) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (CONFIG_HEADER.encode(), split(config.decode(DOCUMENT)).config_hash.encode()),
        (LISTENER_HEADER.encode(), b"l"),
        (LEVEL_HEADER.encode(), level.encode()),
    )


def attempt_message(exchange: str, backend: str) -> bytes:
    return bytes(
        ext_proc.ProcessingRequest(
            request_headers=ext_proc.HttpHeaders(headers=header_map(HEADERS)),
            attributes={"envoy.filters.http.ext_proc": Struct({BACKEND_ATTRIBUTES[0]: Value(string_value=backend)})},
            metadata_context=core.Metadata(
                filter_metadata={STATIC_METADATA_NAMESPACE: Struct({EXCHANGE_KEY: Value(string_value=exchange)})}
            ),
        )
    )


def listener_stream(pair: Pair) -> tuple[int, str]:
    """A request up to the point where Envoy picks a backend: its stream, and the id of its exchange."""
    stream = pair.request(PROCESS_PATH, *metadata("listener"))
    pair.send(stream, request_headers(HEADERS), request_body(BODY))
    pair.pump()
    told = parse(pair.answers[stream].messages[1]).dynamic_metadata
    assert told is not None
    return stream, told.fields[STATIC_METADATA_NAMESPACE].struct_value.fields[EXCHANGE_KEY].string_value


async def test_an_attempt_that_lands_in_the_other_worker_is_served_by_the_owner(tmp_path: Path) -> None:
    asking = Peers(lambda process: str(tmp_path / process))
    owner = ExternalProcessor(program(0).exchange, asking.ask)
    other = ExternalProcessor(program(1).exchange, asking.ask)
    peer_server = PeerServer(owner.answer)
    await peer_server.listen(str(tmp_path / process_name(0)))
    listener, upstream = Pair(services(owner, Health())), Pair(services(other, Health()))

    request, exchange = listener_stream(listener)
    for backend in BACKENDS:  # the second is a retry
        attempt = upstream.request(PROCESS_PATH, *metadata("upstream"))
        upstream.send(attempt, attempt_message(exchange, backend.name), end=True)
        upstream.pump()
        await asyncio.gather(*other.tasks)
        upstream.pump()
        answer = upstream.answers[attempt]
        common = parse(answer.messages[0]).request_headers.response
        assert common.status == ext_proc.CommonResponseResponseStatus.CONTINUE_AND_REPLACE
        sets = {option.header.key: option.header.raw_value for option in common.header_mutation.set_headers}
        assert sets[":path"].decode() == f"{backend.schema.prefix}/chat/completions"
        assert answer.headers["grpc-status"] == "0"

    listener.send(
        request, response_headers({":status": "200", "content-type": "application/json"}), response_body(b"{}")
    )
    listener.pump()
    assert len(listener.answers[request].messages) == 4
    asking.close()
    peer_server.close()


async def refused_attempt(ask: Ask | None) -> ext_proc.ImmediateResponse:
    processor = ExternalProcessor(program(1).exchange, ask)
    pair = Pair(services(processor, Health()))
    attempt = pair.request(PROCESS_PATH, *metadata("upstream"))
    pair.send(attempt, attempt_message("0-gone", BACKENDS[0].name))
    pair.pump()
    await asyncio.gather(*processor.tasks)
    pair.pump()
    (message,) = pair.answers[attempt].messages
    immediate = parse(message).immediate_response
    assert immediate is not None
    return immediate


async def test_an_owner_that_is_gone_is_a_503() -> None:
    async def gone(_: int, __: Mapping[str, str], ___: bytes) -> Sequence[bytes]:
        raise ConnectionRefusedError

    for ask in (gone, None):
        immediate = await refused_attempt(ask)
        assert immediate.status is not None
        assert immediate.status.code.value == 503
        assert b'"code":"worker_gone"' in immediate.body


async def test_a_stream_that_ends_while_its_owner_is_asked_is_let_go() -> None:
    asked = asyncio.Event()

    async def never(_: int, __: Mapping[str, str], ___: bytes) -> Sequence[bytes]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    processor = ExternalProcessor(program(1).exchange, never)
    pair = Pair(services(processor, Health()))
    attempt = pair.request(PROCESS_PATH, *metadata("upstream"))
    pair.send(attempt, attempt_message("0-x", BACKENDS[0].name))
    pair.pump()
    await asked.wait()
    pair.client.reset_stream(attempt, 8)
    pair.pump()
    await asyncio.gather(*processor.tasks, return_exceptions=True)
    assert not processor.tasks
    assert pair.server.streams == 0


async def test_an_attempt_that_lands_in_the_successor_is_served_by_the_draining_process(tmp_path: Path) -> None:
    asking = Peers(lambda process: str(tmp_path / process))
    old, successor = (
        ExternalProcessor(program(0, f"0.{pid}").exchange, asking.ask) for pid in (1, 2)
    )  # same worker number
    peer_server = PeerServer(old.answer)
    await peer_server.listen(str(tmp_path / "0.1"))
    listener, upstream = Pair(services(old, Health())), Pair(services(successor, Health()))
    _, exchange = listener_stream(listener)
    attempt = upstream.request(PROCESS_PATH, *metadata("upstream"))
    upstream.send(attempt, attempt_message(exchange, BACKENDS[0].name))
    upstream.pump()
    await asyncio.gather(*successor.tasks)
    upstream.pump()
    common = parse(upstream.answers[attempt].messages[0]).request_headers.response
    assert common.status == ext_proc.CommonResponseResponseStatus.CONTINUE_AND_REPLACE
    asking.close()
    peer_server.close()


async def test_a_draining_process_serves_attempts_and_sends_new_requests_away() -> None:
    processor = ExternalProcessor(program(0).exchange)
    listener, late = Pair(services(processor, Health())), Pair(last_services(processor, Health()))
    _, exchange = listener_stream(listener)
    attempt = late.request(PROCESS_PATH, *metadata("upstream"))
    late.send(attempt, attempt_message(exchange, BACKENDS[0].name))
    new = late.request(PROCESS_PATH, *metadata("listener"))
    late.pump()
    common = parse(late.answers[attempt].messages[0]).request_headers.response
    assert common.status == ext_proc.CommonResponseResponseStatus.CONTINUE_AND_REPLACE
    assert late.answers[new].headers["grpc-status"] == "14"
    assert late.answers[new].closed
