"""Envoy Gateway's proxies: rolled out again when their filter must come, change or go; told a new authority.

Runs on the leader. It looks when something it was told of changes, and now and then: Deployments, DaemonSets and pods
with the labels of a Gateway's proxy, in whatever namespace they are.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from extension_server.compile.result import ObjectRef
from extension_server.controller.client import Api, ApiError, Document, Resource, backed_off
from extension_server.sidecar import container, mutation, rollout

DEPLOYMENTS: Final = Resource("apps", "v1", "Deployment", "deployments")
DAEMON_SETS: Final = Resource("apps", "v1", "DaemonSet", "daemonsets")
PODS: Final = Resource("", "v1", "Pod", "pods")
PERIOD: Final = 30.0
"""Seconds between two looks when nothing happens."""
SOON: Final = 2.0
"""Seconds, while a rollout is under way."""
_SELECTOR: Final = f"{mutation.MANAGED_BY}={mutation.MANAGER},{mutation.OWNER_NAME},{mutation.OWNER_NAMESPACE}"
_log = logging.getLogger(__name__)


class Workloads:
    def __init__(
        self,
        api: Api,
        wanted: Callable[[], Mapping[ObjectRef, str]],
        authorities: Callable[[], str | None],
        now: Callable[[], datetime],
        *,
        namespaces: tuple[str, ...] = (),
        period: float = PERIOD,
        registered: Callable[[], datetime | None],
    ) -> None:
        """`wanted`: Gateways whose proxies need the filter → its `template_hash`. `authorities`: PEM, None when there
        is none yet. `namespaces`: where proxies may be, none for everywhere. `registered`: since when the API
        server asks the webhook; None while it does not, and new pods would be no other ones."""
        self._api = api
        self._wanted = wanted
        self._authorities = authorities
        self._now = now
        self._namespaces = namespaces or (None,)
        self._period = period
        self._registered = registered
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something that is wanted has changed."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for resource in (DEPLOYMENTS, DAEMON_SETS):
                for namespace in self._namespaces:
                    group.create_task(self._watch(resource, namespace))
            group.create_task(self._look_again_and_again())

    async def _watch(self, resource: Resource, namespace: str | None) -> None:
        """Wakes: a proxy that is new should have the filter before it serves."""
        attempt = 0
        while True:
            try:
                since = (await self._api.list(resource, namespace, labels=_SELECTOR)).resource_version
                async for _ in self._api.watch(resource, namespace, since, labels=_SELECTOR):
                    attempt = 0
                    self._wake.set()
            except ApiError as exc:
                if not exc.gone:
                    _log.warning("%s cannot be watched: %s", resource.plural, exc)
            await backed_off(attempt, longest=10.0, jitter=0.5)
            attempt += 1

    async def _look_again_and_again(self) -> None:
        while True:
            self._wake.clear()
            pause = self._period
            try:
                pause = SOON if await self.look() else self._period
            except ApiError as exc:
                _log.warning("proxies cannot be looked after: %s", exc)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def look(self) -> bool:
        """Once; whether there is more to do soon. Raises ApiError."""
        wanted, busy = dict(self._wanted()), False
        for namespace in self._namespaces:
            pods = (await self._api.list(PODS, namespace, labels=_SELECTOR)).items
            for resource in (DEPLOYMENTS, DAEMON_SETS):
                for workload in (await self._api.list(resource, namespace, labels=_SELECTOR)).items:
                    busy |= await self._settle(resource, workload, pods, wanted)
            await self._tell(pods)
        return busy

    async def _settle(
        self, resource: Resource, workload: Document, pods: tuple[Document, ...], wanted: Mapping[ObjectRef, str]
    ) -> bool:
        gateway = mutation.gateway_of(workload["metadata"])
        if gateway is None:
            return False
        own = [pod for pod in pods if _belongs(pod, workload)]
        decision = rollout.decide(workload, own, wanted.get(gateway), self._now(), registered=self._registered())
        if not decision.annotations:
            return rollout.in_progress(workload)
        name, namespace = workload["metadata"]["name"], workload["metadata"]["namespace"]
        try:
            await self._api.patch(resource, namespace, name, decision.patch)
        except ApiError as exc:
            if not exc.not_found:
                raise
        else:
            _log.info("%s: rolling out %s %s/%s: %s", gateway, resource.kind, namespace, name, decision.why)
        return True

    async def _tell(self, pods: tuple[Document, ...]) -> None:
        """Sidecars read the authority from their pod's annotation."""
        authorities = self._authorities()
        if authorities is None:
            return
        for pod in pods:
            metadata = pod["metadata"]
            has = (metadata.get("annotations") or {}).get(container.CA_ANNOTATION)
            if has in (None, authorities) or metadata.get("deletionTimestamp"):
                continue
            patch = {"metadata": {"uid": metadata["uid"], "annotations": {container.CA_ANNOTATION: authorities}}}
            try:
                await self._api.patch(PODS, metadata["namespace"], metadata["name"], patch)
            except ApiError as exc:
                if not (exc.not_found or exc.conflict):
                    raise


def _belongs(pod: Document, workload: Document) -> bool:
    """By the labels that the workload selects by."""
    selected = (workload["spec"].get("selector") or {}).get("matchLabels") or {}
    labels = pod["metadata"].get("labels") or {}
    return (
        pod["metadata"]["namespace"] == workload["metadata"]["namespace"]
        and bool(selected)
        and (selected.items() <= labels.items())
    )
