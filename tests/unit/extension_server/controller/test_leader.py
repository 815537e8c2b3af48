"""One writes; the next one takes over when the Lease is given back, or too old."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from extension_server.controller.client import ApiError
from extension_server.controller.leader import LEASE, LEASES, Elector
from tests.support.fake_api import FakeApi


def elector(api: FakeApi, identity: str, **times: float) -> Elector:
    return Elector(
        api,
        "ns",
        identity,
        lambda: datetime(2026, 1, 1, tzinfo=UTC),
        **{"duration": 1.0, "deadline": 0.05, "retry": 0.001, **times},
    )


def spec(api: FakeApi) -> dict[str, Any]:
    found: dict[str, Any] = api.objects["leases", "ns", LEASE]["spec"]
    return found


async def test_the_lease_is_made_held_and_given_back() -> None:
    api = FakeApi()
    async with elector(api, "one").leading() as lost:
        assert spec(api) == {
            "holderIdentity": "one",
            "leaseDurationSeconds": 1,
            "leaseTransitions": 0,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
        }
        assert not lost.is_set()
    assert spec(api)["holderIdentity"] == ""
    async with elector(api, "two").leading():
        assert (spec(api)["holderIdentity"], spec(api)["leaseTransitions"]) == ("two", 1)


async def test_a_holder_that_renews_is_waited_for() -> None:
    api = FakeApi()
    async with elector(api, "one", deadline=10.0).leading():
        second = asyncio.create_task(anext(_led(api, "two")))
        done, _ = await asyncio.wait({second}, timeout=0.1)
        assert not done
        assert spec(api)["holderIdentity"] == "one"
    assert await asyncio.wait_for(second, 5) == "two"


async def test_a_holder_that_is_dead_is_replaced_after_its_time() -> None:
    api = FakeApi()
    api.put(LEASES, "ns", LEASE, spec={"holderIdentity": "dead", "leaseDurationSeconds": 0.02, "leaseTransitions": 4})
    assert await asyncio.wait_for(anext(_led(api, "two")), 5) == "two"
    assert spec(api)["leaseTransitions"] == 5


async def test_who_cannot_renew_stops() -> None:
    api = FakeApi()
    async with elector(api, "one").leading() as lost:
        api.fail = lambda verb: ApiError(0, "Unreachable", "away")
        await asyncio.wait_for(lost.wait(), 5)


async def test_who_loses_the_lease_to_another_stops_and_leaves_it_alone() -> None:
    api = FakeApi()
    async with elector(api, "one", deadline=10.0).leading() as lost:
        api.put(LEASES, "ns", LEASE, spec={"holderIdentity": "two"})
        await asyncio.wait_for(lost.wait(), 5)
    assert spec(api) == {"holderIdentity": "two"}


async def test_two_that_begin_together_are_one_leader() -> None:
    api = FakeApi()
    first, second = (asyncio.create_task(anext(_led(api, name))) for name in ("one", "two"))
    done, waiting = await asyncio.wait({first, second}, timeout=0.1)
    assert len(done) == 1
    for task in waiting:
        task.cancel()
    assert spec(api)["holderIdentity"] == done.pop().result()


async def _led(api: FakeApi, identity: str):  # type: ignore[no-untyped-def]
    async with elector(api, identity, deadline=10.0).leading():
        yield identity
