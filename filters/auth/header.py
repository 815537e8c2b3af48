"""Credentials that are one header: API keys and bearer tokens."""

from filters.contract.config import HeaderCredential


class HeaderAuthenticator:
    """Sets the credential's header, whatever the request is."""

    __slots__ = ("_credential", "_headers")

    def __init__(self, credential: HeaderCredential) -> None:
        self._credential = credential
        self._headers = ((credential.name.lower(), credential.value.reveal()),)

    def sign(self, *, method: str, path: str, host: str, body: bytes, now: float) -> tuple[tuple[str, str], ...]:
        return self._headers

    def __repr__(self) -> str:
        return f"HeaderAuthenticator({self._credential!r})"
