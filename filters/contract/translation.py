"""What a translator gets and gives: the seam between exchanges (who talk to Envoy) and providers (who know formats).

One translator lives for one attempt. It is sans-IO: bytes and values in, values out. It never sees content-encoding
(the exchange decodes), spans, meters, loggers or clocks (time and ids are passed in).

    Call ──► Translator.request()            → UpstreamRequest    (raises filters.errors.ClientError)
    status, headers ──► Translator.start()   → ResponseStart
    bytes ──► Translator.feed(data, end)     → Output             (raises filters.errors.UpstreamError, unary only)

Structs are msgspec's: they are made for every request and every chunk, and cost a fifth of a frozen dataclass.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from filters.contract.config import Backend
from filters.contract.headers import Headers
from filters.contract.jsonlib import Raw
from filters.contract.usage import Usage
from filters.errors import GatewayError


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One client request as one backend is to serve it. Nothing in it may be modified: a retry starts from it again."""

    body: bytes
    """the client's body as it came"""
    members: Mapping[str, Raw]
    """`jsonlib.members(body)`"""
    headers: Headers
    """the client's request headers"""
    model: str
    """effective model: the backend's override, else the client's"""
    client_model: str
    stream: bool
    include_usage: bool
    """the client asked for a usage chunk (`stream_options.include_usage`)"""
    backend: Backend
    created: int
    """Unix seconds, for answers whose format wants a time that the provider does not give"""
    request_id: str
    """unique, URL-safe; seeds ids that the provider does not give"""
    usage_needed: bool = True
    """tokens are to be counted: ask a provider that must be asked for them (a cost is configured). When False, the
    body of a passed-through request stays as it is"""


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to the provider, before header and body mutation and before credentials."""

    path: str
    """`:path`, with query"""
    body: bytes | None = None
    """None: the client's body, byte for byte"""
    headers: tuple[tuple[str, str], ...] = ()
    """to set (overwrite)"""
    remove: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    """request members left out on purpose, for `x-aigw-dropped` and a metric; their values never appear"""


BodyMode = Literal["pass", "observe", "stream", "buffer"]
"""pass: nobody needs the body. observe: chunk by chunk, bytes go on unchanged (`Output.body` is None).
stream: chunk by chunk, replaced. buffer: the whole body in one `feed(data, end=True)`, headers still open."""


class ResponseStart(msgspec.Struct, frozen=True, kw_only=True):
    body: BodyMode
    headers: tuple[tuple[str, str], ...] = ()
    """to set on the client's response, now"""
    remove: tuple[str, ...] = ()


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one `feed`."""

    body: bytes | None = None
    """bytes for the client in place of what came in (may be empty); None: what came in goes on"""
    headers: tuple[tuple[str, str], ...] = ()
    """to set on the client's response; only after ResponseStart(body="buffer")"""
    usage: Usage | None = None
    """newest cumulative counts, when this call learned something new"""
    model: str = ""
    """model that the provider says answered; empty: not said yet"""
    content: bool = False
    """this piece carried generated content (time to first token is measured on the first such)"""
    failure: GatewayError | None = None
    """the answer failed (error object, broken or cut stream); the client's bytes, if any, already say so in `body`"""


class Translator(Protocol):
    """One attempt at one backend."""

    def request(self) -> UpstreamRequest:
        """Maps the client's request. Raises filters.errors.ClientError (422, 400) naming the field; nothing is dropped
        unless `UpstreamRequest.dropped` names it."""
        ...

    def start(self, status: int, headers: Headers) -> ResponseStart:
        """The provider's response head. Called once, before any `feed`."""
        ...

    def feed(self, data: bytes, *, end: bool) -> Output:
        """A piece of the provider's body, content-encoding removed, cut anywhere. `end` comes exactly once, maybe with
        empty `data`.

        In mode `buffer` with a good status, raises filters.errors.BadUpstreamAnswer for a body that cannot be read. In
        mode `stream` never raises: a broken stream ends with the client format's error event in `body` and `failure`
        set.
        """
        ...
