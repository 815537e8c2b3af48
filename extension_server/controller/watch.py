"""Keeps the store equal to one kind in the API server: list, then watch, for ever, whatever breaks on the way.

A broken watch goes on from the last resource version; a version that is too old leads to a new list, whose difference
to the store makes up for what was missed. No update is lost and none is made up.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from extension_server.controller.client import Api, ApiError, Resource, backed_off
from extension_server.controller.kinds import CORE_VERSIONS, Watched
from extension_server.controller.store import Change, Store

LONGEST_WAIT: Final = 10.0
"""Seconds between tries while the API server is away."""
ABSENT_WAIT: Final = 5.0
"""Seconds until a kind that is not installed is looked for again."""
FORBIDDEN: Final = 403
FORBIDDEN_WAIT: Final = 60.0
"""Seconds until a kind that we may not see is tried again."""
_EVENTS_AT_ONCE: Final = 100
"""then other tasks get their turn"""

_log = logging.getLogger(__name__)


class Watcher:
    def __init__(
        self,
        api: Api,
        watched: Watched,
        namespace: str | None,
        store: Store,
        changed: Callable[[Change], None],
        wait: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """`namespace`: None for all. `wait(attempt)` is the back-off, for tests."""
        self._api = api
        self._watched = watched
        self._namespace = namespace
        self._store = store
        self._changed = changed
        self._wait = wait or _back_off
        self.resource: Resource | None = None
        """where the kind is served; None while it is not known or not installed"""
        self.synced = asyncio.Event()
        """the store has been equal once"""
        self._since = ""

    @property
    def plural(self) -> str:
        return self._watched.plural

    async def run(self) -> None:
        """Until cancelled."""
        attempt = 0
        while True:
            try:
                if self.resource is None and not await self._find():
                    await asyncio.sleep(ABSENT_WAIT)
                    continue
                assert self.resource is not None
                if not self._since:
                    await self._list(self.resource)
                attempt = 0 if await self._follow(self.resource) else attempt
            except ApiError as exc:
                if exc.gone or exc.not_found:
                    self._since = ""
                if exc.not_found:
                    self.resource = None
                if exc.status == FORBIDDEN and self._watched.optional:
                    await self._forbidden(exc)
                    continue
                _log.log(
                    logging.INFO if exc.gone else logging.WARNING,
                    "watching %s%s: %s",
                    self._watched.plural,
                    self._where(),
                    exc,
                )
            except Exception:
                # A document that is none must not end the controller; what it was about comes with the next list.
                _log.exception("watching %s%s", self._watched.plural, self._where())
                self._since = ""
            # Also after a watch that ended well: an API server that ends them at once is not to be stormed.
            await self._wait(attempt)
            attempt += 1

    async def _forbidden(self, exc: ApiError) -> None:
        if not self.synced.is_set():
            _log.warning("%s are not looked at%s: %s", self._watched.plural, self._where(), exc)
        self.synced.set()
        await asyncio.sleep(FORBIDDEN_WAIT)

    def _where(self) -> str:
        return f" in namespace {self._namespace}" if self._namespace is not None else ""

    async def _find(self) -> bool:
        """Raises ApiError."""
        group = self._watched.group
        served = await self._api.versions(group) if group else CORE_VERSIONS
        self.resource = self._watched.resource(served)
        if self.resource is None:
            if not self.synced.is_set():
                _log.warning("kind %s (%s) is not installed; waiting for it", self._watched.kind, group)
            self._changed(self._store.keep_only(self._watched, self._namespace, ()))
            self.synced.set()
            return False
        return True

    async def _list(self, resource: Resource) -> None:
        """Raises ApiError."""
        listing = await self._api.list(resource, self._namespace, metadata_only=self._metadata_only)
        for number, document in enumerate(listing.items, start=1):
            self._changed(self._store.put(self._watched, document))
            if number % _EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        as_of = int(listing.resource_version) if listing.resource_version.isdecimal() else None
        self._changed(self._store.keep_only(self._watched, self._namespace, listing.items, as_of))
        self._since = listing.resource_version
        self.synced.set()

    async def _follow(self, resource: Resource) -> bool:
        """Returns whether anything came. Raises ApiError."""
        count = 0
        events = self._api.watch(resource, self._namespace, self._since, metadata_only=self._metadata_only)
        async for event in events:
            match event.type:
                case "ADDED" | "MODIFIED":
                    self._changed(self._store.put(self._watched, event.object))
                case "DELETED":
                    self._changed(self._store.remove(self._watched, event.object))
                case "BOOKMARK":
                    pass
            self._since = event.object["metadata"]["resourceVersion"]
            count += 1
            if count % _EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return count > 0

    @property
    def _metadata_only(self) -> bool:
        return self._watched.sort == "secret"


async def _back_off(attempt: int) -> None:
    await backed_off(attempt, longest=LONGEST_WAIT, jitter=random.random())  # noqa: S311  not a secret
