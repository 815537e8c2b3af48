"""An API server in memory, for tests of what talks to one: objects, versions, watches that can be cut or grow old."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

from extension_server.controller.client import ApiError, Document, Listing, Resource, WatchEvent

Ref = tuple[str, str | None, str]


class FakeApi:
    def __init__(self) -> None:
        self.served: dict[str, dict[str, frozenset[str]]] = {}
        """group → version → plural names"""
        self.objects: dict[Ref, Document] = {}
        self.lists = 0
        self.fail: Callable[[str], ApiError | None] = lambda _: None
        """verb → the error that it meets now"""
        self._versions = itertools.count(1)
        self._history: list[tuple[int, str, WatchEvent]] = []
        self._oldest = 0
        self._cut = asyncio.Event()
        self._news = asyncio.Event()

    # ---- what tests do

    def put(self, resource: Resource, namespace: str | None, name: str, **members: Any) -> Document:
        key = (resource.plural, namespace, name)
        version = next(self._versions)
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(version)}
        if namespace is None:
            del metadata["namespace"]
        document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **members}
        self._record(resource, "MODIFIED" if key in self.objects else "ADDED", document)
        self.objects[key] = document
        return document

    def remove(self, resource: Resource, namespace: str | None, name: str) -> None:
        document = self.objects.pop((resource.plural, namespace, name))
        gone = {**document, "metadata": {**document["metadata"], "resourceVersion": str(next(self._versions))}}
        self._record(resource, "DELETED", gone)

    def cut(self) -> None:
        """Breaks every watch."""
        self._cut.set()
        self._cut = asyncio.Event()
        self._tell()

    def forget(self) -> None:
        """Watches from before now are too old."""
        self._oldest = next(self._versions)

    def _record(self, resource: Resource, type_: Any, document: Document) -> None:
        version = int(document["metadata"]["resourceVersion"])
        self._history.append((version, resource.plural, WatchEvent(type_, document)))
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _check(self, verb: str) -> None:
        if (error := self.fail(verb)) is not None:
            raise error

    # ---- Api

    async def versions(self, group: str) -> dict[str, frozenset[str]]:
        self._check("versions")
        return self.served.get(group, {})

    async def server_version(self) -> tuple[str, str]:
        return "1", "35"

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Document:
        self._check("get")
        try:
            return self.objects[resource.plural, namespace, name]
        except KeyError:
            raise ApiError(404, "NotFound", name) from None

    async def list(
        self, resource: Resource, namespace: str | None, *, metadata_only: bool = False, labels: str = ""
    ) -> Listing:
        """Of label selectors `name` and `name=value` are known."""
        self._check("list")
        self.lists += 1
        items = (
            each
            for (plural, where, _), each in self.objects.items()
            if plural == resource.plural and namespace in (None, where) and _selected(each, labels)
        )
        return Listing(tuple(items), str(next(self._versions)))

    async def watch(
        self, resource: Resource, namespace: str | None, since: str, *, metadata_only: bool = False, labels: str = ""
    ) -> AsyncIterator[WatchEvent]:
        self._check("watch")
        if int(since) < self._oldest:
            raise ApiError(410, "Expired", "too old resource version")
        at, cut = int(since), self._cut
        while not cut.is_set():
            news = self._news
            for version, plural, event in list(self._history):
                if version > at and plural == resource.plural:
                    at = version
                    yield event
            await news.wait()
        raise ApiError(0, "Unreachable", "connection reset")

    async def create(self, resource: Resource, document: Document) -> Document:
        self._check("create")
        metadata = document["metadata"]
        if (resource.plural, metadata["namespace"], metadata["name"]) in self.objects:
            raise ApiError(409, "AlreadyExists", metadata["name"])
        members = {name: each for name, each in document.items() if name not in ("apiVersion", "kind", "metadata")}
        return self.put(resource, metadata["namespace"], metadata["name"], **members)

    async def replace(self, resource: Resource, document: Document) -> Document:
        self._check("replace")
        metadata = document["metadata"]
        stored = await self.get(resource, metadata["namespace"], metadata["name"])
        if stored["metadata"]["resourceVersion"] != metadata.get("resourceVersion"):
            raise ApiError(409, "Conflict", metadata["name"])
        members = {name: each for name, each in document.items() if name not in ("apiVersion", "kind", "metadata")}
        return self.put(resource, metadata["namespace"], metadata["name"], **members)

    async def apply(self, resource: Resource, document: Document) -> Document:
        raise NotImplementedError

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Document, *, part: str = ""
    ) -> Document:
        """Members are replaced as a whole; of the metadata nothing is."""
        self._check("patch")
        stored = await self.get(resource, namespace, name)
        if all(stored.get(member) == value for member, value in patch.items()):
            return stored
        members = {member: each for member, each in stored.items() if member not in ("apiVersion", "kind", "metadata")}
        return self.put(resource, namespace, name, **{**members, **patch})

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        raise NotImplementedError


def _selected(document: Document, selector: str) -> bool:
    labels = document["metadata"].get("labels") or {}
    wanted = (each.partition("=") for each in selector.split(",") if each)
    return all(name in labels and (not equals or labels[name] == value) for name, equals, value in wanted)
