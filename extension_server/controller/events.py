"""Kubernetes Events: one per object and text. What is said again is counted on the first one: the latest news is the
youngest in `kubectl describe`, and a fault that comes and goes does not flood it."""

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from extension_server.compile.result import ObjectRef
from extension_server.controller.client import Api, ApiError, Document, Resource

COMPONENT: Final = "aigw-controller"
EVENTS: Final = Resource("", "v1", "Event", "events")
MAX_MESSAGE: Final = 1024
"""of an Event, by the API server's rule"""
QUIET: Final = timedelta(seconds=10)
"""What was said so recently was said just now: each replica of the controller says what it sees of a Gateway."""
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"

_log = logging.getLogger(__name__)


class Events:
    def __init__(self, api: Api, now: Callable[[], datetime]) -> None:
        self._api = api
        self._now = now

    async def say(
        self,
        about: ObjectRef,
        uid: str,
        resource: Resource,
        severity: Literal["Warning", "Normal"],
        reason: str,
        message: str,
    ) -> None:
        """An Event that cannot be written is not worth a retry. What was said before about the same object (of this
        uid) is the same Event once more, as long as the API server remembers it."""
        digest = hashlib.sha256(f"{uid} {reason} {message}".encode()).hexdigest()[:16]
        name = f"{about.name[:200]}.{digest}"
        now = self._now().strftime(_TIME)
        document = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": about.namespace},
            "involvedObject": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "namespace": about.namespace,
                "name": about.name,
                "uid": uid,
            },
            "type": severity,
            "reason": reason,
            "message": message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…",
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            try:
                await self._api.create(EVENTS, document)
            except ApiError as exc:
                if not exc.conflict:
                    raise
                await self._again(about.namespace, name)
        except ApiError as exc:
            _log.warning("Event for %s: %s", about, exc)

    async def _again(self, namespace: str, name: str) -> None:
        """Raises ApiError."""
        # The controller may not get Events: an empty patch is answered with the object, too.
        said = await self._api.patch(EVENTS, namespace, name, {})
        now = self._now()
        if now - _time(said) < QUIET:
            return
        count = int(said.get("count") or 1) + 1
        await self._api.patch(EVENTS, namespace, name, {"count": count, "lastTimestamp": now.strftime(_TIME)})


def _time(said: Document) -> datetime:
    return datetime.strptime(said["lastTimestamp"], _TIME).replace(tzinfo=UTC)
