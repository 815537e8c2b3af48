"""The one door to JSON: msgspec, with the edits that keep a client's bytes as they are.

Everything that reads or writes JSON in filters/ goes through here, so that the codec can be replaced, and so that
syntax, UTF-8 and nesting depth are checked once, at the door (`members`). `Raw` is a piece of JSON text that is carried
along without being parsed.

Texts of `JsonError` name positions and types, never content.
"""

import re
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

import msgspec

Raw = msgspec.Raw
T = TypeVar("T")

_WHITE: Final = re.compile(rb"[ \t\r\n]*")
_KEY: Final = re.compile(rb'[{,][ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*')
_TOKEN: Final = re.compile(rb'[{}\[\]]|("(?:[^"\\]|\\.)*")[ \t\r\n]*(:?)')
_PLACE: Final = re.compile(r" - at `\$(.*)`$")
"""where msgspec says that a type is wrong"""
_BOM: Final = b"\xef\xbb\xbf"
_HIGH: Final = rb"[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = rb"[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u(?:%b(?!\\u%b)|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)%b)" % (_HIGH, _LOW, _LOW)
)
"""The escape of half a character. (After an escaped backslash and the letters of a first half, a second half is missed:
such a text stays refused.)"""


class JsonError(ValueError):
    """The text is not JSON, or not of the type asked for."""

    @property
    def place(self) -> str:
        """Path to the member that has the wrong type (`.messages[2].role`); empty when the text itself is wrong."""
        found = _PLACE.search(str(self))
        return found[1] if found is not None else ""


_members = msgspec.json.Decoder(dict[str, Raw])
_encoder = msgspec.json.Encoder()


def members(body: bytes) -> dict[str, Raw]:
    """Top-level members of a JSON object, values unparsed, in the order of the text (the last of duplicates wins).

    Checks syntax and UTF-8 of the whole text. Raises JsonError, also for nesting beyond the interpreter's recursion
    limit (about 1,000 levels).
    """
    try:
        if not body.isascii():  # a tenth of the time, and no second copy of what is nearly always ASCII
            body.decode()  # msgspec does not look inside strings that it only skips
        return _members.decode(body)
    except UnicodeDecodeError as exc:
        raise JsonError(f"invalid UTF-8 (byte {exc.start})") from exc
    except RecursionError as exc:
        raise JsonError("nested too deeply") from exc
    except msgspec.MsgspecError as exc:
        raise JsonError(str(exc)) from exc


def mended(text: bytes) -> bytes:
    """`text`, which was refused, as every reader takes it; equal to `text` when nothing here can be mended.

    A byte order mark is left out (PowerShell and .NET write one), and half a surrogate pair, which text that was cut
    inside an emoji ends with, becomes U+FFFD: no UTF-8 can hold it, and strict readers refuse all of the text for it.
    """
    text = text.removeprefix(_BOM)
    if b"\\ud" in text or b"\\uD" in text:
        return _LONE_SURROGATE.sub(rb"\1\\ufffd", text)
    return text


def repeats(body: bytes, parsed: Mapping[str, Raw], name: str) -> bool:
    """The object `body`, whose members are `parsed`, names the top-level member `name` more than once.

    `name` must be one whose letters have codes from 0x60 to 0x6f. Three looks, each dearer and rarer than the one
    before: is there room for one more member between those that were read (not in compact texts); does the name, or an
    escape that could be of its letters, stand there again; and at last every name.
    """
    room = len(body) - sum(map(len, parsed)) - sum([len(memoryview(raw)) for raw in parsed.values()])
    if room < 4 * len(parsed) + 1 + len(name) + 5:  # braces, quotes, colons, commas; `"name":0,`
        return False
    key = b'"%b"' % name.encode()
    if body.find(key, body.find(key) + 1) < 0 and b"\\u006" not in body:
        return False
    return _value_span(body, parsed, name) is None and _names(body).count(name) > 1


def _names(body: bytes) -> list[str]:
    """Every top-level name of an object, as often as it is there."""
    found: list[str] = []
    depth = 0
    for token in _TOKEN.finditer(body):
        first = token[0][:1]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
        elif depth == 1 and token[2]:
            found.append(decode(token[1], str))
    return found


def decode(text: bytes | Raw, type_: type[T]) -> T:
    """`text` as `type_`. For a type that is used per request, build a `decoder` once instead. Raises JsonError."""
    return decoder(type_)(text)


class decoder(Generic[T]):  # noqa: N801  used like a function
    """`decoder(T)(text) -> T`, raising JsonError with the path of the offending member."""

    __slots__ = ("_decoder",)

    def __init__(self, type_: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(type_)

    def __call__(self, text: bytes | Raw) -> T:
        try:
            return self._decoder.decode(text)
        except RecursionError as exc:
            raise JsonError("nested too deeply") from exc
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            whole = bytes(text)
            if (better := mended(whole)) != whole:
                return self(better)
            raise JsonError(str(exc)) from exc


def encode(value: object) -> bytes:
    """Compact JSON, UTF-8 literal, members in insertion order; `Raw` members go out as they came."""
    return _encoder.encode(value)


def compact(text: bytes | Raw) -> bytes:
    """`text` without white space between its parts; numbers and order of members stay as they are. Raises JsonError."""
    try:
        return msgspec.json.format(bytes(text), indent=-1)
    except RecursionError as exc:
        raise JsonError("nested too deeply") from exc
    except msgspec.MsgspecError as exc:
        raise JsonError(str(exc)) from exc


def is_null(raw: Raw | None) -> bool:
    """True for a member that is absent or JSON null."""
    return raw is None or bytes(raw) == b"null"


def replace_member(body: bytes, parsed: Mapping[str, Raw], name: str, value: bytes) -> bytes:
    """`body` with the value of top-level member `name` replaced by the JSON text `value`, every other byte kept.

    `parsed` is `members(body)`. An absent member is appended as the last one. A body that names a member twice is
    written anew instead, so that no receiver can pick the other value. Linear in the number of members: values are
    stepped over by their length, not read.
    """
    if name not in parsed:
        end = body.rindex(b"}")
        comma = b"," if parsed else b""
        return b"".join((body[:end], comma, encode(name), b":", value, body[end:]))
    span = _value_span(body, parsed, name)
    if span is None:
        return encode({**parsed, name: Raw(value)})
    start, end = span
    return b"".join((body[:start], value, body[end:]))


def _value_span(body: bytes, parsed: Mapping[str, Raw], name: str) -> tuple[int, int] | None:
    """Where the value of `name` stands in `body`; None when the text holds a member twice."""
    found = None
    position = body.index(b"{")
    for member, raw in parsed.items():
        key = _KEY.match(body, position)  # `{` or `,`, white space, the key, a colon
        if key is None or decode(key[1], str) != member:
            return None
        start = key.end()
        position = start + len(memoryview(raw))
        if member == name:
            found = (start, position)
        position = _skip_white(body, position)
    return found if body[position : position + 1] == b"}" else None


def _skip_white(body: bytes, position: int) -> int:
    white = _WHITE.match(body, position)
    assert white is not None  # matches the empty string too
    return white.end()
