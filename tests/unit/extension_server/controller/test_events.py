"""Events: what `kubectl describe` shows below an object."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from extension_server.compile.result import ObjectRef
from extension_server.controller.client import ApiError, Resource
from extension_server.controller.events import EVENTS, MAX_MESSAGE, QUIET, Events
from tests.support.fake_api import FakeApi

ROUTE = ObjectRef("AIGatewayRoute", "team", "chat")
ROUTES = Resource("aigateway.envoyproxy.io", "v1beta1", "AIGatewayRoute", "aigatewayroutes")
BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Watchman:
    """Says things at times of his own."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.now = BEGUN
        self._events = Events(self.api, lambda: self.now)

    async def say(self, message: str, uid: str = "u", after: timedelta = timedelta()) -> None:
        self.now += after
        await self._events.say(ROUTE, uid, ROUTES, "Warning", "SecretNotFound", message)

    def said(self) -> list[dict[str, Any]]:
        return [each for (plural, _, _), each in self.api.objects.items() if plural == EVENTS.plural]


async def test_an_event_names_its_object_and_time() -> None:
    watchman = Watchman()
    await watchman.say("Secret team/key not found")
    (event,) = watchman.said()
    assert event["metadata"]["namespace"] == "team"
    assert event["involvedObject"] == {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "namespace": "team",
        "name": "chat",
        "uid": "u",
    }
    assert (event["type"], event["reason"], event["message"]) == (
        "Warning",
        "SecretNotFound",
        "Secret team/key not found",
    )
    assert (event["firstTimestamp"], event["lastTimestamp"], event["count"]) == (*["2026-01-02T03:04:05Z"] * 2, 1)


async def test_what_is_said_again_later_is_the_same_event_with_a_new_time() -> None:
    watchman = Watchman()
    await watchman.say("gone")
    await watchman.say("gone", after=timedelta(minutes=40))
    (event,) = watchman.said()
    assert (event["firstTimestamp"], event["lastTimestamp"], event["count"]) == (
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:44:05Z",
        2,
    )


async def test_several_replicas_that_say_the_same_at_once_say_it_once() -> None:
    watchman = Watchman()
    await watchman.say("gone")
    await watchman.say("gone", after=QUIET - timedelta(seconds=1))
    assert [(each["count"], each["lastTimestamp"]) for each in watchman.said()] == [(1, "2026-01-02T03:04:05Z")]


@pytest.mark.parametrize(("text", "uid"), [("something else", "u"), ("gone", "of a new object with this name")])
async def test_other_news_and_other_objects_have_events_of_their_own(text: str, uid: str) -> None:
    watchman = Watchman()
    await watchman.say("gone")
    await watchman.say(text, uid)
    assert [each["count"] for each in watchman.said()] == [1, 1]


async def test_a_long_text_is_cut_where_the_api_server_would_refuse_it() -> None:
    watchman = Watchman()
    await watchman.say("x" * (MAX_MESSAGE + 1))
    (event,) = watchman.said()
    assert len(event["message"]) == MAX_MESSAGE
    assert event["message"].endswith("…")


@pytest.mark.parametrize("verb", ["create", "patch"])
async def test_an_event_that_cannot_be_written_stops_nothing(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    watchman = Watchman()
    await watchman.say("gone")
    watchman.api.fail = lambda asked: ApiError(403, "Forbidden", "no right") if asked == verb else None
    await watchman.say("gone", after=timedelta(hours=1))
    assert "Event for AIGatewayRoute team/chat: Forbidden: no right" in caplog.text
