"""Error objects: of this API, and of the platforms that host it (Google's shape, one or an array of one)."""

from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.dialects.anthropic_messages.response import ERROR_STATUS, NULL

UNKNOWN_STATUS: Final = 500
"""of a failure inside a stream whose type says nothing"""


class ErrorDetail(Struct, frozen=True):
    """`type` is the provider's own word for it, empty when it has none."""

    type: str
    message: str
    status: int
    """that `type` stands for"""


class _Detail(Struct, frozen=True):
    type: str | None = None
    status: str | None = None
    code: int | str | None = None
    message: str | None = None


class _Envelope(Struct, frozen=True):
    error: Raw = NULL
    type: str | None = None
    message: str | None = None


_read_envelope = jsonlib.decoder(_Envelope)
_read_list = jsonlib.decoder(list[Raw])
_read_detail = jsonlib.decoder(_Detail)
_read_text = jsonlib.decoder(str)


def read(body: bytes | Raw) -> ErrorDetail | None:
    """The error that `body` reports; None when it is no error object that can be read."""
    try:
        if bytes(body).lstrip()[:1] == b"[":
            items = _read_list(body)
            return read(items[0]) if len(items) == 1 else None
        envelope = _read_envelope(body)
        if jsonlib.is_null(envelope.error):
            # `{"type": "overloaded_error", "message": …}`, as some proxies unwrap it
            return _detail(envelope.type, envelope.message, None) if envelope.message else None
        if bytes(envelope.error)[:1] == b'"':
            return _detail(None, _read_text(envelope.error), None)
        detail = _read_detail(envelope.error)
    except JsonError:
        return None
    return _detail(detail.type or detail.status, detail.message, detail.code)


def _detail(name: str | None, message: str | None, code: int | str | None) -> ErrorDetail:
    status = ERROR_STATUS.get(name or "")
    if status is None:
        status = code if isinstance(code, int) and 400 <= code <= 599 else UNKNOWN_STATUS
    return ErrorDetail(name or "", message or "", status)
