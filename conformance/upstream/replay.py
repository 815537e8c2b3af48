"""An upstream that replays the recorded answer of one case and keeps the requests that reached it.

async with replaying(case) as upstream:
    upstream.port, upstream.take()
"""

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from conformance.case import Answer, Case
from conformance.upstream.http_server import End, Request, Response, Server, serve

_ENDS: Final[dict[str, End]] = {"none": "clean", "eof": "close", "reset": "reset"}
PIECES: Final = 7
"""writes per streamed answer: enough to cut inside events, few enough to be quick"""
_UNEXPECTED: Final = Response(status=500, body=b"this case has no answer: no request may reach the provider")


@dataclass(frozen=True, slots=True)
class Replay:
    """The upstream of one case."""

    server: Server

    @property
    def port(self) -> int:
        return self.server.port

    def take(self) -> list[Request]:
        """The requests since the last call."""
        taken = list(self.server.requests)
        self.server.requests.clear()
        return taken


@contextlib.asynccontextmanager
async def replaying(case: Case, host: str = "127.0.0.1") -> AsyncIterator[Replay]:
    """Listens on a free port of `host` until the block ends."""

    async def handler(request: Request) -> Response:
        del request
        return _UNEXPECTED if case.answer is None else response(case.answer, case.seed)

    async with serve(handler, host=host, record=True) as server:
        yield Replay(server)


def response(answer: Answer, seed: int) -> Response:
    """`answer` as HTTP. Streams and cut answers are chunked, in a few pieces cut at fixed random places; without a
    body they have a length of 0, so that their head is their end."""
    content_type = dict(answer.headers).get("content-type", "")
    streamed = content_type.startswith(("text/event-stream", "application/vnd.amazon.eventstream"))
    return Response(
        status=answer.status,
        headers=tuple(pair for pair in answer.headers if pair[0] != "content-length"),
        body=_pieces(answer.body, seed) if answer.body and (streamed or answer.cut != "none") else answer.body,
        end=_ENDS[answer.cut],
    )


async def _pieces(body: bytes, seed: int) -> AsyncIterator[bytes]:
    places = range(1, len(body))
    cuts = sorted(random.Random(seed).sample(places, min(PIECES - 1, len(places))))
    for left, right in zip((0, *cuts), (*cuts, len(body)), strict=True):
        yield body[left:right]
