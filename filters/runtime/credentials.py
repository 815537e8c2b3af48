"""The credentials that requests are sent with: by identity, always the newest, whatever snapshot a request uses.

Swapped by one assignment. A request that has signed keeps what it has; its next attempt takes what is there then.
What a new configuration no longer names is kept for the requests that still use an older one: Envoy's routes are some
seconds behind.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import Any, Final

from filters.auth.base import Authenticator
from filters.auth.header import HeaderAuthenticator
from filters.auth.sigv4 import SigV4Signer
from filters.contract import sections
from filters.contract.config import AwsCredential, Credential, HeaderCredential
from filters.errors import Unavailable
from filters.runtime.errors import ConfigError


class Table:
    """A whole table, ready: nothing in it changes."""

    __slots__ = ("authenticators", "hash", "sections")

    def __init__(
        self, sections: Mapping[str, bytes], credentials_hash: str, authenticators: Mapping[str, Authenticator]
    ) -> None:
        self.sections = sections
        """identity → section, for the next table"""
        self.hash = credentials_hash
        self.authenticators = authenticators


class Credentials:
    """The newest table, shared by all snapshots of a process."""

    def __init__(self) -> None:
        self.table = Table({}, "", {})
        self._retired: Mapping[str, Authenticator] = {}

    def find(self, identity: str) -> Authenticator:
        """Raises filters.errors.Unavailable for one that is not there: nothing is sent without."""
        found = self.table.authenticators.get(identity) or self._retired.get(identity)
        if found is None:
            raise Unavailable(
                "the backend's credential is not available; the status of the route and of its "
                "BackendSecurityPolicy says why",
                code="no_credential",
            )
        return found

    def activate(self, table: Table, newest: Collection[str], older: Iterable[Collection[str]]) -> None:
        """`newest`, `older`: identities that the newest snapshot and the ones before it name. One that the newest
        names and the table has not is gone for all."""
        before = {**self._retired, **self.table.authenticators}
        wanted = set(chain.from_iterable(older)).intersection(before).difference(newest, table.authenticators)
        self._retired = {identity: before[identity] for identity in wanted}
        self.table = table


def build(entries: Mapping[str, bytes], credentials_hash: str, previous: Table) -> Table:
    """`entries`: identity → section. What is as in `previous` is taken over. Raises ConfigError."""
    authenticators = {}
    for identity, section in entries.items():
        if previous.sections.get(identity) == section:
            authenticators[identity] = previous.authenticators[identity]
        else:
            authenticators[identity] = _authenticator(identity, section)
    return Table(entries, credentials_hash, authenticators)


def _authenticator(identity: str, section: bytes) -> Authenticator:
    try:
        credential: Credential = sections.read_credential(section)
    except ValueError as exc:
        raise ConfigError(f"credential {identity}: {exc}") from exc
    if isinstance(credential, HeaderCredential) and not _sendable(credential.value.reveal()):
        raise ConfigError(f"credential {identity}: empty, or with characters that a header cannot hold")
    return _AUTHENTICATORS[type(credential)](credential)


def _sendable(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()


_AUTHENTICATORS: Final[Mapping[type, Callable[[Any], Authenticator]]] = {
    HeaderCredential: HeaderAuthenticator,
    AwsCredential: SigV4Signer,
}
