"""Replies that end a request with an answer of the gateway's own."""

from collections.abc import Callable
from typing import Final

from filters.contract.headers import Headers
from filters.endpoints import errors
from filters.errors import GatewayError
from filters.extproc.messages import ImmediateReply, Pairs

JSON: Final = ("content-type", "application/json")

_OURS_TO_WRITE: Final = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})


def error(
    failure: GatewayError, render: Callable[[GatewayError], bytes] = errors.render, *, headers: Pairs = ()
) -> ImmediateReply:
    """`failure` in the client's format. `headers` go with it."""
    return ImmediateReply(
        status=failure.status, body=render(failure), headers=(JSON, *headers), details=f"aigw_{failure.code}"
    )


def carried(headers: Headers) -> Pairs:
    """The headers of an answer that stay true when its body is written anew (`retry-after`, rate limits, ids)."""
    return tuple(
        (name, value) for name, value in headers.items if not name.startswith(":") and name not in _OURS_TO_WRITE
    )
