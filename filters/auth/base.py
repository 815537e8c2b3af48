"""What authenticates a request to a provider: built once per backend and configuration, used by every attempt."""

from typing import Final, Protocol

CREDENTIAL_HEADERS: Final = (
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
)
"""Every header that any provider reads a credential from. Envoy keeps headers between attempts, so an attempt removes
all of them before it sets its own; and a backend with a credential of its own never sees the client's."""


class Authenticator(Protocol):
    """Turns one finished request into the headers that prove who sends it. Sans-IO and thread-safe."""

    def sign(self, *, method: str, path: str, host: str, body: bytes, now: float) -> tuple[tuple[str, str], ...]:
        """Headers to set (overwrite), names lower case. `path` is `:path` with its query, `body` the bytes that go out
        after every mutation, `host` the name of its endpoints, if they have one. `:authority` is among the result when
        the provider must see just this one. `now` is Unix seconds."""
        ...
