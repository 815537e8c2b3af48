"""What the bench's upstream answers: canned bytes per dialect, one piece per chunk of a stream.

A key names an answer: `openai`, `anthropic-500`, `bedrock-50`, `openai-500-gzip`, `openai-5000-fast`, `unavailable`.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from conformance.upstream import event_stream

TEXT: Final = "The quick brown fox jumps over the lazy dog, and the bench counts every jump of it. " * 10
"""about 850 bytes: the answer is 1 KB"""
WORD: Final = "word and word"
PACE: Final = 0.002
FAST: Final = 0.001
"""Seconds between the chunks of a stream: as models write, and slow enough that no hop sees two chunks in one read."""
_CREATED: Final = 1_700_000_000


@dataclass(frozen=True, slots=True)
class CannedAnswer:
    """`pieces` are sent one write each, chunked; a single piece is sent with a length."""

    status: int
    headers: tuple[tuple[str, str], ...]
    pieces: tuple[bytes, ...]
    pace: float = PACE
    """seconds between pieces"""

    @property
    def streamed(self) -> bool:
        return len(self.pieces) > 1


def answer(key: str) -> CannedAnswer:
    """The answer with this name. Raises KeyError."""
    if key == "unavailable":
        return CannedAnswer(503, (("content-type", "application/json"),), (b'{"error":{"message":"busy"}}',))
    dialect, *options = key.split("-")
    if not options:
        return CannedAnswer(200, (("content-type", "application/json"),), (_encode(_WHOLE[dialect]),))
    stream = _STREAMS[dialect]
    pieces = tuple(stream.pieces(int(options[0])))
    pace = FAST if "fast" in options else PACE
    if "gzip" not in options:
        return CannedAnswer(200, (("content-type", stream.content_type),), pieces, pace)
    headers = (("content-type", stream.content_type), ("content-encoding", "gzip"))
    return CannedAnswer(200, headers, tuple(_flushed(pieces)), pace)


def _flushed(pieces: Sequence[bytes]) -> Iterator[bytes]:
    """gzip, flushed after every piece, as servers that stream do it."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    for piece in pieces[:-1]:
        yield compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.compress(pieces[-1]) + compressor.flush()


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def _sse(value: object) -> bytes:
    return b"data: " + _encode(value) + b"\n\n"


def _openai(count: int) -> Iterator[bytes]:
    def chunk(delta: Mapping[str, object], reason: str | None = None) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**_CHUNK, "choices": [choice], "usage": None}

    yield _sse(chunk({"role": "assistant", "content": ""}))
    for _ in range(count - 4):
        yield _sse(chunk({"content": WORD}))
    yield _sse(chunk({}, "stop"))
    yield _sse({**_CHUNK, "choices": [], "usage": _OPENAI_USAGE})
    yield b"data: [DONE]\n\n"


def _anthropic(count: int) -> Iterator[bytes]:
    def event(value: dict[str, object]) -> bytes:
        return b"event: " + str(value["type"]).encode() + b"\n" + _sse(value)

    message = {**_ANTHROPIC, "content": [], "stop_reason": None}
    yield event({"type": "message_start", "message": message})
    yield event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for _ in range(count - 5):
        delta = {"type": "text_delta", "text": WORD}
        yield event({"type": "content_block_delta", "index": 0, "delta": delta})
    yield event({"type": "content_block_stop", "index": 0})
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    yield event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}})
    yield event({"type": "message_stop"})


def _bedrock(count: int) -> Iterator[bytes]:
    def event(type_: str, value: object) -> bytes:
        return event_stream.event(type_, _encode(value))

    yield event("messageStart", {"role": "assistant"})
    for _ in range(count - 4):
        yield event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": WORD}})
    yield event("contentBlockStop", {"contentBlockIndex": 0})
    yield event("messageStop", {"stopReason": "end_turn"})
    yield event("metadata", {"usage": _BEDROCK_USAGE, "metrics": {"latencyMs": 100}})


@dataclass(frozen=True, slots=True)
class _Stream:
    content_type: str
    pieces: Callable[[int], Iterator[bytes]]


_OPENAI_USAGE: Final = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
_BEDROCK_USAGE: Final = {"inputTokens": 10, "outputTokens": 20, "totalTokens": 30}
_CHUNK: Final = {
    "id": "chatcmpl-bench",
    "object": "chat.completion.chunk",
    "created": _CREATED,
    "model": "bench",
    "system_fingerprint": "fp_0",
}
_ANTHROPIC: Final = {
    "id": "msg_bench",
    "type": "message",
    "role": "assistant",
    "model": "claude-bench",
    "content": [{"type": "text", "text": TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 20},
}
_WHOLE: Final[Mapping[str, object]] = {
    "openai": {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": _CREATED,
        "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": _OPENAI_USAGE,
    },
    "anthropic": _ANTHROPIC,
    "bedrock": {
        "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
        "stopReason": "end_turn",
        "usage": _BEDROCK_USAGE,
        "metrics": {"latencyMs": 100},
    },
}
_STREAMS: Final[Mapping[str, _Stream]] = {
    "openai": _Stream("text/event-stream", _openai),
    "anthropic": _Stream("text/event-stream", _anthropic),
    "bedrock": _Stream("application/vnd.amazon.eventstream", _bedrock),
}
