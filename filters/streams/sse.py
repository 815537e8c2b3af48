"""Server-sent events: the one place that knows how they are framed (WHATWG HTML, "Server-sent events").

`Parser` turns bytes, cut anywhere, into events; `Cutter` cuts the same bytes into pieces of one event each without
changing them (for streams that are passed on with some events left out); `frame` and `DONE` write. Lines end with LF,
CR or CRLF, mixed at will. Nothing is decoded but event names: what `data` holds is the dialect's business.

Two liberties are taken for providers that are not quite conforming: an event that the end of the stream cuts short is
still delivered (some omit the last blank line), and `Event.lines` undoes the joining of neighbouring data lines (some
omit the blank line between events).

Raises filters.errors.BadUpstreamAnswer (code `stream_event_too_large`), and only that.
"""

import re
from typing import Final

from msgspec import Struct

from filters.errors import BadUpstreamAnswer

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""An event that is not complete after so many bytes is no chat answer: the largest real ones carry one image or one
piece of audio as base64, a few MiB. Bounds what one stream can hold in memory."""

DONE: Final = b"data: [DONE]\n\n"
"""OpenAI's last event"""
PING: Final = b": ping\n\n"
"""a comment, which readers skip: the stream is alive"""

_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = 10
_LINE_END: Final = rb"(?:\r\n|\n|\r(?=[^\n]))"  # a CR at the very end may be the half of a CRLF
_BLANK_LINE: Final = re.compile(_LINE_END + _LINE_END)
_TAIL: Final = 3  # bytes of a blank line that may be seen already: CR LF CR


class Event(Struct, frozen=True):
    """One dispatched event. `event` is empty when the stream names none; `data` holds its lines joined by LF."""

    data: bytes
    event: str = ""

    def lines(self) -> list[bytes]:
        """The data lines as they came, for streams whose producer forgets the blank line between two events."""
        return self.data.split(b"\n")


class Parser:
    """Incremental parser; time and memory are linear in the bytes, whatever the cuts."""

    __slots__ = ("_after_cr", "_at_start", "_held", "_held_size", "_limit", "_overflow")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._held: list[bytes] = []  # pieces of the event that is not complete yet
        self._held_size = 0
        self._after_cr = False
        self._at_start = True
        self._overflow = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order.

        An event beyond the limit raises BadUpstreamAnswer, with the *next* call, so that the events before it are
        delivered whatever the cuts.
        """
        if self._overflow:
            raise _too_large(self._limit)
        if self._after_cr or b"\r" in data:
            data = self._normalised(data)
        if not data:
            return []
        if self._held:
            if b"\n\n" not in data and not (data[0] == _LF and self._held[-1][-1] == _LF):
                self._hold(data)
                return []
            self._held.append(data)
            data = b"".join(self._held)
            self._held.clear()
            self._held_size = 0
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        events = self._events(blocks)
        if rest and not self._overflow:
            self._hold(rest)
        return events

    def close(self) -> list[Event]:
        """The event that the end of the stream left without its blank line, if there is one."""
        if self._overflow:
            raise _too_large(self._limit)
        rest = b"".join(self._held)
        self._held.clear()
        self._held_size = 0
        events = self._events([rest]) if rest else []
        if self._overflow:
            raise _too_large(self._limit)
        return events

    def _normalised(self, data: bytes) -> bytes:
        """`data` with every line end as LF. A CRLF may be cut in its middle: its CR has ended the line already."""
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_size += len(data)
        # Two bytes of grace: line ends may belong to the blank line.
        if self._held_size > self._limit + 2:
            self._overflow = True
            self._held.clear()

    def _events(self, blocks: list[bytes]) -> list[Event]:
        events = []
        for block in blocks:
            if self._at_start:
                self._at_start = False
                block = block.removeprefix(_BOM)
            if len(block) > self._limit:
                self._overflow = True
                break
            # Nearly every event of every provider is one data line: read it without the loop over lines.
            if block.startswith(b"data:") and b"\n" not in block:
                events.append(Event(block[6:] if block[5:6] == b" " else block[5:]))
            elif (event := _read(block)) is not None:
                events.append(event)
        return events


class Cutter:
    """Cuts a stream into its events, byte for byte: the pieces joined are the stream.

    Every piece but the last ends with the blank line that ends its event. What exceeds the limit is given out as it is,
    in several pieces: a stream that is passed on is nobody's to refuse.
    """

    __slots__ = ("_held", "_held_size", "_limit")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._held: list[bytes] = []
        self._held_size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces that are complete. A CR that ends `data` waits for the next byte: it may be half a CRLF."""
        search = 0
        if not self._held and _is_one_event(data):
            return [data]
        if self._held:
            seen = b"".join(self._held[-_TAIL:])[-_TAIL:]
            if _BLANK_LINE.search(seen + data) is None:
                return self._hold(data)
            search = self._held_size - len(seen)
            self._held.append(data)
            data = b"".join(self.close())
        pieces = []
        start = 0
        for blank in _BLANK_LINE.finditer(data, search):
            pieces.append(data[start : blank.end()])
            start = blank.end()
        pieces += self._hold(data[start:])
        return pieces

    def close(self) -> list[bytes]:
        """What is left."""
        rest = b"".join(self._held)
        self._held.clear()
        self._held_size = 0
        return [rest] if rest else []

    def _hold(self, data: bytes) -> list[bytes]:
        if data:
            self._held.append(data)
            self._held_size += len(data)
        return self.close() if self._held_size > self._limit else []


def _is_one_event(data: bytes) -> bool:
    """The usual piece of the usual stream, told without a regular expression: one blank line, at the end."""
    return data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2 and b"\r" not in data


def parse_one(piece: bytes) -> Event | None:
    """The event of one piece of a `Cutter`; None when it dispatches nothing (comments, blank lines)."""
    parser = Parser(len(piece))
    events = parser.feed(piece) + parser.close()
    return events[0] if events else None


def frame(data: bytes, event: str = "") -> bytes:
    """One event. `data` may hold line ends; `event` may not."""
    head = f"event: {event}\n".encode() if event else b""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    return b"%bdata: %b\n\n" % (head, data)


def _read(block: bytes) -> Event | None:
    """The event that a block of LF lines dispatches. Without a data line it is none, whatever else it says."""
    name = b""
    values = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            values.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
        # A comment has an empty field name; `id` and `retry` are about reconnecting, which no provider supports.
    if not values:
        return None
    return Event(b"\n".join(values), name.decode(errors="replace"))


def _too_large(limit: int) -> BadUpstreamAnswer:
    return BadUpstreamAnswer(
        f"the provider's stream holds an event of more than {limit} bytes", code="stream_event_too_large"
    )
