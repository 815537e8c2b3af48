"""Calls that misbehave, and the limits of a connection."""

import pytest

from filters.extproc import transport
from filters.extproc.exchange import CloseReason
from filters.extproc.grpc import GrpcError, Status
from filters.extproc.transport import Stream
from tests.support.http2_client import Pair

PATH = "/test/Call"


class Script:
    """A service whose calls do what they are told; `closed` tells how they ended."""

    def __init__(self, *, fail_in: str = "", error: Exception | None = None, pause: bool = False) -> None:
        self.fail_in = fail_in
        self.error = error or RuntimeError("secret")
        self.pause = pause
        self.messages: list[bytes] = []
        self.half_closed = 0
        self.closed: list[CloseReason] = []
        self.streams: list[Stream] = []

    def __call__(self, stream: Stream, metadata: object) -> "_Call":
        self.streams.append(stream)
        return _Call(self, stream)


class _Call:
    def __init__(self, script: Script, stream: Stream) -> None:
        self._script = script
        self._stream = stream

    def _maybe_fail(self, where: str) -> None:
        if self._script.fail_in == where:
            raise self._script.error

    def on_message(self, message: bytes) -> None:
        self._script.messages.append(message)
        self._maybe_fail("message")
        self._stream.send(message)
        if self._script.pause:
            self._stream.pause()

    def on_half_close(self) -> None:
        self._script.half_closed += 1
        self._maybe_fail("half-close")
        self._stream.finish()

    def on_close(self, reason: CloseReason) -> None:
        self._script.closed.append(reason)
        self._maybe_fail("close")


def opened(script: Script, *, window: int | None = None) -> tuple[Pair, int]:
    pair = Pair({PATH: script}, window=window)
    return pair, pair.request(PATH)


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("secret"), "13"), (GrpcError(Status.NOT_FOUND, "not here"), "5")]
)
@pytest.mark.parametrize("where", ["message", "half-close"])
def test_a_call_that_fails_ends_its_stream_with_a_status(
    where: str, error: Exception, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(fail_in=where, error=error)
    pair, stream = opened(script)
    pair.send(stream, b"hello", end=True)
    pair.pump()
    assert pair.answers[stream].headers["grpc-status"] == status
    assert script.closed == ["error"]
    assert "secret" not in caplog.text


def test_a_call_that_fails_while_it_is_closed_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(fail_in="close")
    pair, stream = opened(script)
    other = pair.request(PATH)
    pair.pump()
    pair.client.reset_stream(stream, 8)
    pair.send(other, b"x")
    pair.pump()
    assert pair.answers[other].messages == [b"x"]
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_paused_call_gets_nothing_until_it_resumes_and_then_the_end() -> None:
    script = Script(pause=True)
    pair, stream = opened(script)
    for message in (b"one", b"two"):
        pair.send(stream, message)
        pair.pump()
    pair.send(stream, b"three", b"four", end=True)
    pair.pump()
    (server_stream,) = script.streams
    seen = []
    for _ in range(4):
        seen.append(list(script.messages))
        assert script.half_closed == 0
        server_stream.resume()
    pair.pump()
    assert seen == [[b"one"], [b"one", b"two"], [b"one", b"two", b"three"], [b"one", b"two", b"three", b"four"]]
    assert script.half_closed == 1
    assert script.closed == ["end"]


def test_a_paused_call_whose_end_came_with_the_message_ends_after_it_resumes() -> None:
    script = Script(pause=True)
    pair, stream = opened(script)
    pair.send(stream, b"only", end=True)
    pair.pump()
    assert script.half_closed == 0
    script.streams[0].resume()
    pair.pump()
    assert script.closed == ["end"]


def test_request_trailers_are_an_end() -> None:
    script = Script()
    pair, stream = opened(script)
    pair.send(stream, b"x")
    pair.client.send_trailers(stream, [(b"a", b"b")])
    pair.pump()
    assert script.closed == ["end"]


def test_a_stream_that_is_gone_takes_sends_and_ends_without_effect() -> None:
    script = Script()
    pair, stream = opened(script)
    pair.pump()
    pair.client.reset_stream(stream, 8)
    pair.pump()
    script.streams[0].send(b"late")
    script.streams[0].finish()
    script.streams[0].resume()
    assert script.closed == ["reset"]


def test_too_many_bytes_of_incomplete_messages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BUFFERED_LIMIT", 50_000)
    script = Script()
    pair, first = opened(script)
    second = pair.request(PATH)
    for stream in (first, second):
        pair.client.send_data(stream, b"\0\0\0\x80\0" + bytes(30_000))
    pair.pump()
    assert pair.answers[second].headers["grpc-status"] == "8"
    assert not pair.answers[first].closed
    pair.client.send_data(first, bytes(32_768 - 30_000), end_stream=True)
    pair.pump()
    assert script.messages == [bytes(32_768)]
    assert pair.server.buffered == 0


def test_a_connection_whose_queue_is_full_serves_nobody_until_it_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECTION_QUEUE", 100_000)
    script = Script()
    pair, first = opened(script, window=0)
    pair.send(first, bytes(150_000))
    pair.pump()
    second = pair.request(PATH)
    pair.send(second, b"x", end=True)
    pair.pump()
    assert len(script.messages) == 1
    pair.client.update_settings({4: 1 << 20})
    pair.client.set_local_window_size(1 << 20)
    pair.pump()
    assert pair.answers[first].messages == [bytes(150_000)]
    assert pair.answers[second].messages == [b"x"]


def test_a_deadline_that_passes_after_the_end_is_void() -> None:
    script = Script()
    pair = Pair({PATH: script})
    stream = pair.request(PATH, (b"grpc-timeout", b"1S"))
    pair.send(stream, b"x", end=True)
    pair.pump()
    (timer,) = pair.timers
    assert timer.cancelled
    timer.callback()
    assert script.closed == ["end"]
