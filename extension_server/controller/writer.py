"""Writes what follows from the compiled state: generated objects, statuses, Events. Runs on the leader only.

Level-triggered: for an object named in the queue, what must be is compared with what the store holds, and only a
difference is written. Generated objects are applied before surplus ones are deleted, so a route is never without.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from extension_server.compile.result import Finding, ObjectRef
from extension_server.controller import children, status
from extension_server.controller.client import ApiError, Document
from extension_server.controller.documents import Content
from extension_server.controller.kinds import BY_KIND
from extension_server.controller.means import Means
from extension_server.controller.news import News
from extension_server.controller.queue import WorkQueue
from extension_server.controller.store import Held
from extension_server.controller.world import Part

FINALIZER: Final = "aigateway.envoyproxy.io/finalizer"
"""Earlier controllers put it on our kinds. Nothing has to be done before an object goes: it is only taken off."""
WORKERS: Final = 8
LONGEST_WAIT: Final = 60.0
"""Seconds between two tries of a write that the API server refuses."""

HOLD: Final = 2.0
"""Seconds that a change of an HTTPRoute waits for the filters to have the configuration that it is part of."""
_LOOK_AGAIN: Final = 0.2

_log = logging.getLogger(__name__)


class _TooEarly(Exception):
    """Envoy would send requests to a filter that does not know the rule yet. The argument: seconds to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Writer:
    def __init__(self, means: Means) -> None:
        self._api = means.api
        self._store = means.store
        self._world = means.world
        self._means = means
        self._news = News(means)
        self._queue: WorkQueue[ObjectRef] = WorkQueue()
        self._settled: dict[ObjectRef, tuple[Document, Content | None]] = {}
        """What was applied, and what the API server made of it when that is not the same (defaults of its own)."""
        self._refusals: dict[ObjectRef, str] = {}
        self._reconnect = means.reconnect
        self._begun = 0.0
        """when this process began to write"""
        self._awaited: dict[ObjectRef, tuple[str, float]] = {}
        """Gateway → hash of the configuration that its filters are to have, and since when"""

    def add(self, refs: Iterable[ObjectRef]) -> None:
        """Objects of ours to look at."""
        self._queue.add(refs)

    @property
    def idle(self) -> bool:
        return self._queue.idle

    async def run(self) -> None:
        """Until cancelled."""
        self._begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._news.run())
                for _ in range(WORKERS):
                    group.create_task(self._work())
        finally:
            self._queue.clear()

    async def _work(self) -> None:
        while True:
            ref = await self._queue.take()
            try:
                await self._sync(ref)
            except _TooEarly as exc:
                self._queue.later(ref, exc.seconds)
            except ApiError as exc:
                _log.warning("%s: %s", ref, exc)
                self._queue.failed(ref, longest=LONGEST_WAIT)
            except Exception:
                # One object must never stop the others; it is tried again, and the log has the trace.
                _log.exception("%s: cannot be reconciled", ref)
                self._queue.failed(ref, longest=LONGEST_WAIT)
            else:
                self._queue.done(ref)
            # Looking at an object that needs nothing takes a millisecond and waits for nothing: hooks get their turn.
            await asyncio.sleep(0)

    async def _sync(self, ref: ObjectRef) -> None:
        """Raises ApiError, _TooEarly."""
        held = self._store.held(ref)
        refusal: ApiError | None = None
        early: _TooEarly | None = None
        if ref.kind == "AIGatewayRoute":
            try:
                refusal = await self._generated(ref, held)
            except _TooEarly as exc:
                early = exc
        if held is None:
            self._refusals.pop(ref, None)
        elif held.deleting:
            await self._let_go(held)
        else:
            await self._status(held, str(refusal) if refusal else None)
        if early is not None:
            raise early
        if refusal is not None:
            raise refusal

    # ---- generated objects

    async def _generated(self, ref: ObjectRef, held: Held | None) -> ApiError | None:
        """Returns what the API server refused for good; raises ApiError for what may work the next time, _TooEarly for
        what is to be written later."""
        part = self._world.part(ref)
        if part is None and held is not None and not held.deleting:
            return None  # refused by our models, or not compiled yet: what is there stays
        wanted = {} if part is None or self._is_for_others(ref) else children.wanted(part)
        refusal: ApiError | None = None
        for child_ref, document in wanted.items():
            if not self._has_to_change(child_ref, document):
                continue
            if self._store.child(child_ref) is not None and part is not None:
                self._wait_for_filters(part)
            try:
                await self._apply(child_ref, document)
            except ApiError as exc:
                if not exc.refused:
                    raise
                refusal = exc
        if refusal is None:
            for child in children.surplus(self._store.children_of(ref), wanted):
                await self._api.delete(
                    self._means.resource_of(child.ref.kind), child.ref.namespace, child.ref.name, uid=child.uid
                )
                self._settled.pop(child.ref, None)
                self._means.changed(self._store.gone(child.ref))
        return refusal

    def _is_for_others(self, ref: ObjectRef) -> bool:
        """All Gateways of the route are there, and none is Envoy Gateway's."""
        part = self._world.part(ref)
        gateways = part.gateways if part else ()
        attached = part.route.attachments if part and part.route else ()
        return bool(gateways) and not attached and all(self._store.held(gateway) for gateway in gateways)

    def _has_to_change(self, ref: ObjectRef, document: Document) -> bool:
        child = self._store.child(ref)
        if child is None:
            return True
        return children.differs(document, child.content) and self._settled.get(ref) != (document, child.content)

    def _wait_for_filters(self, part: Part) -> None:
        """Make before break: a changed route leads to a filter that has the changed rule. Filters that followed another
        controller come back to this one first. Raises _TooEarly."""
        now = asyncio.get_running_loop().time()
        waits = [self._begun + self._reconnect - now]
        for gateway in part.gateways:
            compiled = self._world.compiled(gateway)
            if compiled is None or self._means.reports.have(gateway, compiled.config_hash):
                continue
            if self._awaited.get(gateway, ("", 0.0))[0] != compiled.config_hash:
                self._awaited[gateway] = (compiled.config_hash, now)
            waits.append(min(_LOOK_AGAIN, self._awaited[gateway][1] + HOLD - now))
        if (longest := max(waits)) > 0:
            raise _TooEarly(longest)

    async def _apply(self, ref: ObjectRef, document: Document) -> None:
        resource = self._means.resource_of(ref.kind)
        answer = await self._api.apply(resource, document)
        if surplus := children.removals(document["spec"], answer["spec"]):
            answer = await self._api.patch(resource, ref.namespace, ref.name, {"spec": surplus})
        self._means.changed(self._store.put(BY_KIND[ref.kind], answer))
        child = self._store.child(ref)
        if child is not None and children.differs(document, child.content):
            self._settled[ref] = (document, child.content)
        else:
            self._settled.pop(ref, None)

    # ---- the object itself

    async def _let_go(self, held: Held) -> None:
        if FINALIZER not in held.finalizers:
            return
        patch = {
            "metadata": {"uid": held.uid, "finalizers": [each for each in held.finalizers if each != FINALIZER] or None}
        }
        await self._patch(held, patch)

    async def _status(self, held: Held, refusal: str | None) -> None:
        part = self._world.part(held.ref)
        if held.object is not None and (part is None or part.generation != held.generation):
            return  # not compiled yet
        wanted = status.conditions(
            held, part, self._world, self._store, self._means.reports, self._about_gateways(held, part), refusal
        )
        documents = status.merged(held, wanted, self._means.now())
        if documents is None:
            return
        await self._patch(held, {"metadata": {"uid": held.uid}, "status": {"conditions": documents}}, part="status")
        if _acceptance(documents) != _acceptance(held.conditions):
            self._news.changed(held)

    def _about_gateways(self, held: Held, part: Part | None) -> tuple[Finding, ...]:
        """What is to be said about the Gateways of a route, which have no status of ours, and about other routes on
        them."""
        gateways = part.gateways if part else ()
        compiled = [self._world.compiled(gateway) for gateway in gateways]
        notes = (
            replace(finding, severity="warning")
            for each in compiled
            if each is not None
            for finding in each.findings
            if finding.object == each.gateway
        )
        shadowed = (
            finding for each in compiled if each is not None for finding in each.shadowed if finding.object == held.ref
        )
        unread = (
            Finding(severity="warning", object=gateway, field="", reason="NotRead", message=note)
            for gateway in gateways
            if (each := self._store.held(gateway)) is not None
            for note in each.notes
        )
        return (*self._means.observations.of(held.ref, gateways), *notes, *unread, *dict.fromkeys(shadowed))

    async def _patch(self, held: Held, patch: Document, part: str = "") -> None:
        """The uid in the patch makes it fail on an object that was made anew."""
        ref = held.ref
        try:
            answer = await self._api.patch(self._means.resource_of(ref.kind), ref.namespace, ref.name, patch, part=part)
        except ApiError as exc:
            if exc.not_found:
                return
            raise
        self._means.changed(self._store.put(BY_KIND[ref.kind], answer))


def _acceptance(conditions: Iterable[Mapping[str, Any]]) -> list[object]:
    return [(each.get("status"), each.get("message")) for each in conditions if each.get("type") == "Accepted"]
