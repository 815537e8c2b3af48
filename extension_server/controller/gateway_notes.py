"""What the controller leaves on a Gateway, which has no status of ours: annotations for Envoy Gateway and for the other
replicas, Events for people. Whichever replica Envoy Gateway calls writes them.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final

from extension_server.api.gateway import Gateway
from extension_server.compile import attachment
from extension_server.compile.result import Finding, ObjectRef
from extension_server.controller import status
from extension_server.controller.client import ApiError
from extension_server.controller.events import Events
from extension_server.controller.kinds import BY_KIND
from extension_server.controller.means import Means
from extension_server.controller.queue import WorkQueue
from extension_server.controller.writer import LONGEST_WAIT

TRANSLATE_ANNOTATION: Final = "gateway.envoyproxy.io/ai-gateway-translate"
"""When Envoy Gateway was last asked to translate the Gateway again. It takes annotations of this prefix along into what
it translates, so a new value is a change."""

_log = logging.getLogger(__name__)


class GatewayNotes:
    def __init__(self, means: Means, *, leads: Callable[[], bool]) -> None:
        """`leads`: this replica is the one that filters are connected to."""
        self._store = means.store
        self._means = means
        self._leads = leads
        self._events = Events(means.api, means.now)
        self._queue: WorkQueue[ObjectRef] = WorkQueue()
        self._again: set[ObjectRef] = set()
        """Gateways that Envoy Gateway is to translate again"""
        self._since: dict[ObjectRef, dict[Finding, float]] = {}
        """when it was first found, by the clock of the event loop"""
        self._timed: set[ObjectRef] = set()
        self._told: dict[ObjectRef, frozenset[Finding]] = {}

    def add(self, gateways: Iterable[ObjectRef]) -> None:
        """There may be something new to say about them."""
        self._queue.add(gateways)

    def translate_again(self, gateways: Collection[ObjectRef]) -> None:
        """Has Envoy Gateway translate them again."""
        self._again.update(gateways)
        self._queue.add(gateways)

    def forget(self, gateway: ObjectRef) -> None:
        """The Gateway is gone."""
        self._told.pop(gateway, None)
        self._since.pop(gateway, None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            gateway = await self._queue.take()
            try:
                await self._annotate(gateway)
                await self._tell(gateway)
            except (ApiError, LookupError) as exc:
                _log.warning("%s: %s", gateway, exc)
                self._queue.failed(gateway, longest=LONGEST_WAIT)
            else:
                self._queue.done(gateway)

    async def _annotate(self, gateway: ObjectRef) -> None:
        """Raises ApiError, LookupError."""
        held, seen = self._store.held(gateway), self._means.observations.user_filters(gateway)
        if held is None or not isinstance(held.object, Gateway):
            return
        notes: dict[str, str | None] = {}
        if seen is not None and seen != attachment.user_filters(held.object):
            notes[attachment.USER_FILTERS_ANNOTATION] = ",".join(sorted(seen)) or None
        if seen is not None and not attachment.is_mediated(held.object):
            notes[attachment.MEDIATED_ANNOTATION] = "true"
        if gateway in self._again:
            notes[TRANSLATE_ANNOTATION] = self._means.now().isoformat()
        if not notes:
            return
        patch = {"metadata": {"uid": held.uid, "annotations": notes}}
        try:
            answer = await self._means.api.patch(
                self._means.resource_of(gateway.kind), gateway.namespace, gateway.name, patch
            )
        except ApiError as exc:
            if exc.not_found:
                return
            raise
        if TRANSLATE_ANNOTATION in notes:
            self._again.discard(gateway)
            _log.info("%s is translated again, with its AI routes", gateway)
        self._means.changed(self._store.put(BY_KIND[gateway.kind], answer))

    async def _tell(self, gateway: ObjectRef) -> None:
        """Events about what is wrong with it for a while and was not before. Raises ApiError, LookupError."""
        held = self._store.held(gateway)
        if held is None:
            return
        loop = asyncio.get_running_loop()
        now, known = loop.time(), self._since.get(gateway, {})
        since = self._since[gateway] = {each: known.get(each, now) for each in self._findings(gateway)}
        lasting = frozenset(each for each, begun in since.items() if now - begun >= self._means.patience)
        if len(lasting) < len(since) and gateway not in self._timed:
            self._timed.add(gateway)
            loop.call_later(self._means.patience, self._look_again, gateway)
        told, self._told[gateway] = self._told.get(gateway, frozenset()), lasting
        for each in sorted(lasting - told, key=str):
            message = f"{each.field}: {each.message}" if each.field else each.message
            resource = self._means.resource_of(gateway.kind)
            await self._events.say(gateway, held.uid, resource, "Warning", each.reason, message)

    def _look_again(self, gateway: ObjectRef) -> None:
        self._timed.discard(gateway)
        self._queue.add((gateway,))

    def _findings(self, gateway: ObjectRef) -> Iterable[Finding]:
        routes = self._means.world.routes_of(gateway)
        if routes:
            yield from self._means.observations.of(gateway, (gateway,))
        running = self._means.reports.running(gateway)
        if not routes or not self._leads() or running is None:
            return
        effect = "its AI routes answer 503"
        if not running:
            message = status.no_filter(gateway, effect)
            yield Finding(severity="warning", object=gateway, field="", reason="NoFilter", message=message)
        elif not any(status.is_mediated(self._store.held(route), gateway, self._store) for route in routes):
            message = status.not_mediated(gateway, effect)
            yield Finding(severity="warning", object=gateway, field="", reason="NotMediated", message=message)
        elif (unasked := self._means.reports.unasked(gateway)) and self._is_served(gateway):
            message = status.not_asked(gateway, unasked, len(running), effect)
            yield Finding(severity="warning", object=gateway, field="", reason="NotMediated", message=message)

    def _is_served(self, gateway: ObjectRef) -> bool:
        """A listener of it serves an AI route; without, Envoy has nothing to ask the filter for."""
        compiled = self._means.world.compiled(gateway)
        return compiled is not None and bool(compiled.filter_config.listeners)
