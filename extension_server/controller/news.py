"""What became of objects of ours, as Events. It is told when it has lasted: while files are applied, everything is
missing for a second, and whoever describes an object afterwards should not read of that.

Of the changes within one time of patience only the outcome is told, so there is no flood either.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from extension_server.compile.result import ObjectRef
from extension_server.controller.events import Events
from extension_server.controller.means import Means
from extension_server.controller.store import Held

PATIENCE: Final = 10.0
"""seconds"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Before:
    """What was known when the first change came."""

    uid: str
    status: str
    message: str


class News:
    def __init__(self, means: Means) -> None:
        self._means = means
        self._events = Events(means.api, means.now)
        self._before: dict[ObjectRef, _Before] = {}
        self._timers: dict[ObjectRef, asyncio.TimerHandle] = {}
        self._due: asyncio.Queue[ObjectRef] = asyncio.Queue()
        self._telling = False

    def changed(self, held: Held) -> None:
        """`Accepted` of the object has just been written anew; `held` is what it was before."""
        if held.ref in self._before:
            return
        before = _accepted(held)
        self._before[held.ref] = _Before(held.uid, before.get("status", ""), before.get("message", ""))
        later = asyncio.get_running_loop().call_later
        self._timers[held.ref] = later(self._means.patience, self._due.put_nowait, held.ref)

    @property
    def idle(self) -> bool:
        """Nothing waits to be told."""
        return not (self._before or self._telling)

    async def run(self) -> None:
        """Until cancelled; what is not told then, never is."""
        try:
            while True:
                ref = await self._due.get()
                del self._timers[ref]
                try:
                    self._telling = True
                    await self._tell(ref, self._before.pop(ref))
                except LookupError as exc:
                    _log.warning("%s: %s", ref, exc)
                finally:
                    self._telling = False
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()
            self._before.clear()
            self._due = asyncio.Queue()

    async def _tell(self, ref: ObjectRef, before: _Before) -> None:
        """What is wrong, whenever that has changed; that it is mended, once; nothing about what never was wrong."""
        held = self._means.store.held(ref)
        now = _accepted(held) if held is not None else {}
        if held is None or not now:
            return
        if held.uid != before.uid:
            before = _Before(held.uid, "", "")
        say = self._events.say
        resource = self._means.resource_of(ref.kind)
        if now["status"] == "False":
            if (before.status, before.message) != (now["status"], now["message"]):
                await say(ref, held.uid, resource, "Warning", now["reason"], now["message"])
        elif before.status == "False":
            await say(ref, held.uid, resource, "Normal", now["reason"], now["message"])


def _accepted(held: Held) -> Mapping[str, Any]:
    return next((each for each in held.conditions if each.get("type") == "Accepted"), {})
