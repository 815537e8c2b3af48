"""Keys come out once, never twice at a time, and again after a failure."""

import asyncio

from extension_server.controller.queue import WorkQueue


async def test_a_key_that_is_added_often_comes_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add(["a", "b", "a"])
    assert [await queue.take(), await queue.take()] == ["a", "b"]
    assert not queue.idle
    queue.done("a")
    queue.done("b")
    assert queue.idle


async def test_a_key_that_is_worked_on_comes_out_again_when_it_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add(["a"])
    await queue.take()
    queue.add(["a"])
    waiting = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.done("a")
    assert await waiting == "a"


async def test_a_failure_comes_back_by_itself_and_at_once_when_it_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add(["a"])
    await queue.take()
    queue.failed("a", longest=0.01)
    assert not queue.idle
    async with asyncio.timeout(5):
        assert await queue.take() == "a"
    queue.failed("a", longest=1000)
    queue.add(["a"])
    async with asyncio.timeout(5):
        assert await queue.take() == "a"
    queue.add(["a"])
    queue.failed("a", longest=1000)
    assert await queue.take() == "a"


async def test_clearing_forgets_what_waits_and_what_was_stopped_in_the_middle() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add(["a", "b", "c"])
    await queue.take()
    queue.failed("a", longest=1000)
    await queue.take()
    queue.add(["b"])
    queue.clear()
    assert queue.idle
    queue.add(["b"])
    assert await queue.take() == "b"


async def test_what_is_put_off_comes_back_by_itself() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add(["a"])
    queue.later(await queue.take(), 0.01)
    assert not queue.idle
    assert await queue.take() == "a"
    queue.done("a")
    assert queue.idle


async def test_what_changes_while_it_is_put_off_comes_at_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add(["a"])
    key = await queue.take()
    queue.add(["a"])
    queue.later(key, 3600)
    assert await queue.take() == "a"
