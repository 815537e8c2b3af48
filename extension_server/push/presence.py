"""Which filters are connected and what they run, for `status`. A filter that comes back at once was never away."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from extension_server.compile.result import ObjectRef
from extension_server.push.identity import Filter
from filters.contract.push import State

GRACE: Final = 10.0
"""Seconds that a filter may be away: it comes back when its token is renewed, or its connection broke."""


class Reports(Protocol):
    """Who wants to know. `extension_server.controller.ports.ReportedFilters`"""

    def report(self, gateway: ObjectRef, filter_id: str, config_hash: str) -> None:
        """A connected filter runs this configuration."""

    def gone(self, gateway: ObjectRef, filter_id: str) -> None:
        """A filter is no longer connected."""

    def trouble(self, gateway: ObjectRef, filter_id: str, sentence: str) -> None:
        """Why a filter does not run what it should; empty: it does."""

    def report_unasked(self, gateway: ObjectRef, filter_id: str, pod: ObjectRef, *, long: bool) -> None:
        """No Envoy asks a filter, in a pod that requests come to. Said again for as long as it is so; `long`: it was
        so before."""

    def asked(self, gateway: ObjectRef, filter_id: str) -> None:
        """It is not (any more) as `report_unasked` said."""


class Presence:
    def __init__(self, reports: Reports, grace: float = GRACE) -> None:
        self._reports = reports
        self._grace = grace
        self._streams: dict[tuple[ObjectRef, str], object] = {}
        self._leaving: dict[tuple[ObjectRef, str], asyncio.TimerHandle] = {}
        self.running: dict[str, State] = {}
        """pod → what it runs"""
        self._listeners: list[Callable[[Filter, State], None]] = []

    def subscribe(self, listener: Callable[[Filter, State], None]) -> None:
        """Called with everything that filters say they run."""
        self._listeners.append(listener)

    def came(self, found: Filter, stream: object) -> None:
        """`stream` speaks for the filter from now on."""
        key = (found.gateway, _id(found))
        self._streams[key] = stream
        if (handle := self._leaving.pop(key, None)) is not None:
            handle.cancel()

    def runs(self, found: Filter, state: State) -> None:
        self.running[_id(found)] = state
        self._reports.report(found.gateway, _id(found), state.config_hash)
        self._reports.trouble(found.gateway, _id(found), "")
        for listener in self._listeners:
            listener(found, state)

    def trouble(self, found: Filter, sentence: str) -> None:
        self._reports.trouble(found.gateway, _id(found), sentence)

    def unasked(self, found: Filter, *, long: bool) -> None:
        self._reports.report_unasked(found.gateway, _id(found), found.pod, long=long)

    def asked(self, found: Filter) -> None:
        self._reports.asked(found.gateway, _id(found))

    def left(self, found: Filter, stream: object) -> None:
        """Nothing happens when another stream of the same filter has taken over."""
        key = (found.gateway, _id(found))
        if self._streams.get(key) is stream:
            del self._streams[key]
            self._leaving[key] = asyncio.get_running_loop().call_later(self._grace, self._gone, key)

    def _gone(self, key: tuple[ObjectRef, str]) -> None:
        self._leaving.pop(key, None)
        self.running.pop(key[1], None)
        self._reports.gone(*key)

    def close(self) -> None:
        """Whoever is away stays as last reported."""
        for handle in self._leaving.values():
            handle.cancel()


def _id(found: Filter) -> str:
    return f"{found.pod.namespace}/{found.pod.name}/{found.uid}"
