"""The configurations that requests can be served with: the newest, and the last few by hash (docs/adr/0004)."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from filters.contract import config, push, sections
from filters.contract.sections import Sections
from filters.runtime import credentials
from filters.runtime.credentials import Credentials, Table
from filters.runtime.errors import ConfigError
from filters.runtime.snapshot import Builder, Snapshot

KEPT: Final = 4
"""A hash is asked for when a request begins, by an Envoy whose route table is some seconds behind; the request then
keeps its snapshot itself."""
KEPT_AT_MOST: Final = 128
"""When much changes at once, Envoy is many configurations behind: those that were the newest a moment ago stay, too.
They share all rules that did not change; what is their own is about 1 MB at 10,000 rules."""

_JSON: Final = b"{"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A state that is ready to be served with."""

    snapshot: Snapshot
    credentials: Table

    @property
    def hash(self) -> str:
        return self.snapshot.hash


class SnapshotStore:
    """Swapped by assignment; a request keeps the snapshot that it started with."""

    def __init__(
        self,
        builder: Builder,
        newest_credentials: Credentials,
        kept: int = KEPT,
        now: Callable[[], float] | None = None,
    ) -> None:
        """`kept`: that many are, however old. `now`: monotonic seconds; without it, nothing else is kept."""
        self._now = now or (lambda: 0.0)
        self._lingers = push.KEPT_SECONDS if now else 0.0
        self._replaced: dict[str, float] = {}
        """hash → when it was the newest last"""
        self._builder = builder
        self._credentials = newest_credentials
        self._kept = kept
        self._by_hash: OrderedDict[str, Snapshot] = OrderedDict()
        self._newest: Snapshot | None = None

    @property
    def newest(self) -> Snapshot | None:
        return self._newest

    @property
    def kept(self) -> int:
        """How many there are."""
        return len(self._by_hash)

    @property
    def credentials_hash(self) -> str:
        return self._credentials.table.hash

    def find(self, config_hash: str) -> Snapshot | None:
        """The snapshot of that hash; for one that is unknown, the newest. None: nothing was ever loaded."""
        return self._by_hash.get(config_hash, self._newest)

    def prepare(self, document: bytes) -> Prepared:
        """Builds a document, in JSON or as a whole `filters.contract.push.Update`; nothing is served with it yet. May
        run beside requests, in another thread.

        Raises ConfigError.
        """
        try:
            if document[:1] == _JSON:
                whole = sections.split(config.decode(document))
            else:
                whole = push.apply(push.decode_update(document), None)
        except ValueError as exc:
            raise ConfigError(str(exc)) from exc
        return self.prepare_sections(whole)

    def prepare_sections(self, whole: Sections) -> Prepared:
        """The same for one that is in sections already. Raises ConfigError."""
        snapshot = self._by_hash.get(whole.config_hash)
        if snapshot is None:
            snapshot = self._builder.build(whole.parts, whole.config_hash, self._newest)
        table = self._credentials.table
        if table.hash != whole.credentials_hash:
            table = credentials.build(whole.credentials, whole.credentials_hash, table)
        return Prepared(snapshot, table)

    def activate(self, prepared: Prepared) -> None:
        """Makes it the newest."""
        snapshot = prepared.snapshot
        self._by_hash[snapshot.hash] = snapshot
        self._by_hash.move_to_end(snapshot.hash)
        now = self._now()
        if self._newest is not None:
            self._replaced[self._newest.hash] = now
        while len(self._by_hash) > self._kept:
            oldest = next(iter(self._by_hash))
            if len(self._by_hash) <= KEPT_AT_MOST and now - self._replaced.get(oldest, now) < self._lingers:
                break
            del self._by_hash[oldest]
            self._replaced.pop(oldest, None)
        older = [each.credentials for each in self._by_hash.values() if each is not snapshot]
        self._credentials.activate(prepared.credentials, snapshot.credentials, older)
        self._newest = snapshot

    def load(self, document: bytes) -> str:
        """`prepare` and `activate`. Returns the hash. Raises ConfigError, and everything stays as it was."""
        prepared = self.prepare(document)
        self.activate(prepared)
        return prepared.hash
