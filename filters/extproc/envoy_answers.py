"""Answers that Envoy makes itself, in the provider's place: recognised, and named so that a client can read them.

Envoy writes them as `text/plain` (or without any body), without `date` and `server`, which it adds after the filters.
Providers that omit those are told apart by the text: Envoy's own sentences are few.
"""

from collections.abc import Mapping
from typing import Final

from filters.contract.headers import Headers
from filters.errors import ProxyAnswer

MAX_TEXT: Final = 512
"""Characters of Envoy's own text that are passed on; its longest sentence has about 300."""

_EVIDENCE: Final = ("date", "server", "x-envoy-upstream-service-time")

# status → (type, code, sentence)
BY_STATUS: Final[Mapping[int, tuple[str, str, str]]] = {
    400: ("BadRequest", "bad_request", "the request is not acceptable"),
    401: ("Unauthorized", "unauthorized", "the gateway asks for a credential"),
    403: ("Forbidden", "forbidden", "the gateway's policy does not allow this request"),
    404: ("NotFound", "not_found", "no route serves this request"),
    408: ("RequestTimeout", "request_timeout", "the request took too long to arrive"),
    413: ("RequestTooLarge", "request_too_large", "the request body is larger than the gateway's buffer limit"),
    429: ("TooManyRequests", "rate_limited", "the gateway's rate limit is reached"),
    500: ("InternalServerError", "proxy_error", "Envoy could not process the request or its answer"),
    502: ("BadGateway", "upstream_protocol_error", "the provider's answer is not HTTP"),
    503: ("ServiceUnavailable", "upstream_unavailable", "the provider cannot be reached"),
    504: ("GatewayTimeout", "upstream_timeout", "the provider did not answer in time"),
}
OTHER: Final = ("UpstreamError", "proxy_answer", "Envoy answered in the provider's place")

BY_TEXT: Final = (
    ("no healthy upstream", "no_healthy_upstream"),
    ("upstream connect error", "upstream_connect_error"),
    ("upstream request timeout", "upstream_timeout"),
    ("upstream max stream duration", "upstream_timeout"),
    ("stream timeout", "stream_timeout"),
    ("local_rate_limited", "rate_limited"),
    ("RBAC: access denied", "forbidden"),
    ("Payload Too Large", "request_too_large"),
    ("exceeded request buffer limit", "request_too_large"),
)
"""how Envoy's text begins → the code"""


def may_be_envoys(status: int, headers: Headers) -> bool:
    """Whether these can be the response headers of an answer that Envoy made itself."""
    if status < 400 or any(name in headers for name in _EVIDENCE):
        return False
    kind = headers.get("content-type")
    return not kind or kind.startswith("text/plain")


def is_envoys(body: bytes) -> bool:
    """Whether the body under such headers is Envoy's."""
    return not body or _named(_text(body)) != ""


def error_of(status: int, body: bytes) -> ProxyAnswer:
    """The answer as an error. Envoy's text is part of the message: it holds reasons, never what a person sent."""
    type_, code, sentence = BY_STATUS.get(status, OTHER)
    text = _text(body)
    return ProxyAnswer(
        f"{sentence}: {text}" if text else sentence, code=_named(text) or code, type=type_, status=status
    )


def _text(body: bytes) -> str:
    return body[:MAX_TEXT].decode("utf-8", "replace").strip()


def _named(text: str) -> str:
    return next((code for start, code in BY_TEXT if text.startswith(start)), "")
