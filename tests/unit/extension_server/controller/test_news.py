"""Events tell what has lasted: not what is missing while files are applied, and not each change of a burst."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from extension_server.controller.client import Resource
from extension_server.controller.events import EVENTS
from extension_server.controller.means import Means
from extension_server.controller.news import News
from extension_server.controller.observations import Observations
from extension_server.controller.ports import ReportedFilters
from tests.support.fake_api import FakeApi
from tests.support.waiting import eventually
from tests.unit.extension_server.controller.objects import CHAT, WORLD, documents
from tests.unit.extension_server.controller.test_world import Both

GONE = ("False", "it is gone")
FINE = ("True", "it is served")
WORSE = ("False", "it is gone, and more")


class Desk:
    """A store with one route, and what is told about it. Time passes when `patience` says so."""

    def __init__(self, patience: float) -> None:
        self.api = FakeApi()
        self.both = Both()
        (self._route,) = (each for each in documents(WORLD) if each["kind"] == "AIGatewayRoute")
        self.news = News(
            Means(
                api=self.api,
                store=self.both.store,
                world=self.both.world,
                reports=ReportedFilters(),
                observations=Observations(),
                resource_of=lambda kind: Resource("g", "v1", kind, "plural"),
                changed=lambda change: None,
                now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
                reconnect=0,
                patience=patience,
            )
        )

    def state(self, status: str, message: str, **metadata: Any) -> None:
        """As stored now; a change is told to the news."""
        held = self.both.store.held(CHAT)
        (route,) = (each for each in documents(WORLD, **metadata) if each["kind"] == "AIGatewayRoute")
        accepted = {"type": "Accepted", "status": status, "message": message, "reason": "R"}
        self.both.put({**route, "status": {"conditions": [accepted]}})
        if held is not None:
            self.news.changed(held)

    def said(self) -> list[tuple[str, str]]:
        events = (each for (plural, _, _), each in self.api.objects.items() if plural == EVENTS.plural)
        return [(each["type"], each["message"]) for each in events]


@contextlib.asynccontextmanager
async def open_desk(patience: float = 0.0) -> AsyncIterator[Desk]:
    desk = Desk(patience)
    task = asyncio.create_task(desk.news.run())
    try:
        yield desk
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ((FINE, GONE), ("Warning", "it is gone")),
        ((GONE, WORSE), ("Warning", "it is gone, and more")),
        ((GONE, FINE), ("Normal", "it is served")),
        ((GONE, FINE, WORSE), ("Warning", "it is gone, and more")),
        ((FINE, GONE, WORSE, GONE), ("Warning", "it is gone")),
    ],
)
async def test_the_outcome_of_a_burst_is_told(states: tuple[tuple[str, str], ...], told: tuple[str, str]) -> None:
    async with open_desk() as desk:
        for state in states:
            desk.state(*state)
        await eventually(desk.said, "an Event")
        assert desk.said() == [told]


@pytest.mark.parametrize("states", [(FINE, GONE, FINE), (GONE, FINE, GONE)])
async def test_what_is_as_it_was_is_no_news(states: tuple[tuple[str, str], ...]) -> None:
    async with open_desk() as desk:
        for state in states:
            desk.state(*state)
        assert not desk.news.idle
        await eventually(lambda: desk.news.idle, "all is told")
        assert desk.said() == []


async def test_of_an_object_that_was_made_anew_its_own_faults_are_told() -> None:
    async with open_desk() as desk:
        desk.state(*GONE)
        desk.state(*GONE, uid="another")
        await eventually(desk.said, "an Event")
        assert desk.said() == [("Warning", "it is gone")]


async def test_what_is_not_told_when_the_leader_ends_is_not_told_by_it() -> None:
    async with open_desk(patience=3600.0) as desk:
        desk.state(*FINE)
        desk.state(*GONE)
    assert desk.said() == []
