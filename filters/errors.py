"""The one error tree of the data plane.

    GatewayError                     everything that the gateway itself answers
    ├── ClientError                  the client can mend it; the text goes to the client
    │   ├── MalformedRequest   400   the body is not what the endpoint takes
    │   ├── MissingCredential  401   a per-request upstream credential is absent
    │   ├── NotFound           404   no such path, no such model
    │   ├── MethodNotAllowed   405
    │   ├── TooLarge           413
    │   ├── UnsupportedMedia   415   a content-encoding that we cannot undo
    │   └── Unprocessable      422   the request is well formed, but this upstream cannot serve a field of it
    ├── UpstreamError                the provider's side broke a promise; the text goes to the client
    │   ├── BadUpstreamAnswer  502   an answer that cannot be read
    │   ├── TruncatedStream    502   a stream that ended before its last event
    │   ├── UpstreamFailure    own   the provider reports a failure inside a stream (status that its type stands for)
    │   └── ProxyAnswer        own   Envoy answered in the provider's place (no healthy host, timeout, body too large)
    ├── Unavailable            503   no configuration to serve with
    └── InternalError          500   our own fault; the text stays in the log

Every error carries a `code` that can be searched in the documentation (docs/errors.md) and, where one field of the
request is the cause, the `param` that names it. Texts never hold user content: they name fields and types, not values
that people typed (model names excepted).
Who renders: `filters.endpoints` (one function, in the client's format). Who classifies third-party errors: the module
that catches them, `from exc`.
"""


class GatewayError(Exception):
    """An answer that the gateway gives itself.

    `message` is for a person, `code` for search and dashboards (snake_case, stable), `param` is the path of the
    offending request field in the client's own notation (`messages[2].content[0].image_url`), or None.
    """

    status: int = 500
    type: str = "InternalServerError"

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


class ClientError(GatewayError):
    """The client can mend it."""


class MalformedRequest(ClientError):
    status = 400
    type = "BadRequest"


class MissingCredential(ClientError):
    status = 401
    type = "Unauthorized"


class NotFound(ClientError):
    status = 404
    type = "NotFound"


class MethodNotAllowed(ClientError):
    status = 405
    type = "MethodNotAllowed"


class TooLarge(ClientError):
    status = 413
    type = "RequestTooLarge"


class UnsupportedMedia(ClientError):
    status = 415
    type = "UnsupportedMediaType"


class Unprocessable(ClientError):
    status = 422
    type = "UnprocessableEntity"


class UpstreamError(GatewayError):
    """The provider's side broke a promise."""

    status = 502
    type = "BadGateway"


class BadUpstreamAnswer(UpstreamError):
    """An answer with a good status that cannot be read as what it should be."""


class TruncatedStream(UpstreamError):
    """A stream that ended before the event that ends it."""


class UpstreamFailure(UpstreamError):
    """The provider reports a failure inside a stream that began well.

    `type` is the provider's own name for it (`overloaded_error`, `throttlingException`), `status` the HTTP status which
    that name stands for.
    """

    def __init__(self, message: str, *, code: str, type: str, status: int) -> None:  # noqa: A002  the wire's word
        super().__init__(message, code=code)
        self.type = type
        self.status = status


class ProxyAnswer(UpstreamError):
    """Envoy answered in the provider's place, with `status`."""

    def __init__(self, message: str, *, code: str, type: str, status: int) -> None:  # noqa: A002  the wire's word
        super().__init__(message, code=code)
        self.type = type
        self.status = status


class Unavailable(GatewayError):
    """The gateway has nothing to serve with yet."""

    status = 503
    type = "ServiceUnavailable"


class InternalError(GatewayError):
    """Our own fault. The message is logged, the client gets a neutral sentence."""
