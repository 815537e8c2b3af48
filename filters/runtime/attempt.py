"""One attempt at one backend: the client's request turned into what this provider gets.

Pure: `prepare` takes the request as the client sent it (never what an earlier attempt made of it) and returns the
changes for Envoy's header map and the body. Both plans use it.
"""

from functools import lru_cache
from typing import Final

import msgspec

from filters.auth.base import CREDENTIAL_HEADERS
from filters.contract.headers import Headers
from filters.contract.jsonlib import JsonError
from filters.contract.translation import Call, Translator, UpstreamRequest
from filters.endpoints.base import Endpoint, ParsedRequest
from filters.errors import InternalError, Unprocessable
from filters.runtime.snapshot import ReadyBackend
from filters.streams import content_encoding


class ClientRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the client asked for. Attempts only read it."""

    endpoint: Endpoint
    parsed: ParsedRequest
    headers: Headers
    body: bytes
    """content-encoding removed, JSON mended"""
    decoded: bool
    """the body came compressed, or had to be mended, so `body` is not what Envoy holds"""
    created: int
    id: str
    """unique, URL-safe"""

    def __repr__(self) -> str:
        # The body is what a person wrote.
        return f"ClientRequest({self.id})"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    backend: ReadyBackend
    model: str
    """effective model"""
    translator: Translator
    set: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]
    body: bytes | None
    """None: what the client sent is what goes out"""
    authority: str
    """what the provider must see in `:authority`; empty: whatever Envoy puts there. Not in `set`: who sets it before
    Envoy has matched chooses another virtual host"""
    dropped: tuple[str, ...]
    touched: frozenset[str]
    """names of all headers that this attempt or an earlier one of the same request changed"""

    def __repr__(self) -> str:
        # The headers hold the credential.
        return f"Attempt({self.backend.config.name})"


def prepare(
    request: ClientRequest,
    backend: ReadyBackend,
    *,
    current: Headers,
    previous: Attempt | None = None,
    replace: bool = False,
    now: float,
) -> Attempt:
    """The attempt. Raises filters.errors.ClientError when this backend cannot serve the request, and
    filters.errors.Unavailable when its credential is missing.

    `current` is Envoy's header map as it is now, `previous` the attempt that last changed it. With `replace` the body
    is always given, because Envoy may hold that of another attempt.
    """
    factory = backend.provider.routes.get(request.endpoint.name)
    if factory is None:
        raise Unprocessable(
            f"{request.endpoint.suffix} is not supported by backends of schema {backend.config.schema.name}",
            code="unsupported_backend",
        )
    parsed = request.parsed
    model = backend.config.model_override or parsed.model
    translator = factory(
        Call(
            body=request.body,
            members=parsed.members,
            headers=request.headers,
            model=model,
            client_model=parsed.model,
            stream=parsed.stream,
            include_usage=parsed.include_usage,
            backend=backend.config,
            created=request.created,
            request_id=request.id,
        )
    )
    upstream = translator.request()
    body = _body(request, backend, upstream)
    if body is None and (replace or request.decoded):
        body = request.body
    changes = _header_changes(request, backend, upstream, current, previous)
    authenticator = backend.authenticator
    if authenticator is not None:
        changes.update(dict.fromkeys(CREDENTIAL_HEADERS))
        changes.update(
            authenticator.sign(
                method=request.headers.get(":method", "POST"),
                path=upstream.path,
                host=backend.config.host,
                body=request.body if body is None else body,
                now=now,
            )
        )
    authority = changes.pop(":authority", None) or ""
    changes[":path"] = upstream.path
    changed = [(name, value) for name, value in changes.items() if value is not None and current.get(name) != value]
    if body is not None:
        # Even when it stays the same: Envoy drops the length of a body that it replaces.
        changed.append(("content-length", str(len(body))))
    return Attempt(
        backend=backend,
        model=model,
        translator=translator,
        set=tuple(changed),
        remove=tuple([name for name, value in changes.items() if value is None and name in current]),
        body=body,
        authority=authority,
        dropped=upstream.dropped,
        touched=frozenset(changes) if previous is None else previous.touched.union(changes),
    )


def _header_changes(
    request: ClientRequest,
    backend: ReadyBackend,
    upstream: UpstreamRequest,
    current: Headers,
    previous: Attempt | None,
) -> dict[str, str | None]:
    """Everything but credentials, path and length: name → value to set, None to remove. Later writers win, so an
    earlier attempt's header, put back to the client's value, never beats the translator's."""
    changes: dict[str, str | None] = {}
    if previous is not None:
        for name in previous.touched:
            if not name.startswith(":"):
                changes[name] = request.headers.get(name) if name in request.headers else None
    if "accept-encoding" in request.headers:
        changes["accept-encoding"] = _acceptable(request.headers.get("accept-encoding"))
    if request.decoded:
        changes["content-encoding"] = None
    changes.update(dict.fromkeys(upstream.remove))
    changes.update(upstream.headers)
    backend.header_mutator.apply(changes)
    return changes


def _body(request: ClientRequest, backend: ReadyBackend, upstream: UpstreamRequest) -> bytes | None:
    if not backend.body_mutator:
        return upstream.body
    try:
        if upstream.body is None:
            return backend.body_mutator.apply(request.body, request.parsed.members)
        return backend.body_mutator.apply(upstream.body)
    except JsonError as exc:
        raise InternalError(
            f"backend {backend.config.name}: bodyMutation needs a JSON object", code="body_mutation_failed"
        ) from exc


_MAX_ACCEPT_ENCODING: Final = 256
"""Characters of a client's accept-encoding that are worth remembering: browsers and SDKs send about 30."""


def _acceptable(accepted: str) -> str:
    """The client's accept-encoding, limited to what we can undo."""
    return _supported(accepted) if len(accepted) <= _MAX_ACCEPT_ENCODING else "gzip"


_supported: Final = lru_cache(maxsize=256)(content_encoding.supported)


_MAX_DROPPED: Final = 1024
"""Characters of `x-aigw-dropped`."""


def dropped_header(dropped: tuple[str, ...]) -> str:
    """Value of `x-aigw-dropped`: names only, with characters and in a length that every HTTP stack takes.

    Names can be a client's own words: a line break in one must not become a header that Envoy refuses.
    """
    text = ", ".join(dropped)
    if not (text.isascii() and text.isprintable()):
        text = "".join([letter if letter.isascii() and letter.isprintable() else "?" for letter in text])
    if len(text) <= _MAX_DROPPED:
        return text
    whole, _, cut = text[:_MAX_DROPPED].rpartition(", ")
    return f"{whole or cut}, ..."
