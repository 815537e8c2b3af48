"""When a file has new content."""

import asyncio
from pathlib import Path

from aigw.standalone import watch


async def next_change(changes: object) -> None:
    async with asyncio.timeout(10):
        await anext(changes)  # type: ignore[call-overload]


async def test_a_save_before_the_watch_began_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    known = watch.fingerprint(file)
    file.write_text("two")
    changes = watch.changes(file, known)
    await next_change(changes)
    await changes.aclose()  # type: ignore[attr-defined]


async def test_replaced_rewritten_and_missing_files(tmp_path: Path) -> None:
    file, other = tmp_path / "f", tmp_path / "other"
    file.write_text("one")
    changes = watch.changes(file, watch.fingerprint(file))
    waiting = asyncio.create_task(next_change(changes))
    await asyncio.sleep(0)
    other.write_text("two")
    other.rename(file)
    await waiting
    waiting = asyncio.create_task(next_change(changes))
    file.unlink()
    file.write_text("three")
    await waiting
    await changes.aclose()  # type: ignore[attr-defined]
    assert watch.fingerprint(tmp_path / "nothing") is None
