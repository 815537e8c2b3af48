"""The bench's load generator: keep-alive connections that each have one request under way, on raw asyncio protocols.

It costs about a tenth of an HTTP library, so that the two cores belong to what is measured.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast


class UnexpectedAnswer(AssertionError):
    """Not a 200, or a connection that broke: a measurement of errors is none."""


@dataclass(slots=True)
class Load:
    """What was seen between `begin` and `end`: seconds per request."""

    seconds: list[float] = field(default_factory=list)
    received: int = 0
    """bytes"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One request, ready for the wire."""

    port: int
    request: bytes


def request(path: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: bench.test", "content-type: application/json", "accept: */*"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join((*lines, f"content-length: {len(body)}", "", "")).encode() + body


class Generator:
    """`connections` connections to one target, busy from `open` to `close`; `load` is what they saw.

    With `each`, every connection asks that often and then rests. With `rate`, all of them together ask that often per
    second, at most: a connection that is still waiting for an answer skips its turns.
    """

    def __init__(self, target: Target, connections: int, each: int | None = None, rate: int = 0) -> None:
        self._target = target
        self._count = connections
        self.each = each
        self.interval = connections / rate if rate else 0.0
        self._connections: list[_Connection] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.load = Load()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for number in range(self._count):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._target.port)
            self._connections.append(connection)
            if self.interval:
                loop.call_later(self.interval * number / self._count, connection.ask_on_time)
            else:
                connection.ask()

    async def run(self, seconds: float, at_least: int) -> None:
        """Waits `seconds`, or longer until `at_least` requests are done. Raises UnexpectedAnswer."""
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(self.load.seconds) < at_least:
            await asyncio.wait((self.failed,), timeout=0.02)
            if self.failed.done():
                self.failed.result()

    async def run_each(self) -> None:
        """Waits until every connection has asked `each` times. Raises UnexpectedAnswer."""
        assert self.each is not None
        while len(self.load.seconds) < self.each * self._count:
            await asyncio.wait((self.failed,), timeout=0.005)
            if self.failed.done():
                self.failed.result()

    def reset(self) -> None:
        """Forgets what was seen so far (warm-up)."""
        self.load = Load()

    async def close(self) -> None:
        for connection in self._connections:
            connection.stop()
        if not self.failed.done():
            self.failed.cancel()
        await asyncio.sleep(0)

    @property
    def request_bytes(self) -> bytes:
        return self._target.request


class _Connection(asyncio.Protocol):
    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._buffer = b""
        self._left = -1
        self._chunked = False
        self._began = 0.0
        self._stopped = False
        self._due = 0.0
        self._left_to_ask = -1 if generator.each is None else generator.each
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not derived from it

    def ask_on_time(self) -> None:
        """Asks now, and again after the interval or, when that has passed, with the next turn after the answer."""
        self._due = asyncio.get_running_loop().time()
        self.ask()

    def ask(self) -> None:
        self._buffer, self._left, self._chunked = b"", -1, False
        self._began = time.perf_counter()
        self._transport.write(self._generator.request_bytes)

    def stop(self) -> None:
        self._stopped = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._generator.load.received += len(data)
        if self._chunked:
            self._buffer = self._buffer[-8:] + data
            if self._buffer.endswith(b"\r\n0\r\n\r\n"):
                self._complete()
        elif self._left > 0:
            self._left -= len(data)
            if self._left <= 0:
                self._complete()
        else:
            self._buffer += data
            self._read_head()

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._buffer[:end].lower(), self._buffer[end + 4 :]
        if not head.startswith(b"http/1.1 200"):
            self._fail(f"{head[:200]!r} {rest[:300]!r}")
            return
        length = head.find(b"\r\ncontent-length:")
        if length < 0:
            self._chunked, self._buffer = True, b"\r\n" + rest
            if self._buffer.endswith(b"\r\n0\r\n\r\n"):
                self._complete()
            return
        self._left = int(head[length + 17 :].split(b"\r\n", 1)[0]) - len(rest)
        if self._left <= 0:
            self._complete()

    def _complete(self) -> None:
        self._generator.load.seconds.append(time.perf_counter() - self._began)
        self._left_to_ask -= 1
        if self._stopped or self._left_to_ask == 0:
            return
        interval = self._generator.interval
        if not interval:
            self.ask()
            return
        loop = asyncio.get_running_loop()
        turns = max(1, math.ceil((loop.time() - self._due) / interval))
        loop.call_at(self._due + turns * interval, self._ask_when_open)

    def _ask_when_open(self) -> None:
        if not self._stopped:
            self.ask_on_time()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._stopped:
            self._fail(f"connection lost: {exc}")

    def _fail(self, text: str) -> None:
        self._stopped = True
        if not self._generator.failed.done():
            self._generator.failed.set_exception(UnexpectedAnswer(text))
