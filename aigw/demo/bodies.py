"""What the demo's dialects share: reading JSON bodies, texts in content lists, headers, the pace of streams."""

from collections.abc import Iterator
from typing import Any, Final

from aigw.demo.answers import Json
from filters.contract import jsonlib

JSON: Final = (("content-type", "application/json"),)
EVENT_STREAM: Final = (("content-type", "text/event-stream"), ("cache-control", "no-cache"))
PAUSE: Final = 0.015
"""Seconds between two pieces of a stream: a person sees it flow, a test does not wait."""

_read = jsonlib.decoder(dict[str, Any])


def read(body: bytes) -> Json:
    """Raises ValueError for anything but a JSON object."""
    return _read(body)


def text_of(content: object) -> str:
    """The text in a message's content: a string, or a list of parts of which some have a `text`."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(text for text in texts if isinstance(text, str))
    return ""


def halves(text: str) -> Iterator[str]:
    """`text` in two pieces, as providers stream arguments."""
    middle = len(text) // 2
    yield from (piece for piece in (text[:middle], text[middle:]) if piece)
