"""The error object of this API: the same whether it is a whole answer or the last event of a stream.

`{"type":"error","error":{"type":T,"code":C,"message":M,"param":P}}`; message and param are left out when empty
(translation chapter §1.4, §3.3). `type` at the top is what openai-python and openai-node do not mind and what other
clients look for.
"""

from msgspec import Struct

from filters.contract import jsonlib


class _Detail(Struct, frozen=True, omit_defaults=True):
    type: str
    code: str
    message: str = ""
    param: str = ""


class _Envelope(Struct, frozen=True):
    type: str
    error: _Detail


def error_body(*, type: str, code: str, message: str, param: str | None = None) -> bytes:  # noqa: A002  the wire's word
    """The JSON text. Any string is fine as `message`."""
    return jsonlib.encode(_Envelope("error", _Detail(type, code, message, param or "")))
