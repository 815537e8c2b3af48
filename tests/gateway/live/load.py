"""Constant load through one listener: unary and streamed requests on several connections, until it is told to stop.

Each worker keeps its connection for as long as the gateway does, and opens the next one to whatever answers the port
then, as clients behind a Service do. Nothing is sent twice: a request that is not answered as it should be is recorded.
"""

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from conformance.upstream.recorder import ANSWER, PIECES
from conformance.upstream.recorder import PAUSE as PIECE_PAUSE
from filters.contract import jsonlib
from tests.support.waiting import wait_until

WORKERS: Final = 4
SLOW: Final = WORKERS - 1
"""The worker whose streams take their time, so that there is always one under way."""
PIECE: Final = "0.2"
"""seconds between two pieces of its streams"""
PAUSE: Final = 0.01
"""Seconds between two requests of one worker: the processes under test need the processor too."""
TIMEOUT: Final = 30.0
_decode: Final = jsonlib.decoder(dict[str, Any])
_PATH: Final = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Failure:
    after: float
    """seconds since the load began"""
    kind: str
    """`whole` or `stream`"""
    status: int
    """0: no answer"""
    what: str

    @property
    def code(self) -> str:
        """Of the error that the client was told; `cut`: the answer had begun and did not end."""
        if self.status in (0, 200):
            return "cut" if self.status else "none"
        try:
            return str(_decode(self.what)["error"]["code"])
        except (jsonlib.JsonError, KeyError, TypeError):
            return "unreadable"

    def __str__(self) -> str:
        return f"{self.after:.2f} s, {self.kind}: {self.status} {self.what}"


class Load:
    """Begins with `start`; `failures` and `count` may be read at any time."""

    def __init__(self, port: int, models: tuple[str, ...] = ("m1",)) -> None:
        self.models = models
        """Asked for in turn. Replace it, do not change it."""
        self.failures: list[Failure] = []
        self.longest = 0.0
        """seconds of the slowest good answer, but for the slow streams"""
        self._port = port
        self._counts = [0] * WORKERS
        self._begin = time.monotonic()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(WORKERS)]

    @property
    def count(self) -> int:
        """Requests that were answered as they should be."""
        return sum(self._counts)

    def start(self) -> None:
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def more(self, requests: int = 40) -> None:
        """Returns when every worker has had its part of that many more good answers, the slow one two."""
        goal = [each + requests // WORKERS for each in self._counts]
        goal[SLOW] = self._counts[SLOW] + 2

        def reached() -> bool:
            return all(now >= wanted for now, wanted in zip(self._counts, goal, strict=True))

        wait_until(reached, self.told)

    def some(self, requests: int) -> None:
        """Returns when there have been that many more good answers."""
        goal = self.count + requests
        wait_until(lambda: self.count >= goal, self.told)

    def told(self) -> str:
        lines = "\n".join(str(each) for each in self.failures[-20:])
        return f"{self.count} requests answered in at most {self.longest:.2f} s, {len(self.failures)} failed\n{lines}"

    def _run(self, worker: int) -> None:
        number = worker
        connection = self._connection()
        while not self._stop.wait(PAUSE):
            models = self.models
            model, stream = models[number % len(models)], worker == SLOW or (number + worker) % 2 == 1
            number += 1
            begin = time.monotonic()
            try:
                status, text = _asked(connection, model, stream=stream, piece=PIECE if worker == SLOW else "0")
            except http.client.IncompleteRead as exc:
                connection = self._next(connection)
                status, text = 200, f"{exc!r} after {exc.partial[-200:]!r}"
            except (OSError, http.client.HTTPException) as exc:
                connection = self._next(connection)
                status, text = 0, repr(exc)
            if status == 200 and (_whole_stream(text) if stream else _whole_answer(text)):
                self._counts[worker] += 1
                if worker != SLOW:
                    self.longest = max(self.longest, time.monotonic() - begin)
            else:
                kind = "stream" if stream else "whole"
                self.failures.append(Failure(time.monotonic() - self._begin, kind, status, text[-400:]))
        connection.close()

    def _next(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        connection.close()
        return self._connection()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT)


def _asked(connection: http.client.HTTPConnection, model: str, *, stream: bool, piece: str = "0") -> tuple[int, str]:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
    connection.request("POST", _PATH, jsonlib.encode(body), {"content-type": "application/json", PIECE_PAUSE: piece})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


def _whole_answer(text: str) -> bool:
    return ANSWER in text


def _whole_stream(text: str) -> bool:
    return text.endswith("data: [DONE]\n\n") and all(f'"{piece}"' in text for piece in PIECES)


@contextlib.contextmanager
def constant(port: int, ready: Callable[[], bool], why: Callable[[], str]) -> Iterator[Load]:
    """Load on `port` from the moment that `ready` is true."""
    wait_until(ready, why)
    made = Load(port)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def served(port: int, model: str = "m1") -> bool:
    """Whether one request gets a good answer now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        status, text = _asked(connection, model, stream=False)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return status == 200 and _whole_answer(text)
