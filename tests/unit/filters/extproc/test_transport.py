"""The gRPC server's connection, with a client in memory."""

import logging

import pytest

from filters.extproc import http2, transport
from filters.extproc.exchange import CloseReason
from filters.extproc.service import (
    HEALTH_CHECK_PATH,
    HEALTH_WATCH_PATH,
    PROCESS_PATH,
    ExternalProcessor,
    Health,
    services,
)
from tests.support.echo import echo_factory
from tests.support.ext_proc import parse, request_body, request_headers, response_body, response_headers
from tests.support.http2_client import Pair

CANCEL = 8


class World:
    """A client and a server with echo exchanges; `closed` is how these ended."""

    def __init__(self, *, window: int | None = None) -> None:
        self.closed: list[CloseReason] = []
        self.health = Health()
        self.pair = Pair(services(ExternalProcessor(echo_factory(self.closed)), self.health), window=window)

    def process(self, *headers: tuple[bytes, bytes], end: bool = False) -> int:
        return self.pair.request(PROCESS_PATH, *headers, end=end)


def test_a_conversation_from_headers_to_half_close() -> None:
    world = World()
    pair = world.pair
    stream = world.process()
    for message in (request_headers(), request_body(b"x"), response_headers(), response_body(b"y")):
        pair.send(stream, message)
        pair.pump()
    pair.client.end_stream(stream)
    pair.pump()
    answer = pair.answers[stream]
    assert [next(iter(parse(message).to_dict())) for message in answer.messages] == [
        "requestHeaders",
        "requestBody",
        "responseHeaders",
        "responseBody",
    ]
    assert answer.headers["grpc-status"] == "0"
    assert answer.closed
    assert world.closed == ["end"]
    assert pair.server.streams == 0


def test_messages_and_the_end_in_one_read() -> None:
    world = World()
    stream = world.process()
    world.pair.send(stream, request_headers({"x-echo": "body"}), request_body(b"abc"), end=True)
    world.pair.pump()
    replies = world.pair.answers[stream].messages
    assert parse(replies[1]).request_body.response.body_mutation.body == b"abc"
    assert world.closed == ["end"]


def test_headers_data_and_reset_in_one_read() -> None:
    world = World()
    stream = world.process()
    world.pair.send(stream, request_headers())
    sent = world.pair.client.data_to_send()
    world.pair.client.reset_stream(stream, CANCEL)
    world.pair.server.data_received(sent + world.pair.client.data_to_send())
    world.pair.pump()
    assert world.closed == ["reset"]
    assert not world.pair.transport.closed


@pytest.mark.parametrize("messages", [0, 1, 2])
def test_a_reset_ends_the_exchange_in_every_state(messages: int) -> None:
    world = World()
    stream = world.process()
    for message in (request_headers(), request_body(b"x"))[:messages]:
        world.pair.send(stream, message)
    world.pair.pump()
    world.pair.client.reset_stream(stream, CANCEL)
    world.pair.pump()
    assert world.closed == ["reset"]
    assert world.pair.server.streams == 0


def test_a_lost_connection_ends_its_exchanges() -> None:
    world = World()
    for _ in range(3):
        world.pair.send(world.process(), request_headers())
    world.pair.pump()
    world.pair.server.connection_lost(None)
    assert world.closed == ["connection"] * 3
    assert world.pair.lost


def test_a_stream_that_ends_within_a_message_is_an_error() -> None:
    world = World()
    stream = world.process()
    world.pair.client.send_data(stream, b"\0\0\0\0\x09ab", end_stream=True)
    world.pair.pump()
    assert world.pair.answers[stream].headers["grpc-status"] == "13"
    assert world.closed == ["error"]


@pytest.mark.parametrize(
    ("mode", "messages", "status"),
    [
        ("raise", [request_headers({"x-echo": "raise"})], 500),
        ("raise-body", [request_headers({"x-echo": "raise-body"}), request_body(b"secret")], 500),
    ],
)
def test_a_failed_exchange_answers_500_as_long_as_it_can(
    mode: str, messages: list[bytes], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    other, stream = world.process(), world.process()
    world.pair.send(other, request_headers())
    for message in messages:
        world.pair.send(stream, message)
    world.pair.pump()
    immediate = parse(world.pair.answers[stream].messages[-1]).immediate_response
    assert immediate.status.code.value == status
    assert b'"code":"internal_error"' in immediate.body
    assert world.pair.answers[stream].closed
    assert world.closed == ["error"]
    assert not world.pair.answers[other].closed
    assert "RuntimeError" in caplog.text
    assert "told to" not in caplog.text
    assert "secret" not in caplog.text


def test_a_failed_exchange_breaks_the_stream_off_once_the_response_has_begun() -> None:
    world = World()
    stream = world.process()
    world.pair.send(
        stream, request_headers({"x-echo": "raise-stream"}), response_headers(), response_body(b"x", end=False)
    )
    world.pair.pump()
    answer = world.pair.answers[stream]
    assert len(answer.messages) == 2
    assert answer.headers["grpc-status"] == "13"


def test_a_message_that_is_none_ends_its_stream_alone() -> None:
    world = World()
    bad, good = world.process(), world.process()
    world.pair.send(bad, b"\xff\xff")
    world.pair.send(good, request_headers())
    world.pair.pump()
    assert world.pair.answers[bad].headers["grpc-status"] == "3"
    assert len(world.pair.answers[good].messages) == 1


def test_unknown_methods_are_unimplemented_and_other_http_is_refused() -> None:
    world = World()
    unknown = world.pair.request("/a.B/C")
    fields = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/"))
    plain = world.pair.client.send_request(fields, end_stream=True)
    world.pair.pump()
    assert world.pair.answers[unknown].headers["grpc-status"] == "12"
    assert world.pair.answers[unknown].closed
    assert world.pair.answers[plain].headers[":status"] == "415"


def test_unknown_encodings_and_broken_timeouts_are_refused() -> None:
    world = World()
    encoding = world.process((b"grpc-encoding", b"snappy"))
    timeout = world.process((b"grpc-timeout", b"soon"))
    world.pair.pump()
    assert world.pair.answers[encoding].headers["grpc-status"] == "12"
    assert world.pair.answers[timeout].headers["grpc-status"] == "13"
    assert world.closed == []


def test_a_deadline_ends_the_stream() -> None:
    world = World()
    stream = world.process((b"grpc-timeout", b"2S"))
    world.pair.send(stream, request_headers())
    world.pair.pump()
    (timer,) = world.pair.timers
    assert timer.seconds == 2
    timer.callback()
    world.pair.pump()
    assert world.pair.answers[stream].headers["grpc-status"] == "4"
    assert world.closed == ["deadline"]
    assert timer.cancelled


def test_health_follows_the_configuration() -> None:
    world = World()
    pair = world.pair

    def check(service: bytes = b"") -> tuple[list[bytes], str]:
        stream = pair.request(HEALTH_CHECK_PATH)
        pair.send(stream, service, end=True)
        pair.pump()
        return pair.answers[stream].messages, pair.answers[stream].headers["grpc-status"]

    watch = pair.request(HEALTH_WATCH_PATH)
    pair.send(watch, b"", end=True)
    assert check() == ([b"\x08\x02"], "0")
    world.health.serving = True
    world.health.serving = True
    assert check() == ([b"\x08\x01"], "0")
    assert check(b"\x0a\x01x") == ([], "5")
    assert check(b"\xff") == ([], "3")
    assert pair.answers[watch].messages == [b"\x08\x02", b"\x08\x01"]
    silent = pair.request(HEALTH_CHECK_PATH, end=True)
    pair.pump()
    assert pair.answers[silent].headers["grpc-status"] == "3"


def test_a_drain_serves_what_is_in_flight_then_closes() -> None:
    world = World()
    pair = world.pair
    stream = world.process()
    pair.send(stream, request_headers())
    pair.pump()
    pair.server.drain()
    pair.pump()
    assert pair.goaways == [2**31 - 1, stream]
    assert not pair.transport.closed
    pair.send(stream, request_body(b"x"), end=True)
    pair.pump()
    assert pair.answers[stream].headers["grpc-status"] == "0"
    assert pair.transport.closed


def test_a_drain_of_an_idle_connection_closes_it() -> None:
    world = World()
    world.pair.server.drain()
    world.pair.pump()
    assert world.pair.transport.closed


def test_a_goaway_of_the_client_lets_its_streams_end() -> None:
    world = World()
    stream = world.process()
    world.pair.send(stream, request_headers())
    world.pair.client.send_goaway(0)
    world.pair.pump()
    world.pair.send(stream, request_body(b"x"), end=True)
    world.pair.pump()
    assert world.pair.answers[stream].headers["grpc-status"] == "0"


def test_an_abort_ends_everything_now() -> None:
    world = World()
    world.pair.send(world.process(), request_headers())
    world.pair.pump()
    world.pair.server.abort()
    assert world.closed == ["shutdown"]
    assert world.pair.transport.closed


def test_garbage_closes_only_its_connection() -> None:
    world = World()
    world.pair.server.data_received(b"GET / HTTP/1.1\r\n\r\n" * 10)
    assert world.pair.transport.closed


def test_frames_of_unknown_kinds_are_stepped_over() -> None:
    world = World()
    stream = world.process()
    world.pair.send(stream, request_headers())
    sent = world.pair.client.data_to_send()
    world.pair.server.data_received(b"\0\0\3\xee\xff\0\0\0\1abc" + sent + b"\0\0\0\x42\0\0\0\0\0")
    world.pair.pump()
    assert len(world.pair.answers[stream].messages) == 1


def test_a_stream_beyond_the_limit_is_refused_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(http2._SETTINGS, 3, 2)
    world = World()
    # Three at once, before the client has heard of the limit.
    streams = [world.process() for _ in range(3)]
    for stream in streams:
        world.pair.send(stream, request_headers())
    world.pair.pump()
    assert len(world.pair.answers[streams[0]].messages) == 1
    assert not world.pair.transport.closed
    assert world.pair.server.streams == 2


def test_a_client_that_opens_no_window_makes_us_hold_little() -> None:
    world = World(window=0)
    pair = world.pair
    stream = world.process()
    pair.send(stream, request_headers({"x-echo": "body"}))
    pair.pump()
    piece = request_body(bytes(1024 * 1024))
    for _ in range(100):
        pair.send(stream, piece)
    pair.pump()
    held = pair.server.http.queued()
    assert held <= transport.STREAM_QUEUE + 2 * len(piece)
    # The window was not given back: the client still has most of it in its own hands.
    assert pair.client.queued_body_size(stream) > 80 * 1024 * 1024
    pair.client.update_settings({4: 2**28})
    pair.client.set_local_window_size(2**28)
    pair.pump()
    assert len(pair.answers[stream].messages) == 101


def test_a_socket_that_takes_nothing_stops_the_reading() -> None:
    world = World()
    pair = world.pair
    pair.server.pause_writing()
    assert not pair.transport.reading
    stream = world.process()
    pair.send(stream, request_headers())
    pair.pump()
    assert not pair.answers[stream].messages
    pair.server.resume_writing()
    assert pair.transport.reading
    pair.pump()
    assert len(pair.answers[stream].messages) == 1


def test_large_messages_in_small_frames_come_through() -> None:
    world = World()
    stream = world.process()
    body = bytes(range(256)) * 4 * 1024 * 20
    world.pair.send(stream, request_headers({"x-echo": "body"}), request_body(body))
    world.pair.pump()
    assert parse(world.pair.answers[stream].messages[1]).request_body.response.body_mutation.body == body
    assert world.pair.server.buffered == 0


def test_a_message_beyond_the_limit_is_refused() -> None:
    world = World()
    stream = world.process()
    world.pair.client.send_data(stream, b"\0\xff\xff\xff\xff" + b"x" * 100)
    world.pair.pump()
    assert world.pair.answers[stream].headers["grpc-status"] == "8"
    assert world.pair.server.buffered == 0


def test_a_thousand_streams_at_once_and_a_reset_of_all() -> None:
    world = World()
    streams = [world.process() for _ in range(1000)]
    for stream in streams:
        world.pair.send(stream, request_headers())
    world.pair.pump()
    assert world.pair.server.streams == 1000
    for stream in streams:
        world.pair.client.reset_stream(stream, CANCEL)
    world.pair.pump()
    assert world.closed == ["reset"] * 1000
    assert not world.pair.transport.closed


def test_rapid_resets_are_the_peers_way_of_working() -> None:
    world = World()
    for _ in range(30):
        for _ in range(100):
            stream = world.process()
            world.pair.send(stream, request_headers())
            world.pair.client.reset_stream(stream, CANCEL)
        world.pair.pump()
    stream = world.process()
    world.pair.send(stream, request_headers())
    world.pair.pump()
    assert len(world.pair.answers[stream].messages) == 1


def test_a_factory_that_fails_ends_its_stream_alone(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("secret")

    pair = Pair(services(ExternalProcessor(broken), Health()))  # type: ignore[arg-type]
    with caplog.at_level(logging.ERROR):
        stream = pair.request(PROCESS_PATH)
        pair.pump()
    assert pair.answers[stream].headers["grpc-status"] == "13"
    assert "secret" not in caplog.text
