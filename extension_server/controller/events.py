"""Kubernetes Events: one per object and text, however often it is said. Who sees `kubectl describe` reads them."""

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

from extension_server.compile.result import ObjectRef
from extension_server.controller.client import Api, ApiError, Resource

COMPONENT: Final = "aigw-controller"
EVENTS: Final = Resource("", "v1", "Event", "events")
MAX_MESSAGE: Final = 1024
"""of an Event, by the API server's rule"""

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
        uid) is not said again before the API server has forgotten it."""
        digest = hashlib.sha256(f"{uid} {reason} {message}".encode()).hexdigest()[:16]
        name = f"{about.name[:200]}.{digest}"
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
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
            await self._api.create(EVENTS, document)
        except ApiError as exc:
            if not exc.conflict:
                _log.warning("Event for %s: %s", about, exc)
