"""A provider for clusters: answers chat completions from memory and keeps every request that reaches it.

    python -m conformance.upstream.recorder [--port 8080]

`POST …/chat/completions` is answered as OpenAI would, in one piece or as a stream; anything else is a 404 and kept
nevertheless. With the header `x-recorder-pause` a stream waits that many seconds before each piece. `GET /recorded`
lists what came as JSON, oldest first; `DELETE /recorded` forgets it. `GET /health` is for probes, and not kept. SIGTERM
ends it.
"""

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from conformance.upstream.http_server import Request, Response, serve
from filters.contract import jsonlib

PIECES: Final = ("The ", "answer ", "of ", "the ", "recorder.")
ANSWER: Final = "".join(PIECES)
USAGE: Final = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
RECORDED: Final = "/recorded"
HEALTH: Final = "/health"
PAUSE: Final = "x-recorder-pause"
_LONGEST: Final = 10.0
_JSON: Final = (("content-type", "application/json"),)
_EVENTS: Final = (("content-type", "text/event-stream"),)
_decode: Final = jsonlib.decoder(dict[str, Any])


class Recorder:
    """Handler of the server."""

    def __init__(self) -> None:
        self._requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        if request.target == RECORDED:
            if request.method == "DELETE":
                self._requests.clear()
            return Response(headers=_JSON, body=jsonlib.encode([_shown(each) for each in self._requests]))
        if (request.method, request.target) == ("GET", HEALTH):
            return Response()
        self._requests.append(request)
        if request.method == "POST" and request.target.partition("?")[0].endswith("/chat/completions"):
            return _answered(request)
        return Response(status=404, headers=_JSON, body=b'{"error":{"message":"the recorder knows no such path"}}')


def _shown(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "target": request.target,
        "headers": [list(pair) for pair in request.headers.items],
        "body": request.body.decode(errors="replace"),
    }


def _answered(request: Request) -> Response:
    try:
        asked = _decode(request.body)
    except jsonlib.JsonError:
        return Response(status=400, headers=_JSON, body=b'{"error":{"message":"the recorder got no JSON object"}}')
    model = str(asked.get("model", ""))
    if asked.get("stream"):
        return Response(headers=_EVENTS, body=_stream(model, _pause(request)))
    message = {"role": "assistant", "content": ANSWER}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Response(headers=_JSON, body=jsonlib.encode(_document("chat.completion", model, [choice], USAGE)))


def _pause(request: Request) -> float:
    try:
        return min(max(float(request.headers.get(PAUSE) or 0), 0.0), _LONGEST)
    except ValueError:
        return 0.0


async def _stream(model: str, pause: float) -> AsyncIterator[bytes]:
    kind = "chat.completion.chunk"
    for piece in PIECES:
        await asyncio.sleep(pause)
        choice = {"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}
        yield _event(_document(kind, model, [choice], None))
    yield _event(_document(kind, model, [{"index": 0, "delta": {}, "finish_reason": "stop"}], None))
    yield _event(_document(kind, model, [], USAGE))
    yield b"data: [DONE]\n\n"


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + jsonlib.encode(document) + b"\n\n"


def _document(kind: str, model: str, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> dict[str, Any]:
    return {"id": "recorder-1", "object": kind, "created": 0, "model": model, "choices": choices, "usage": usage}


async def _run(port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serve(Recorder(), host="0.0.0.0", port=port) as server:
        print(f"recorder on port {server.port}", flush=True)
        await ended.wait()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="conformance.upstream.recorder", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8080)
    asyncio.run(_run(parser.parse_args(argv).port))
    return 0


if __name__ == "__main__":
    main()
