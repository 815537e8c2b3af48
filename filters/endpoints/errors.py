"""The gateway's own error answer: one renderer, one envelope.

    {"type":"error","error":{"type":T,"code":C,"message":M[,"param":P]}}

C is the searchable code of the error, not the status. Endpoints whose clients want another shape have their own
`render_error`.
"""

from typing import Final

import msgspec

from filters.contract import jsonlib
from filters.errors import GatewayError, InternalError

NEUTRAL: Final = "the gateway failed to serve this request; its log has the reason"
"""What a client reads in place of the text of an InternalError."""


class _Error(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    code: str
    message: str
    param: str = ""


class _Envelope(msgspec.Struct, frozen=True, omit_defaults=False):
    type: str
    error: _Error


def render(error: GatewayError) -> bytes:
    """The envelope as JSON."""
    message = NEUTRAL if isinstance(error, InternalError) else error.message
    return jsonlib.encode(_Envelope("error", _Error(error.type, error.code, _text(message), _text(error.param or ""))))


def _text(text: str) -> str:
    """`text` without what UTF-8 cannot hold (lone surrogates of a JSON escape)."""
    return text.encode("utf-8", "replace").decode()
