"""A watch keeps the store equal to the API server: no update is lost, whatever breaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from extension_server.compile.result import ObjectRef
from extension_server.controller import watch
from extension_server.controller.client import ApiError, Resource
from extension_server.controller.kinds import BY_KIND
from extension_server.controller.store import Change, Store
from extension_server.controller.watch import Watcher
from tests.support.fake_api import FakeApi
from tests.support.waiting import eventually

BACKENDS = Resource("gateway.envoyproxy.io", "v1alpha1", "Backend", "backends")
SPEC = {"endpoints": [{"fqdn": {"hostname": "a.example", "port": 443}}]}


class Watched:
    def __init__(self, api: FakeApi, store: Store, watcher: Watcher) -> None:
        self.api = api
        self.store = store
        self.watcher = watcher

    def names(self) -> set[str]:
        return {ref.name for ref in self.store.refs("Backend")}


@contextlib.asynccontextmanager
async def watching(api: FakeApi) -> AsyncIterator[Watched]:
    async def at_once(attempt: int) -> None:
        await asyncio.sleep(0)

    store = Store("eg")
    watcher = Watcher(api, BY_KIND["Backend"], None, store, lambda _: None, at_once)
    task = asyncio.create_task(watcher.run())
    try:
        yield Watched(api, store, watcher)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def installed() -> FakeApi:
    api = FakeApi()
    api.served = {"gateway.envoyproxy.io": {"v1alpha1": frozenset({"backends"})}}
    return api


async def test_what_is_there_and_what_comes_and_goes() -> None:
    api = installed()
    api.put(BACKENDS, "n", "first", spec=SPEC)
    async with watching(api) as watched:
        await watched.watcher.synced.wait()
        assert watched.names() == {"first"}
        api.put(BACKENDS, "n", "second", spec=SPEC)
        api.remove(BACKENDS, "n", "first")
        await eventually(lambda: watched.names() == {"second"})
        assert api.lists == 1


async def test_a_broken_watch_goes_on_where_it_was() -> None:
    api = installed()
    async with watching(api) as watched:
        await watched.watcher.synced.wait()
        for number in range(5):
            api.cut()
            api.put(BACKENDS, "n", f"b{number}", spec=SPEC)
        await eventually(lambda: len(watched.names()) == 5)
        assert api.lists == 1


async def test_a_version_that_is_too_old_leads_to_a_list_with_nothing_lost() -> None:
    api = installed()
    api.put(BACKENDS, "n", "first", spec=SPEC)
    async with watching(api) as watched:
        await watched.watcher.synced.wait()
        api.remove(BACKENDS, "n", "first")
        api.put(BACKENDS, "n", "second", spec=SPEC)
        api.forget()
        api.cut()
        await eventually(lambda: watched.names() == {"second"})


@pytest.mark.parametrize("verb", ["versions", "list", "watch"])
async def test_an_api_server_that_is_away_is_waited_for(verb: str) -> None:
    api = installed()
    api.put(BACKENDS, "n", "first", spec=SPEC)
    left = 3

    def fail(asked: str) -> ApiError | None:
        nonlocal left
        if asked != verb or not left:
            return None
        left -= 1
        return ApiError(0, "Unreachable", "connection refused")

    api.fail = fail
    async with watching(api) as watched:
        await eventually(lambda: not left and watched.names() == {"first"})


async def test_a_kind_that_is_not_installed_is_empty_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ABSENT_WAIT", 0.0)
    api = FakeApi()
    async with watching(api) as watched:
        await watched.watcher.synced.wait()
        assert watched.watcher.resource is None
        api.served = installed().served
        api.put(BACKENDS, "n", "first", spec=SPEC)
        await eventually(lambda: watched.names() == {"first"})
        api.fail = lambda verb: ApiError(404, "NotFound", "gone") if verb in ("list", "watch") else None
        api.served = {}
        api.cut()
        await eventually(lambda: watched.names() == set())


async def test_an_object_that_was_made_anew_is_not_lost_by_its_old_end() -> None:
    api = installed()
    api.put(BACKENDS, "n", "one", spec=SPEC)
    async with watching(api) as watched:
        await watched.watcher.synced.wait()
        api.remove(BACKENDS, "n", "one")
        newest = api.put(BACKENDS, "n", "one", spec=SPEC)
        watched.store.put(BY_KIND["Backend"], newest)
        api.put(BACKENDS, "n", "last", spec=SPEC)
        await eventually(lambda: "last" in watched.names())
        assert watched.store.held(ObjectRef("Backend", "n", "one")) is not None
        assert not Change()
