"""A trivial program for transport and process tests: answers every message, echoes bodies, misbehaves when told to.

Headers of the request steer it: `x-echo` is one of `pass` (default), `body` (bodies are sent back as replacement),
`raise` (the exchange fails in the request headers), `raise-body`, `stream` (asks for streamed response bodies),
`raise-stream` (and fails in the first of them), `immediate` (answers itself), `silent` (never replies),
`owner-<name>` (forwards the message to the process of that name, whose answer sets `x-answered-by`).
Run as a program it is a filter process: `python -m tests.support.echo --socket PATH ...`.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence

from filters import main
from filters.contract.sections import Sections
from filters.extproc import messages as m
from filters.extproc.exchange import CloseReason, Exchange, ExchangeFactory
from filters.process.worker import Options, Program, process_name


class Echo(Exchange):
    """One conversation; `closed` lists how conversations ended."""

    def __init__(self, closed: list[CloseReason] | None = None, worker: int = 0) -> None:
        self._closed = [] if closed is None else closed
        self._worker = worker
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
            case m.ResponseHeaders():
                return [m.HeadersReply(phase="response", set=(("x-served-by", str(self._worker)),))]
            case m.ResponseBody(body=body):
                if self._mode == "raise-stream":
                    raise RuntimeError("told to")
                if self._mode in {"body", "stream"}:
                    return [m.BodyReply(phase="response", body=body)]
            case _:
                pass
        return [m.pass_through(message)]

    def _request_headers(self) -> Sequence[m.Reply]:
        match self._mode.split("-"):
            case ["raise"]:
                raise RuntimeError("told to")
            case ["immediate"]:
                return [m.ImmediateReply(status=418, body=b"short and stout")]
            case ["silent"]:
                return []
            case ["owner", name]:
                if name != process_name(self._worker):
                    return [m.Forward(name)]
                return [m.HeadersReply(phase="request", set=(("x-answered-by", str(self._worker)),))]
            case _:
                return [m.CONTINUE_REQUEST_HEADERS]

    def on_close(self, reason: CloseReason) -> None:
        self._closed.append(reason)


def echo_factory(closed: list[CloseReason] | None = None) -> ExchangeFactory:
    def make(_: Mapping[str, str]) -> Exchange:
        return Echo(closed)

    return make


def echo_hash(document: bytes) -> str:
    """What stands for the hash of a configuration."""
    return hashlib.sha256(document).hexdigest()[:16]


class EchoProgram(Program):
    """Takes any document that does not hold the word `bad`, or `refused by <i>` in worker i."""

    def __init__(self, options: Options) -> None:
        self._worker = options.worker

    def prepare(self, document: bytes) -> Callable[[], str]:
        if b"bad" in document or f"refused by {self._worker}".encode() in document:
            raise ValueError("the document is bad")
        return lambda: echo_hash(document)

    def prepare_sections(self, whole: Sections) -> Callable[[], str]:
        return lambda: whole.config_hash

    def exchange(self, metadata: Mapping[str, str]) -> Exchange:
        return Echo(worker=self._worker)

    def metrics(self) -> bytes:
        return b"# HELP echo_total Lines.\n# TYPE echo_total counter\necho_total 1.0\n"


if __name__ == "__main__":
    sys.exit(main.run(None, EchoProgram, "tests.support.echo"))
