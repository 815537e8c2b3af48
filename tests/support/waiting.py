"""Waiting for what other processes do: asked again and again, because nobody tells us."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

LIMIT: Final = 60.0
"""Seconds until what should happen counts as not happening. It costs only a test that fails."""
_EVERY: Final = 0.02


def wait_until(
    look: Callable[[], T], what: str | Callable[[], str], *, limit: float = LIMIT, every: float = _EVERY
) -> T:
    """The first true answer of `look`. Raises AssertionError with `what` when there is none in time."""
    deadline = time.monotonic() + limit
    while not (answer := look()):
        assert time.monotonic() < deadline, _missed(what, limit)
        time.sleep(every)
    return answer


async def eventually(look: Callable[[], T], what: str = "", *, limit: float = LIMIT, every: float = _EVERY) -> T:
    """As `wait_until`, while other tasks go on."""
    answer = look()
    try:
        async with asyncio.timeout(limit):
            while not answer:
                await asyncio.sleep(every)
                answer = look()
    except TimeoutError:
        raise AssertionError(f"{_missed(what or repr(look), limit)}; last answer: {answer!r}") from None
    return answer


def _missed(what: str | Callable[[], str], limit: float) -> str:
    return f"not in {limit:.0f} s: {what if isinstance(what, str) else what()}"
