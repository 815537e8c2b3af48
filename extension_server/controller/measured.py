"""`Api` with its requests counted. Watches are left out: they are always on."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from extension_server.controller.client import Api, ApiError, Document, Listing, Resource, WatchEvent

T = TypeVar("T")
Count = Callable[[str, str, str], None]
"""(verb, kind, `ok` or the reason of a refusal)"""


class MeasuredApi:
    """Passes on to another Api."""

    def __init__(self, api: Api, count: Count) -> None:
        self._api = api
        self._count = count

    async def _counted(self, verb: str, kind: str, call: Awaitable[T]) -> T:
        try:
            answer = await call
        except ApiError as exc:
            self._count(verb, kind, exc.reason or str(exc.status))
            raise
        self._count(verb, kind, "ok")
        return answer

    async def versions(self, group: str) -> dict[str, frozenset[str]]:
        return await self._counted("discover", "", self._api.versions(group))

    async def server_version(self) -> tuple[str, str]:
        return await self._counted("version", "", self._api.server_version())

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Document:
        return await self._counted("get", resource.kind, self._api.get(resource, namespace, name))

    async def list(
        self, resource: Resource, namespace: str | None, *, metadata_only: bool = False, labels: str = ""
    ) -> Listing:
        call = self._api.list(resource, namespace, metadata_only=metadata_only, labels=labels)
        return await self._counted("list", resource.kind, call)

    def watch(
        self, resource: Resource, namespace: str | None, since: str, *, metadata_only: bool = False, labels: str = ""
    ) -> AsyncIterator[WatchEvent]:
        return self._api.watch(resource, namespace, since, metadata_only=metadata_only, labels=labels)

    async def create(self, resource: Resource, document: Document) -> Document:
        return await self._counted("create", resource.kind, self._api.create(resource, document))

    async def replace(self, resource: Resource, document: Document) -> Document:
        return await self._counted("update", resource.kind, self._api.replace(resource, document))

    async def apply(self, resource: Resource, document: Document) -> Document:
        return await self._counted("apply", resource.kind, self._api.apply(resource, document))

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Document, *, part: str = ""
    ) -> Document:
        verb = f"patch {part}".rstrip()
        call = self._api.patch(resource, namespace, name, patch, part=part)
        return await self._counted(verb, resource.kind, call)

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        await self._counted("delete", resource.kind, self._api.delete(resource, namespace, name, uid=uid))
