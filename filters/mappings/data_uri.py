"""`data:` URIs and bare base64 as clients write them → canonical base64 (translation chapter §4.1 H2).

Canonical text (the usual case) is checked and returned as it is; nothing else is ever copied around.
"""

import base64
import binascii
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_WHITE: Final = b" \t\r\n"


class Data(Struct, frozen=True):
    """`media_type` is lower case, without parameters; `base64` has the standard alphabet, padding, no white space."""

    media_type: str
    base64: str


def is_data_uri(url: str) -> bool:
    return url[:5].lower() == "data:"


def read(uri: str) -> Data:
    """The content of a URI for which `is_data_uri` holds. Raises ValueError (its text names no content)."""
    head, comma, body = uri[5:].partition(",")
    media_type, *parameters = head.split(";")
    media_type = media_type.strip().lower()
    if not comma or not media_type:
        raise ValueError("not a valid data URI")
    if parameters and parameters[-1].strip().lower() == "base64":
        return Data(media_type, canonical_base64(body))
    return Data(media_type, base64.b64encode(unquote_to_bytes(body)).decode())


def canonical_base64(text: str) -> str:
    """`text`, which may lack padding, hold white space or use the URL-safe alphabet. Raises ValueError."""
    try:
        raw = text.encode("ascii")
        if _is_canonical(raw):
            return text
        raw = raw.translate(_URL_SAFE, _WHITE).rstrip(b"=")
        return base64.b64encode(binascii.a2b_base64(raw + b"=" * (-len(raw) % 4), strict_mode=True)).decode()
    except ValueError:  # binascii.Error and UnicodeEncodeError are ValueErrors
        raise ValueError("illegal base64 data") from None


def _is_canonical(raw: bytes) -> bool:
    if len(raw) % 4:
        return False
    try:
        binascii.a2b_base64(raw, strict_mode=True)
    except binascii.Error:
        return False
    return True
