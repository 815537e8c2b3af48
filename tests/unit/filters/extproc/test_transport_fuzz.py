"""100,000 conversations that went wrong, from a fixed seed: no hang, no unhandled exception, nothing kept.

Each input is a valid conversation, as a client would send it, that is mutated, cut, or mixed with random frames, and
arrives in random pieces.
"""

import gc
import logging
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ngh2
import pytest

from filters.extproc import grpc, transport
from filters.extproc.exchange import CloseReason
from filters.extproc.service import HEALTH_CHECK_PATH, PROCESS_PATH, ExternalProcessor, Health, services
from filters.extproc.transport import Connection
from tests.support.echo import echo_factory
from tests.support.ext_proc import request_body, request_headers, response_body, response_headers
from tests.support.http2_client import HEADERS, FakeTransport

INPUTS = 100_000
SEED = 20_251_125
ANSWERED = 100
"""Bytes: settings, window and acknowledgement alone are 61."""
PREFACE = 24
SETTINGS = 9
GROWTH_LIMIT = 24 * 1024 * 1024
"""Bytes that the process may grow between one tenth of the inputs and the last."""

Frame = bytes


def _client() -> Any:
    client = ngh2.Connection(ngh2.Role.CLIENT)
    client.initiate_connection()
    return client


def _open(client: Any, path: str = PROCESS_PATH, *extra: tuple[bytes, bytes]) -> int:
    fields = (*HEADERS, (b":path", path.encode()), *extra)
    return int(client.send_request(sorted(fields, key=lambda pair: not pair[0].startswith(b":"))))


def _whole() -> bytes:
    client = _client()
    stream = _open(client, PROCESS_PATH, (b"x-ai-eg-level", b"listener"), (b"grpc-timeout", b"30S"))
    for message in (request_headers({"x-echo": "body"}), request_body(b"{}"), response_headers(), response_body(b"x")):
        client.send_data(stream, grpc.frame(message))
    client.end_stream(stream)
    return bytes(client.data_to_send())


def _three_at_once() -> bytes:
    client = _client()
    streams = [_open(client) for _ in range(3)]
    data = client.data_to_send()
    for message in (request_headers({"x-echo": "stream"}), response_headers(), response_body(b"y" * 50, end=False)):
        for stream in streams:
            client.send_data(stream, grpc.frame(message))
        data += client.data_to_send()
    client.reset_stream(streams[1], 8)
    client.send_goaway(0)
    return bytes(data + client.data_to_send())


def _failing() -> bytes:
    client = _client()
    for mode in ("raise", "immediate", "silent"):
        client.send_data(_open(client), grpc.frame(request_headers({"x-echo": mode})))
    return bytes(client.data_to_send())


def _in_pieces() -> bytes:
    client = _client()
    stream = _open(client, PROCESS_PATH, (b"grpc-encoding", b"gzip"))
    data = client.data_to_send()
    message = grpc.frame(request_body(b"z" * 400))
    for start in range(0, len(message), 90):
        client.send_data(stream, message[start : start + 90])
        data += client.data_to_send()
    client.ping(b"12345678")
    client.send_trailers(stream, [(b"a", b"b")])
    return bytes(data + client.data_to_send())


def _health() -> bytes:
    client = _client()
    client.send_data(_open(client, HEALTH_CHECK_PATH), grpc.frame(b""), end_stream=True)
    _open(client, "/no.Such/Method")
    client.update_settings({4: 1 << 20, 3: 7})
    return bytes(client.data_to_send())


def frames(data: bytes) -> list[Frame]:
    """The frames behind the preface."""
    found = []
    position = PREFACE
    while position < len(data):
        end = position + 9 + int.from_bytes(data[position : position + 3], "big")
        found.append(data[position:end])
        position = end
    return found


def random_frame(chance: random.Random) -> Frame:
    """A frame of any kind, known or not, with a payload that mostly does not fit it."""
    payload = chance.randbytes(chance.choice((0, 1, 4, 5, 8, 9, 40)))
    size = len(payload) if chance.random() < 0.9 else chance.randrange(1 << 24)
    stream = chance.choice((0, 1, 1, 2, 3, 5, 7, 0x7FFFFFFF))
    kind = chance.randrange(12) if chance.random() < 0.9 else chance.randrange(256)
    return size.to_bytes(3, "big") + bytes((kind, chance.randrange(256))) + stream.to_bytes(4, "big") + payload


def flip(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def drop_bytes(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randint(1, 20) :]


def insert_bytes(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + chance.randbytes(chance.randint(1, 20)) + data[start:]


def shuffle_frames(chance: random.Random, data: bytes) -> bytes:
    parts = frames(data) or [random_frame(chance)]
    for _ in range(chance.randint(1, 3)):
        index = chance.randrange(len(parts))
        match chance.randrange(4):
            case 0:
                parts.insert(chance.randrange(len(parts)), parts[index])
            case 1 if len(parts) > 1:
                parts.pop(index)
            case 2:
                parts.insert(index, random_frame(chance))
            case _:
                chance.shuffle(parts)
    return data[:PREFACE] + b"".join(parts)


def lie_about_the_stream(chance: random.Random, data: bytes) -> bytes:
    parts = frames(data) or [random_frame(chance)]
    index = chance.randrange(len(parts))
    frame = parts[index]
    parts[index] = frame[:4] + bytes((chance.randrange(256),)) + chance.randrange(8).to_bytes(4, "big") + frame[9:]
    return data[:PREFACE] + b"".join(parts)


def only_frames(chance: random.Random, data: bytes) -> bytes:
    return data[: PREFACE + SETTINGS] + b"".join(random_frame(chance) for _ in range(chance.randint(1, 12)))


def nothing_of_it(chance: random.Random, data: bytes) -> bytes:
    return chance.randbytes(len(data) // 2)


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    flip,
    cut,
    drop_bytes,
    insert_bytes,
    shuffle_frames,
    shuffle_frames,
    lie_about_the_stream,
    only_frames,
    nothing_of_it,
)


class Harness:
    """Feeds inputs to fresh connections of one set of services, and checks what must hold after each."""

    def __init__(self) -> None:
        self.closed: list[CloseReason] = []
        self.opened = 0
        self.answered = 0
        health = Health()
        make = echo_factory(self.closed)

        def counting(metadata: Any) -> Any:
            self.opened += 1
            return make(metadata)

        self.services = services(ExternalProcessor(counting), health)

    def run(self, chance: random.Random, data: bytes) -> None:
        connection = Connection(
            self.services,
            on_open=lambda _: None,
            on_lost=lambda _: None,
            call_later=lambda *_: _Timer(),  # type: ignore[arg-type,return-value]
        )
        socket = FakeTransport()
        connection.connection_made(socket)
        position = 0
        drain_at = chance.randrange(len(data) + 1) if chance.random() < 0.1 else -1
        while position < len(data) and not socket.closed:
            step = chance.choice((len(data), len(data), 1 + chance.randrange(200), 9))
            connection.data_received(data[position : position + step])
            position += step
            if 0 <= drain_at < position:
                connection.drain()
                drain_at = -1
        self.answered += len(socket.take()) > ANSWERED
        assert connection.http.queued() < transport.CONNECTION_QUEUE
        assert connection.buffered < len(data) + 1
        socket.closed = True
        connection.connection_lost(None)
        assert connection.streams == 0
        assert connection.buffered == 0
        assert len(self.closed) == self.opened


class _Timer:
    def cancel(self) -> None:
        pass


class _Faults(logging.Handler):
    """Collects what the server logs as a fault, except those that the echo was told to have."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "RuntimeError" not in message:
            self.found.append(message)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_no_input_hangs_fails_or_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = _Faults()
    monkeypatch.setattr(transport.logger, "propagate", False)
    monkeypatch.setattr(transport.logger, "handlers", [faults])
    chance = random.Random(SEED)
    corpus = [_whole(), _three_at_once(), _failing(), _in_pieces(), _health()]
    harness = Harness()
    for data in corpus:
        harness.run(chance, data)
    resident = 0
    for number in range(INPUTS):
        data = chance.choice(corpus)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            data = chance.choice(MUTATIONS)(chance, data) or data
        harness.run(chance, data)
        if number == INPUTS // 10:
            gc.collect()
            resident = _resident()
    gc.collect()
    assert not faults.found
    assert _resident() - resident < GROWTH_LIMIT
    assert harness.opened > INPUTS // 4, "the fuzzer does not reach the exchanges"
    assert harness.answered > INPUTS // 10
