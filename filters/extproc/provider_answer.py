"""The provider's answer on its way to the client: decoded, translated by the attempt's translator, counted.

Used by the listener-level exchange, once per request. It knows nothing of how the request got to the provider.
"""

from collections.abc import Mapping
from typing import Final

from filters.contract.config import DROPPED_HEADER
from filters.contract.headers import Headers
from filters.contract.translation import Output, ResponseStart
from filters.errors import UpstreamError
from filters.extproc import answers
from filters.extproc.messages import (
    CONTINUE_RESPONSE_BODY,
    BodyMode,
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Pairs,
    Reply,
    ResponseBody,
)
from filters.runtime.accounting import Accounting, Metadata
from filters.runtime.attempt import Attempt, dropped_header
from filters.streams import content_encoding

_BODY_MODES: Final[Mapping[str, BodyMode]] = {
    "pass": "NONE",
    "observe": "STREAMED",
    "stream": "STREAMED",
    "buffer": "BUFFERED",
}


class ProviderAnswer:
    """One answer, from its head to its last byte."""

    __slots__ = ("_accounting", "_attempt", "_decoder", "_headers", "_mode", "_status", "_swallowing", "over")

    def __init__(self, attempt: Attempt, accounting: Accounting, status: int, headers: Headers) -> None:
        self._attempt = attempt
        self._accounting = accounting
        self._status = status
        self._headers = headers
        self._mode: str = "pass"
        self._decoder: content_encoding.Decoder | None = None
        self._swallowing = False
        self.over = False
        """nothing more is expected: what comes passes"""

    def head(self, *, end: bool) -> Reply:
        """`end`: no body follows. Raises filters.errors.UpstreamError for an answer that the client cannot be given."""
        if not 200 <= self._status <= 299:
            self._accounting.fail(str(self._status))
        start = self._attempt.translator.start(self._status, self._headers)
        self._mode = start.body
        if end:
            return self._bodiless(start)
        self._open_decoder(self._headers.get("content-encoding"))
        self.over = self._mode == "pass"
        return HeadersReply(
            phase="response",
            set=self._set(start),
            remove=self._remove(start),
            response_body=_BODY_MODES[self._mode],
        )

    def body(self, message: ResponseBody) -> Reply:
        """Raises filters.errors.UpstreamError only while the status can still be changed."""
        if self._swallowing:
            return BodyReply(phase="response", body=b"")
        end = message.end_of_stream
        try:
            data = self._decoded(message.body, end=end)
        except UpstreamError as exc:
            return self._unreadable(exc)
        output = self._attempt.translator.feed(data, end=end)
        metadata = self._accounting.see(output, end=end)
        if end:
            self._close()
        if self._mode == "buffer":
            return self._whole(output, metadata)
        body = output.body
        if body is None and self._mode == "stream" and self._decoder is not None:
            # The head says that the body is not coded.
            body = data
        if body is None and metadata is None:
            return CONTINUE_RESPONSE_BODY
        return BodyReply(phase="response", body=body, metadata=metadata)

    def whole(self, data: bytes) -> Reply:
        """In place of `head` and `body`: the answer when its headers are held back until all of it is here."""
        head = self.head(end=False)
        assert isinstance(head, HeadersReply)
        if self.over:
            self._accounting.close()
            return BodyReply(phase="response", set=head.set, remove=head.remove)
        body = self.body(ResponseBody(data))
        assert isinstance(body, BodyReply)
        return BodyReply(
            phase="response",
            body=body.body,
            set=_merged(head.set, body.set),
            remove=(*head.remove, *body.remove),
            metadata=body.metadata,
        )

    def trailers(self) -> None:
        """The answer ends with trailers, so no piece of its body was the last one."""
        if not self._swallowing and self._mode != "buffer":
            self._accounting.see(self._attempt.translator.feed(b"", end=True), end=True)
        self._close()

    def _close(self) -> None:
        self.over = True
        self._accounting.close()

    # ── head ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _open_decoder(self, coding: str) -> None:
        """Raises UpstreamError when a body that must be read is in a coding that cannot be."""
        if not coding or self._mode == "pass":
            return
        try:
            self._decoder = content_encoding.decoder(coding)
        except UpstreamError:
            if self._mode != "observe":
                raise
            # The client may well be able to read it; only the count is lost.
            self._mode = "pass"

    def _set(self, start: ResponseStart) -> Pairs:
        dropped = self._attempt.dropped
        return (*start.headers, (DROPPED_HEADER, dropped_header(dropped))) if dropped else start.headers

    def _remove(self, start: ResponseStart) -> tuple[str, ...]:
        if self._mode != "stream":
            return start.remove
        names = ("content-length", "content-encoding") if self._decoder is not None else ("content-length",)
        return (*start.remove, *[name for name in names if name in self._headers])

    def _bodiless(self, start: ResponseStart) -> Reply:
        """No body came; what the translator makes of that may need one."""
        headers = self._set(start)
        if self._mode == "pass":
            self._close()
            return HeadersReply(phase="response", set=headers, remove=start.remove)
        output = self._attempt.translator.feed(b"", end=True)
        metadata = self._accounting.see(output, end=True)
        if output.failure is not None and 200 <= self._status <= 299:
            raise output.failure
        self._close()
        if not output.body:
            return HeadersReply(phase="response", set=headers, remove=start.remove, metadata=metadata)
        return ImmediateReply(
            status=self._status,
            body=output.body,
            headers=_merged(answers.carried(self._headers), headers + output.headers),
            details="aigw_translated",
            metadata=metadata,
        )

    # ── body ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _decoded(self, data: bytes, *, end: bool) -> bytes:
        if self._decoder is None:
            return data
        plain = self._decoder.feed(data)
        return plain + self._decoder.close() if end else plain

    def _unreadable(self, failure: UpstreamError) -> Reply:
        """The body is not in the coding that its header names, or is cut. Raises `failure` where that can be told."""
        self._accounting.fail(failure.code)
        if self._mode == "buffer":
            raise failure
        if self._mode == "observe":
            self._close()
            return CONTINUE_RESPONSE_BODY
        # To the translator the answer ends here: it writes the error event of the client's format.
        self._swallowing = True
        output = self._attempt.translator.feed(b"", end=True)
        metadata = self._accounting.see(output, end=True)
        self._accounting.close()
        return BodyReply(phase="response", body=output.body or b"", metadata=metadata)

    def _whole(self, output: Output, metadata: Metadata | None) -> Reply:
        if output.body is None:
            return BodyReply(phase="response", set=output.headers, metadata=metadata)
        return BodyReply(
            phase="response",
            body=output.body,
            set=(*output.headers, ("content-length", str(len(output.body)))),
            remove=("content-encoding",) if "content-encoding" in self._headers else (),
            metadata=metadata,
        )


def _merged(headers: Pairs, newer: Pairs) -> Pairs:
    names = {name for name, _ in newer}
    return (*[pair for pair in headers if pair[0] not in names], *newer)
