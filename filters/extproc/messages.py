"""What Envoy tells us about one request, and what we answer: frozen values, no protobuf.

Made and read by `filters.extproc.codec`, used by the exchanges. One gRPC stream carries, in this order and with any of
them absent: RequestHeaders, RequestBody, RequestTrailers, ResponseHeaders, ResponseBody (many when streamed),
ResponseTrailers. Envoy waits for exactly one reply per message; an ImmediateReply ends the conversation.

Structs are msgspec's: they are made for every message, and cost a fifth of a frozen dataclass.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from filters.contract.headers import Headers

Plain = None | bool | float | str | list["Plain"] | dict[str, "Plain"]
"""a google.protobuf.Value as Python; numbers are always float"""
MetadataValue = str | float | int | bool
Pairs = tuple[tuple[str, str], ...]
Phase = Literal["request", "response"]
BodyMode = Literal["NONE", "STREAMED", "BUFFERED"]


class RequestHeaders(msgspec.Struct, frozen=True):
    headers: Headers
    end_of_stream: bool = False
    """no body follows: Envoy sends no RequestBody"""
    attributes: Mapping[str, Plain] = msgspec.field(default_factory=dict)
    """by the names that the filter's `request_attributes` ask for; those that did not resolve are absent"""
    metadata: Mapping[str, Mapping[str, Plain]] = msgspec.field(default_factory=dict)
    """forwarded dynamic metadata by namespace"""


class RequestBody(msgspec.Struct, frozen=True):
    body: bytes
    end_of_stream: bool = True


class RequestTrailers(msgspec.Struct, frozen=True):
    pass


class ResponseHeaders(msgspec.Struct, frozen=True):
    headers: Headers
    end_of_stream: bool = False


class ResponseBody(msgspec.Struct, frozen=True):
    body: bytes
    end_of_stream: bool = True


class ResponseTrailers(msgspec.Struct, frozen=True):
    pass


Message = RequestHeaders | RequestBody | RequestTrailers | ResponseHeaders | ResponseBody | ResponseTrailers

Metadata = Mapping[str, Mapping[str, MetadataValue]]
"""namespace → key → value"""


class HeadersReply(msgspec.Struct, frozen=True, kw_only=True):
    """Answers RequestHeaders or ResponseHeaders."""

    phase: Phase
    set: Pairs = ()
    """overwrite, or add when absent"""
    remove: tuple[str, ...] = ()
    replace: bool = False
    """CONTINUE_AND_REPLACE: `body` is the whole body, and Envoy sends none of the original"""
    body: bytes | None = None
    """only with `replace`; None leaves the body out of the reply"""
    clear_route_cache: bool = False
    response_body: BodyMode | None = None
    """how Envoy is to send the response body from now on (`mode_override`)"""
    metadata: Metadata | None = None


class BodyReply(msgspec.Struct, frozen=True, kw_only=True):
    """Answers RequestBody or ResponseBody."""

    phase: Phase
    body: bytes | None = None
    """in place of what came in (empty: nothing goes on); None: what came in goes on"""
    set: Pairs = ()
    remove: tuple[str, ...] = ()
    clear_route_cache: bool = False
    metadata: Metadata | None = None


class TrailersReply(msgspec.Struct, frozen=True, kw_only=True):
    """Answers RequestTrailers or ResponseTrailers: they go on as they came."""

    phase: Phase


class ImmediateReply(msgspec.Struct, frozen=True, kw_only=True):
    """Envoy answers the client with this, now. Legal as long as the response headers have not gone to the client."""

    status: int
    body: bytes = b""
    headers: Pairs = ()
    grpc_status: int | None = None
    """what a gRPC client gets in place of `status`"""
    details: str = ""
    """for Envoy's access log (`%RESPONSE_CODE_DETAILS%`)"""
    metadata: Metadata | None = None


class Forward(msgspec.Struct, frozen=True):
    """Not for Envoy: the message belongs to an exchange of another process, who is to be asked for the reply."""

    process: str


Reply = HeadersReply | BodyReply | TrailersReply | ImmediateReply | Forward

CONTINUE_REQUEST_HEADERS: Final = HeadersReply(phase="request")
CONTINUE_RESPONSE_HEADERS: Final = HeadersReply(phase="response")
CONTINUE_REQUEST_BODY: Final = BodyReply(phase="request")
CONTINUE_RESPONSE_BODY: Final = BodyReply(phase="response")
CONTINUE_REQUEST_TRAILERS: Final = TrailersReply(phase="request")
CONTINUE_RESPONSE_TRAILERS: Final = TrailersReply(phase="response")


def pass_through(message: Message) -> Reply:
    """The reply that changes nothing."""
    return _CONTINUE[type(message)]


_CONTINUE: Final[Mapping[type, Reply]] = {
    RequestHeaders: CONTINUE_REQUEST_HEADERS,
    RequestBody: CONTINUE_REQUEST_BODY,
    RequestTrailers: CONTINUE_REQUEST_TRAILERS,
    ResponseHeaders: CONTINUE_RESPONSE_HEADERS,
    ResponseBody: CONTINUE_RESPONSE_BODY,
    ResponseTrailers: CONTINUE_RESPONSE_TRAILERS,
}
