"""A trivial exchange for transport tests: answers every message, echoes bodies, misbehaves when told to.

Headers of the request steer it: `x-echo` is one of `pass` (default), `body` (bodies are sent back as replacement),
`raise` (the exchange fails in the request headers), `raise-body`, `stream` (asks for streamed response bodies),
`raise-stream` (and fails in the first of them), `immediate` (answers itself), `silent` (never replies).
Run as a program it is a filter process: `python -m tests.support.echo SOCKET`.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence

from filters.extproc import messages as m
from filters.extproc import server, service
from filters.extproc.exchange import CloseReason, Exchange


class Echo(Exchange):
    """One conversation; `closed` lists how conversations ended."""

    def __init__(self, closed: list[CloseReason] | None = None) -> None:
        self._closed = [] if closed is None else closed
        self._mode = "pass"

    def on_message(self, message: m.Message) -> Sequence[m.Reply]:
        match message:
            case m.RequestHeaders(headers=headers):
                self._mode = headers.get("x-echo", "pass")
                return self._request_headers()
            case m.RequestBody(body=body):
                if self._mode == "raise-body":
                    raise RuntimeError("told to")
                if self._mode == "body":
                    return [m.BodyReply(phase="request", body=body, set=(("x-echo-size", str(len(body))),))]
            case m.ResponseHeaders() if self._mode in {"stream", "raise-stream"}:
                return [m.HeadersReply(phase="response", response_body="STREAMED")]
            case m.ResponseBody(body=body):
                if self._mode == "raise-stream":
                    raise RuntimeError("told to")
                if self._mode in {"body", "stream"}:
                    return [m.BodyReply(phase="response", body=body)]
            case _:
                pass
        return [m.pass_through(message)]

    def _request_headers(self) -> Sequence[m.Reply]:
        match self._mode:
            case "raise":
                raise RuntimeError("told to")
            case "immediate":
                return [m.ImmediateReply(status=418, body=b"short and stout")]
            case "silent":
                return []
            case _:
                return [m.CONTINUE_REQUEST_HEADERS]

    def on_close(self, reason: CloseReason) -> None:
        self._closed.append(reason)


def echo_factory(closed: list[CloseReason] | None = None) -> service.ExchangeFactory:
    def make(_: Mapping[str, str]) -> Exchange:
        return Echo(closed)

    return make


async def serve(path: str) -> None:
    """Serves until SIGTERM, then drains."""
    health = service.Health()
    health.serving = True
    grpc_server = server.Server(service.services(service.ExternalProcessor(echo_factory()), health))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await grpc_server.listen(path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()
    await grpc_server.drain(10)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(sys.argv[1]))
