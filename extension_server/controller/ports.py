"""Where compiled configurations go, and where it is known which of them run. Seams to the hooks and to the push."""

import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from extension_server.compile.result import Compiled, ObjectRef
from filters.contract.push import KEPT_SECONDS

_KEPT: Final = KEPT_SECONDS - 5.0
"""Seconds for which a filter is taken to have what it ran before; Envoy may ask for it some seconds later."""


class ConfigSink(Protocol):
    """Takes results of compiling. Called on the event loop; must not wait for anything."""

    def put(self, compiled: Compiled) -> None:
        """Takes the place of the Gateway's earlier result."""

    def remove(self, gateway: ObjectRef) -> None:
        """The Gateway is gone; one that is not known is no error."""


class FilterReports(Protocol):
    """Which configurations the filters of a Gateway run."""

    def have(self, gateway: ObjectRef, config_hash: str) -> bool:
        """Whether every connected filter can serve requests with it: runs it, or did a moment ago."""

    def running(self, gateway: ObjectRef) -> tuple[str, ...] | None:
        """Hash of each connected filter's configuration; None while it is too early to say."""

    def troubles(self, gateway: ObjectRef) -> tuple[str, ...]:
        """Why filters do not run what they should, a sentence each."""

    def unasked(self, gateway: ObjectRef) -> tuple[ObjectRef, ...]:
        """Pods that requests come to while no Envoy asks their filter."""


class ReportedFilters:
    """`FilterReports` in memory: whoever talks to the filters says what they run."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: seconds of any clock that goes on."""
        self._now = now
        self._running: dict[ObjectRef, dict[str, str]] = {}
        self._earlier: dict[ObjectRef, dict[str, dict[str, float]]] = {}
        """Gateway → filter → what it ran before → until when"""
        self._troubles: dict[ObjectRef, dict[str, str]] = {}
        self._doubted: dict[ObjectRef, set[str]] = {}
        """Gateway → filters that no Envoy asks, as they say"""
        self._unasked: dict[ObjectRef, dict[str, ObjectRef]] = {}
        """Gateway → filter of which that is believed → its pod"""
        self._settled = False
        self._listeners: list[Callable[[ObjectRef | None], None]] = []
        self._doubters: list[Callable[[ObjectRef], None]] = []

    def subscribe(self, listener: Callable[[ObjectRef | None], None]) -> None:
        """Called with the Gateway whose filters say something new; with None when it may be any."""
        self._listeners.append(listener)

    def subscribe_doubts(self, doubter: Callable[[ObjectRef], None]) -> None:
        """Called with the Gateway of a filter that no Envoy asks, when it says so first: the Envoy may have what an
        earlier release made of it, which lasts until Envoy Gateway translates the Gateway again."""
        self._doubters.append(doubter)

    def report(self, gateway: ObjectRef, filter_id: str, config_hash: str) -> None:
        """A connected filter runs this configuration."""
        running = self._running.setdefault(gateway, {})
        before = running.get(filter_id)
        if before == config_hash:
            return
        if before is not None:
            now, earlier = self._now(), self._earlier.setdefault(gateway, {}).get(filter_id, {})
            recent = {each: until for each, until in earlier.items() if now - until <= _KEPT}
            self._earlier[gateway][filter_id] = {**recent, before: now}
        running[filter_id] = config_hash
        self._tell(gateway)

    def gone(self, gateway: ObjectRef, filter_id: str) -> None:
        """A filter is no longer connected."""
        self.trouble(gateway, filter_id, "")
        self.asked(gateway, filter_id)
        self._earlier.get(gateway, {}).pop(filter_id, None)
        if self._running.get(gateway, {}).pop(filter_id, None) is not None:
            self._tell(gateway)

    def trouble(self, gateway: ObjectRef, filter_id: str, sentence: str) -> None:
        """Why a filter does not run what it should; empty: it does."""
        found = self._troubles.setdefault(gateway, {})
        if found.get(filter_id, "") != sentence:
            found[filter_id] = sentence
            self._tell(gateway)

    def troubles(self, gateway: ObjectRef) -> tuple[str, ...]:
        return tuple(sorted({each for each in self._troubles.get(gateway, {}).values() if each}))

    def unasked(self, gateway: ObjectRef) -> tuple[ObjectRef, ...]:
        return tuple(sorted(self._unasked.get(gateway, {}).values()))

    def report_unasked(self, gateway: ObjectRef, filter_id: str, pod: ObjectRef, *, long: bool) -> None:
        """No Envoy asks a filter, in a pod that requests come to. Believed when it is `long` so, or when it is so of
        another filter already."""
        doubted, unasked = self._doubted.setdefault(gateway, set()), self._unasked.setdefault(gateway, {})
        if filter_id not in doubted and not unasked:
            for doubter in self._doubters:
                doubter(gateway)
        doubted.add(filter_id)
        if filter_id not in unasked and (long or unasked):
            unasked[filter_id] = pod
            self._tell(gateway)

    def asked(self, gateway: ObjectRef, filter_id: str) -> None:
        """It is not (any more) as `report_unasked` said."""
        self._doubted.get(gateway, set()).discard(filter_id)
        if self._unasked.get(gateway, {}).pop(filter_id, None) is not None:
            self._tell(gateway)

    def unsettle(self) -> None:
        """This process is the one that filters connect to from now on: they need time for that."""
        self._settled = False

    def settle(self) -> None:
        """Filters that were there before this process had the time to connect: from now on, none means none."""
        self._settled = True
        self._tell(None)

    def running(self, gateway: ObjectRef) -> tuple[str, ...] | None:
        found = tuple(sorted(self._running.get(gateway, {}).values()))
        return found if found or self._settled else None

    def have(self, gateway: ObjectRef, config_hash: str) -> bool:
        """Whether every connected filter can serve requests with it: runs it, or did a moment ago."""
        now, earlier = self._now(), self._earlier.get(gateway, {})
        return all(
            running == config_hash or now - earlier.get(each, {}).get(config_hash, -math.inf) <= _KEPT
            for each, running in self._running.get(gateway, {}).items()
        )

    def _tell(self, gateway: ObjectRef | None) -> None:
        for listener in self._listeners:
            listener(gateway)
