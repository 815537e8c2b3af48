"""Objects whose writes are to be looked at: each once, never by two workers at a time, again later after a failure."""

import asyncio
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    def __init__(self) -> None:
        self._waiting: dict[K, None] = {}
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._attempts: dict[K, int] = {}
        self._wake = asyncio.Event()

    def add(self, keys: Iterable[K]) -> None:
        for key in keys:
            if (timer := self._later.pop(key, None)) is not None:
                timer.cancel()
            if key in self._active:
                self._again.add(key)
            else:
                self._waiting[key] = None
        self._wake.set()

    async def take(self) -> K:
        """The next key; `done` must follow."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        self._active.discard(key)
        self._attempts.pop(key, None)
        self._put_back(key)

    def failed(self, key: K, *, longest: float) -> None:
        """Instead of `done`: the key comes back by itself, later each time (0.2 s, doubled, up to `longest`)."""
        self._active.discard(key)
        attempt = self._attempts.get(key, 0)
        self._attempts[key] = attempt + 1
        if key not in self._again:
            delay = min(longest, 0.2 * 2 ** min(attempt, 12))
            self._later[key] = asyncio.get_running_loop().call_later(delay, self.add, (key,))
        self._put_back(key)

    def later(self, key: K, after: float) -> None:
        """Instead of `done`: the key comes back by itself after that many seconds."""
        self._active.discard(key)
        if key not in self._again:
            self._later[key] = asyncio.get_running_loop().call_later(after, self.add, (key,))
        self._put_back(key)

    def _put_back(self, key: K) -> None:
        if key in self._again:
            self._again.discard(key)
            self.add((key,))

    def clear(self) -> None:
        """Forgets everything. For when nobody works any more: what a worker was stopped at is forgotten too."""
        for timer in self._later.values():
            timer.cancel()
        self._later.clear()
        self._waiting.clear()
        self._active.clear()
        self._again.clear()
        self._attempts.clear()

    @property
    def idle(self) -> bool:
        return not (self._waiting or self._active or self._later)
