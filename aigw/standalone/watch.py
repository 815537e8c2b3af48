"""Says when a file has new content: by inotify on its directory, so that editors may replace it or write in place."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

DEBOUNCE: Final = 2000
"""Milliseconds within which a file must come to rest."""
STEP: Final = 150
"""Milliseconds without an event after which it is at rest. A save is several events, and a file that is half written
can be a valid one: without its last documents, which may be those that keep clients out."""
LOOK_ANYWAY: Final = 1000
"""Milliseconds: what no event told (a save while the watch began, a file system without events) is seen then."""


def fingerprint(path: Path) -> bytes | None:
    """Of the content; None for a file that is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None


async def changes(path: Path, known: bytes | None) -> AsyncIterator[None]:
    """One item per content that differs from the one before, `known` at first. A file that is gone is waited for."""
    from watchfiles import awatch  # here, because nobody waits for these 50 ms

    async for _ in awatch(
        path.parent,
        recursive=False,
        debounce=DEBOUNCE,
        step=STEP,
        watch_filter=None,
        rust_timeout=LOOK_ANYWAY,
        yield_on_timeout=True,
    ):
        now = fingerprint(path)
        if now is not None and now != known:
            known = now
            yield None
