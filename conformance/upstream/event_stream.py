"""Writes AWS event-stream frames (application/vnd.amazon.eventstream), as Bedrock's streams have them.

Frame: total length, headers length, CRC of those eight bytes, headers, payload, CRC of all before it; numbers are big
endian. Header values are strings (type 7) here: Bedrock uses no other type.
The reader is `filters.streams`; this writer shares no code with it, so that one proves the other.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_STRING: Final = 7
_decoder = msgspec.json.Decoder()


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message. Raises ValueError for a header name that is too long for the format."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    body = b"".join((prelude, struct.pack(">I", zlib.crc32(prelude)), block, payload))
    return body + struct.pack(">I", zlib.crc32(body))


def event(event_type: str, payload: bytes) -> bytes:
    """A frame with the headers that Bedrock gives an event."""
    return frame({":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(exception_type: str, payload: bytes) -> bytes:
    """A frame with the headers that Bedrock gives a modelled exception inside a stream."""
    return frame(
        {":exception-type": exception_type, ":content-type": "application/json", ":message-type": "exception"}, payload
    )


def encode_lines(text: bytes) -> bytes:
    """Frames for an `.events.jsonl` file: per line `{"headers": {…}, "payload": …}`.

    `payload` that is an object or an array is sent as compact JSON, a string as it is (for broken payloads).
    `:content-type` and `:message-type` need not be given (JSON, event). A line `{"raw": "<hex>"}` is sent as those
    bytes. Raises ValueError naming the line.
    """
    frames = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            frames.append(_line(_decoder.decode(line)))
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError, ValueError) as exc:
            raise ValueError(f"line {number}: {type(exc).__name__}: {exc}") from exc
    return b"".join(frames)


def _line(document: dict[str, Any]) -> bytes:
    if "raw" in document:
        return bytes.fromhex(document["raw"])
    headers = dict(document["headers"])
    headers.setdefault(":content-type", "application/json")
    headers.setdefault(":message-type", "exception" if ":exception-type" in headers else "event")
    payload = document["payload"]
    return frame(headers, payload.encode() if isinstance(payload, str) else msgspec.json.encode(payload))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    if len(key) > 255:
        raise ValueError(f"header name of {len(key)} bytes")
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _STRING, len(text)) + text
