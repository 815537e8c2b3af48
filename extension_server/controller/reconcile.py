"""The controller: from what the watches say to configurations published and objects written. One instance per process.

    watches ─► store ─► world (compile what changed) ─► sinks (hooks, push)     on every replica
                                                    ├─► gateway_notes           whichever is called by Envoy Gateway
                                                    └─► writer                  on the leader

Begin at `Controller._pass`: one batch of changes, from the store to the sinks and the writer's queue. What came while
one pass ran is the next pass. A pass never waits for the API server, except for the content of a Secret that is
referred to and has changed.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from extension_server.compile.reads import Key
from extension_server.compile.result import Compiled, Finding, ObjectRef
from extension_server.controller.client import Api, ApiError, Resource, backed_off
from extension_server.controller.gateway_notes import GatewayNotes
from extension_server.controller.kinds import WATCHED
from extension_server.controller.leader import Elector
from extension_server.controller.means import Means
from extension_server.controller.news import PATIENCE
from extension_server.controller.observations import Observations
from extension_server.controller.ports import ConfigSink, ReportedFilters
from extension_server.controller.progress import Progress
from extension_server.controller.store import Change, Store
from extension_server.controller.token_key import SECRETS
from extension_server.controller.watch import Watcher
from extension_server.controller.world import World
from extension_server.controller.writer import Writer
from filters.contract import push

SETTLE: Final = 30.0
"""Seconds that filters have to connect after a start, before "none" is believed."""
RECONNECT: Final = push.RECONNECT + 1.0
"""Seconds that filters take to come back from another controller."""
_PARTS_AT_ONCE: Final = 20
"""about 20 ms of compiling; then hooks and watches get their turn"""
_READS_AT_ONCE: Final = 16

_OURS: Final = tuple(watched.kind for watched in WATCHED if watched.sort == "ours")
Duty = Callable[[], Coroutine[Any, Any, None]]
_log = logging.getLogger(__name__)


class Controller:
    def __init__(
        self,
        api: Api,
        world: World,
        store: Store,
        sinks: Sequence[ConfigSink],
        reports: ReportedFilters,
        now: Callable[[], datetime],
        *,
        namespaces: Sequence[str] = (),
        elector: Elector | None = None,
        wait: Callable[[int], Awaitable[None]] | None = None,
        settle: float = SETTLE,
        reconnect: float = RECONNECT,
        patience: float = PATIENCE,
        measure: Callable[[float, int], None] | None = None,
        duties: Sequence[Duty] = (),
    ) -> None:
        """`namespaces`: those to watch, none for all. Without `elector` this process writes from the start.
        `wait` is the back-off of the watches, for tests. `measure(seconds, objects)`: one pass, what it compiled.
        `duties` run while this process leads, until cancelled. `reconnect`, `patience`:
        see `Means`."""
        self._api = api
        self._measure = measure or _unmeasured
        self._duties = duties
        self._world = world
        self._store = store
        self._sinks = sinks
        self._reports = reports
        self._elector = elector
        self._settle = settle
        self._pending = Change()
        self._wake = asyncio.Event()
        self._watchers = [
            Watcher(api, watched, namespace, store, self._changed, wait)
            for watched in WATCHED
            for namespace in ((namespaces or (None,)) if watched.namespaced else (None,))
        ]
        self._observations = Observations()
        means = Means(
            api=api,
            store=store,
            world=world,
            reports=reports,
            observations=self._observations,
            resource_of=self._resource_of,
            changed=self._changed,
            now=now,
            reconnect=reconnect,
            patience=patience,
        )
        self._writer = Writer(means)
        self._notes = GatewayNotes(means, leads=lambda: self.leading)
        self._progress = Progress(world, reports)
        self._unanswered: set[ObjectRef] = set()
        """Gateways whose last translation knew less of their AI routes than there was to know"""
        self._translations: dict[ObjectRef, asyncio.TimerHandle] = {}
        """when Envoy Gateway is to be made to translate a Gateway again"""
        self._published: dict[ObjectRef, tuple[object, ...]] = {}
        """Gateway → by what the sinks tell its last result from another"""
        self._shadowed: dict[ObjectRef, frozenset[Finding]] = {}
        """Gateway → what its last result says about routes that do not know it by themselves"""
        self._busy = False
        self.ready = asyncio.Event()
        """Everything that was there at the start is compiled and published."""
        self.lead = asyncio.Event()
        """This process writes."""
        reports.subscribe(self._reported)
        reports.subscribe_doubts(lambda gateway: self._ask_again((gateway,)))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watcher in self._watchers:
                group.create_task(watcher.run(), name=f"watch of {watcher.plural}")
            group.create_task(self._reconcile(), name="reconcile")
            group.create_task(self._write(), name="write")
            group.create_task(self._note(), name="notes on Gateways")

    @property
    def idle(self) -> bool:
        """Nothing is left to do about what is known."""
        return self.ready.is_set() and not (self._busy or self._pending or (self.leading and not self._writer.idle))

    @property
    def waiting(self) -> tuple[str, ...]:
        """Kinds (plural) that have not been seen whole yet."""
        return tuple(sorted({watcher.plural for watcher in self._watchers if not watcher.synced.is_set()}))

    @property
    def gateways(self) -> tuple[ObjectRef, ...]:
        """Those with a published configuration."""
        return tuple(self._published)

    @property
    def leading(self) -> bool:
        """This process writes."""
        return self.lead.is_set()

    def is_run(self, gateway: ObjectRef, config_hash: str) -> bool:
        """Whether every filter that is connected here can serve requests with this configuration of the Gateway."""
        return self._reports.have(gateway, config_hash)

    def unanswered(self, gateway: ObjectRef) -> None:
        """A translation of the Gateway came before its AI routes were known. Envoy Gateway does not ask again by
        itself; it is made to as soon as they are."""
        self._unanswered.add(gateway)
        if self.ready.is_set():
            self._ask_again([gateway])

    def behind(self, gateway: ObjectRef) -> None:
        """A translation of the Gateway held routes of a newer state than what is compiled here. It is to be translated
        again when that is known, too."""
        self._unanswered.add(gateway)

    def translate_again(self, gateway: ObjectRef, after: float) -> None:
        """Makes Envoy Gateway translate the Gateway again in `after` seconds, 0: not at all, instead of when it was to
        be made before: the last translation knows best."""
        if (planned := self._translations.pop(gateway, None)) is not None:
            planned.cancel()
        if after > 0:
            loop = asyncio.get_running_loop()
            self._translations[gateway] = loop.call_later(after, self._ask_again, (gateway,))

    def observed(self, gateway: ObjectRef, user_filters: Collection[str] | None, findings: Iterable[Finding]) -> None:
        """What a translation of Envoy Gateway's showed. `user_filters`: the RouteConfigurations of the Gateway whose
        listener has a filter of the user's after ours; None when that could not be seen."""
        self._unanswered.discard(gateway)
        concerned = self._observations.put(gateway, user_filters, findings)
        checks = {ref for ref in concerned if ref != gateway}
        if gateway in concerned:
            checks.update(self._world.routes_of(gateway))
        self._changed(Change(checks=checks))
        self._notes.add((gateway,))

    # ---- compiling

    def _changed(self, change: Change) -> None:
        if change:
            self._pending.add(change)
            self._wake.set()

    async def _reconcile(self) -> None:
        for watcher in self._watchers:
            await watcher.synced.wait()
        while True:
            await self._wake.wait() if self.ready.is_set() else None
            self._wake.clear()
            change, self._pending = self._pending, Change()
            self._busy = True
            begun = time.perf_counter()
            try:
                compiled = await self._pass(change)
                self._measure(time.perf_counter() - begun, compiled)
            finally:
                self._busy = False
            if not self.ready.is_set():
                self.ready.set()
                self._ask_again(list(self._unanswered))

    def _ask_again(self, gateways: Collection[ObjectRef]) -> None:
        """Those of which something is known now. (A Gateway of another controller's namespaces never is.)"""
        due = [gateway for gateway in gateways if gateway in self._published]
        self._unanswered.difference_update(due)
        self._notes.translate_again(due)

    async def _pass(self, change: Change) -> int:
        """Returns how many objects were compiled."""
        touched: set[ObjectRef] = set()
        compiled = 0
        keys: Collection[Key] = change.keys
        # Once, as a rule. Again for Secrets that only what has just been compiled refers to: their content is not here.
        while keys:
            self._world.read_policies(self._store.view(), keys)
            secrets = self._world.secrets()
            loaded = self._store.stale_secrets(secrets)
            await self._load(loaded)
            keys = {*keys, *loaded}
            view = self._store.view()
            recompiled = []
            for ref in self._world.recompile(view, keys):
                recompiled.append(ref)
                if len(recompiled) % _PARTS_AT_ONCE == 0:
                    await asyncio.sleep(0)
            compiled += len(recompiled)
            touched.update(recompiled)
            keys = self._store.stale_secrets(self._world.secrets() - secrets)
        touched.update(await self._publish_all())
        if touched:
            self._store.forget_secrets(self._world.secrets())
        if self.leading:
            self._writer.add(sorted(touched | change.checks))
        return compiled

    async def _publish_all(self) -> set[ObjectRef]:
        """Puts together and publishes the Gateways that something has changed for. Returns as `_publish` does."""
        concerned: set[ObjectRef] = set()
        view = self._store.view()
        for gateway in self._world.dirty():
            try:
                concerned |= self._publish(gateway, self._world.assemble(view, gateway))
            except Exception:
                # Its last good configuration stays; the other Gateways are served.
                _log.exception("%s cannot be put together", gateway)
            await asyncio.sleep(0)
        return concerned

    def _publish(self, gateway: ObjectRef, compiled: Compiled | None) -> set[ObjectRef]:
        """Returns the objects whose status says something about the Gateway."""
        if compiled is None:
            self._progress.forget(gateway)
            self._notes.forget(gateway)
            self._shadowed.pop(gateway, None)
            self._observations.forget(gateway)
            if self._published.pop(gateway, None) is not None:
                for sink in self._sinks:
                    sink.remove(gateway)
            return set(self._world.routes_of(gateway))
        before, self._shadowed[gateway] = self._shadowed.get(gateway, frozenset()), frozenset(compiled.shadowed)
        concerned = {finding.object for finding in before ^ self._shadowed[gateway]}
        content = (compiled.config_hash, compiled.credentials_hash, compiled.rules, compiled.fallbacks)
        if self._published.get(gateway) == content:
            return concerned
        for sink in self._sinks:
            sink.put(compiled)
        self._published[gateway] = content
        if self.ready.is_set() and gateway in self._unanswered:
            self._ask_again([gateway])
        return self._progress.news(gateway) | concerned

    async def _load(self, secrets: Collection[ObjectRef]) -> None:
        """Content of those that are there, whatever it takes: without it, rules would fail closed that need not."""
        limit = asyncio.Semaphore(_READS_AT_ONCE)

        async def load(ref: ObjectRef) -> None:
            attempt = 0
            while True:
                try:
                    async with limit:
                        document = await self._api.get(SECRETS, ref.namespace, ref.name)
                    self._store.put_secret(document)
                    return
                except ApiError as exc:
                    if exc.not_found or exc.refused:
                        self._store.gone(ref)
                    if not exc.not_found:
                        _log.warning("%s: %s", ref, exc)
                    if exc.not_found or exc.refused:
                        return
                await backed_off(attempt, longest=5.0, jitter=0)
                attempt += 1

        await asyncio.gather(*(load(ref) for ref in self._store.stale_secrets(secrets)))

    # ---- what runs

    def _reported(self, gateway: ObjectRef | None) -> None:
        concerned = [gateway] if gateway is not None else list(self._published)
        for each in concerned:
            self._changed(Change(checks=self._progress.news(each)))
        self._notes.add(concerned)

    async def _settle_reports(self) -> None:
        """While this process leads: filters follow the one that does."""
        self._reports.unsettle()
        await asyncio.sleep(self._settle)
        self._reports.settle()
        await asyncio.Event().wait()

    # ---- writing

    async def _write(self) -> None:
        await self.ready.wait()
        while True:
            async with self._elector.leading() if self._elector else _always() as lost:
                self.lead.set()
                self._writer.add([ref for kind in _OURS for ref in self._store.refs(kind)])
                self._writer.add(self._store.owners())
                duties: tuple[Duty, ...] = (self._writer.run, self._settle_reports, *self._duties)
                work = [asyncio.create_task(each()) for each in duties]
                try:
                    await lost.wait()
                finally:
                    self.lead.clear()
                    for task in work:
                        task.cancel()
                    for ended in await asyncio.gather(*work, return_exceptions=True):
                        if isinstance(ended, Exception):
                            raise ended

    async def _note(self) -> None:
        """Not the leader's job: Envoy Gateway may never call it."""
        await self.ready.wait()
        await self._notes.run()

    def _resource_of(self, kind: str) -> Resource:
        """Raises LookupError for a kind that is not installed."""
        for watcher in self._watchers:
            if watcher.resource is not None and watcher.resource.kind == kind:
                return watcher.resource
        raise LookupError(f"kind {kind} is not installed")


def _unmeasured(seconds: float, objects: int) -> None:
    """Nobody counts."""


@contextlib.asynccontextmanager
async def _always() -> AsyncIterator[asyncio.Event]:
    yield asyncio.Event()
