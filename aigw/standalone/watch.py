"""Says when a file has new content: by inotify on its directory, so that editors may replace it or write in place."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

DEBOUNCE: Final = 100
"""Milliseconds: an editor's save is several events."""
STEP: Final = 25


async def changes(path: Path) -> AsyncIterator[None]:
    """One item per new content, from now on. A file that is gone for a moment is waited for."""
    from watchfiles import awatch  # here, because nobody waits for these 50 ms

    known = _content(path)
    async for _ in awatch(path.parent, recursive=False, debounce=DEBOUNCE, step=STEP, watch_filter=None):
        now = _content(path)
        if now is not None and now != known:
            known = now
            yield None


def _content(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
