"""The Kubernetes API, as far as the controller needs it. The only importer of kubernetes_asyncio.

Requests and answers are plain documents; every request has a time limit, every failure is an `ApiError`. Which kinds
there are and what they mean is not known here.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

from filters.contract import jsonlib

Document = dict[str, Any]

FIELD_MANAGER: Final = "aigw"
REQUEST_LIMIT: Final = 30.0
"""Seconds for a whole request; the API server's own limit is 60."""
CONNECT_LIMIT: Final = 10.0
WATCH_LENGTH: Final = 240
"""Seconds after which the API server ends a watch."""
PAGE: Final = 500
"""Objects per answer of a list, as client-go."""
_KEEP_ALIVE: Final = (
    (socket.TCP_KEEPIDLE, 15),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 3),
)
_MAX_EVENT: Final = 16 * 1024 * 1024
"""Bytes of one watch event. etcd takes 1.5 MiB, JSON of it may be longer; more than this is no event."""

_TYPES: Final = {
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
    "": "application/json",
}
_METADATA_ONLY: Final = "application/json;as={};g=meta.k8s.io;v=v1"

_document = jsonlib.decoder(dict[str, Any])


class ApiError(Exception):
    """A request failed. `status` is 0 when there was no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{reason or status}: {message}")
        self.status = status
        self.reason = reason
        """of the API server: `NotFound`, `Conflict`, `Invalid`, …; `Unreachable` is ours"""
        self.message = message

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Also `AlreadyExists`."""
        return self.status == 409

    @property
    def gone(self) -> bool:
        """The resource version is too old (or the continuation of a list is)."""
        return self.status == 410 or self.reason == "Expired"

    @property
    def refused(self) -> bool:
        """The same request would be refused again."""
        return self.status in (400, 403, 405, 413, 422)


_KUBECONFIG: Final = "~/.kube/config"


class NoCluster(Exception):
    """Neither a kubeconfig nor a service account can be used."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind, in the version that is asked for."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "", part: str = "") -> str:
        """`namespace` None: all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace is not None else ""
        return "/".join(filter(None, (f"{root}{scope}/{self.plural}", name, part)))


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple[Document, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Document


class Api(Protocol):
    """The seam for everything that reads or writes the cluster."""

    async def versions(self, group: str) -> dict[str, frozenset[str]]:
        """Served versions of a group, the preferred first → plural names of its kinds. Empty when not served."""

    async def server_version(self) -> tuple[str, str]:
        """Major and minor, as the API server writes them."""

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Document: ...

    async def list(
        self, resource: Resource, namespace: str | None, *, metadata_only: bool = False, labels: str = ""
    ) -> Listing:
        """`labels`: a label selector."""

    def watch(
        self, resource: Resource, namespace: str | None, since: str, *, metadata_only: bool = False, labels: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Ends when the API server ends it. Raises ApiError, `gone` when `since` is too old."""

    async def create(self, resource: Resource, document: Document) -> Document: ...

    async def replace(self, resource: Resource, document: Document) -> Document:
        """Refused as `conflict` when the resource version is not the stored one."""

    async def apply(self, resource: Resource, document: Document) -> Document:
        """Server-side apply, taking over fields of others."""

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Document, *, part: str = ""
    ) -> Document:
        """Merge patch of the object, or of its part `status`."""

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        """Nothing happens to an object that is not there, or has another uid."""


def _one_is_there(files: Sequence[str]) -> None:
    """The library goes on without, and then misses what would stand there. Raises NoCluster."""
    if not any(Path(each).expanduser().is_file() for each in files if each):
        raise NoCluster(f"no Kubernetes cluster to connect to: there is no file {' or '.join(files)}")


class KubernetesApi:
    """`Api` over HTTPS."""

    def __init__(self, configuration: Configuration) -> None:
        configuration.connection_pool_maxsize = 0  # each watch holds a connection
        self._configuration = configuration
        self._client = ApiClient(configuration)

    @staticmethod
    async def configuration(kubeconfig: Path | None = None) -> Configuration:
        """Of a file, else of `KUBECONFIG`, the pod's service account, or the home directory. Raises NoCluster."""
        configuration = Configuration()
        try:
            if kubeconfig is not None:
                _one_is_there([str(kubeconfig)])
                await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
            elif "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG"):
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # theirs
            else:
                _one_is_there((os.environ.get("KUBECONFIG") or _KUBECONFIG).split(os.pathsep))
                await config.load_kube_config(client_configuration=configuration)
        except (config.ConfigException, OSError, ValueError) as exc:
            raise NoCluster(f"no Kubernetes cluster to connect to: {exc}") from exc
        return configuration

    async def close(self) -> None:
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- reading

    async def versions(self, group: str) -> dict[str, frozenset[str]]:
        try:
            found = await self._json("GET", f"/apis/{group}")
        except ApiError as exc:
            if exc.not_found:
                return {}
            raise
        preferred = found.get("preferredVersion", {}).get("version", "")
        names = sorted((each["version"] for each in found["versions"]), key=lambda name: name != preferred)
        served = {}
        for name in names:
            listing = await self._json("GET", f"/apis/{group}/{name}")
            served[name] = frozenset(each["name"] for each in listing.get("resources", ()))
        return served

    async def server_version(self) -> tuple[str, str]:
        found = await self._json("GET", "/version")
        return str(found.get("major", "")), str(found.get("minor", ""))

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Document:
        return await self._json("GET", resource.path(namespace, name))

    async def list(
        self, resource: Resource, namespace: str | None, *, metadata_only: bool = False, labels: str = ""
    ) -> Listing:
        items: list[Document] = []
        accept = _METADATA_ONLY.format("PartialObjectMetadataList") if metadata_only else "application/json"
        fixed = {"limit": str(PAGE), **({"labelSelector": labels} if labels else {})}
        query = fixed
        while True:
            page = await self._json("GET", resource.path(namespace), query=query, accept=accept)
            # Items of a list leave out what the list says once.
            items += (
                {**item, "apiVersion": resource.api_version, "kind": resource.kind} for item in page.get("items") or ()
            )
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return Listing(tuple(items), metadata["resourceVersion"])
            query = {**fixed, "continue": metadata["continue"]}

    async def watch(
        self, resource: Resource, namespace: str | None, since: str, *, metadata_only: bool = False, labels: str = ""
    ) -> AsyncIterator[WatchEvent]:
        accept = _METADATA_ONLY.format("PartialObjectMetadata") if metadata_only else "application/json"
        query = {
            "watch": "true",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_LENGTH),
            **({"labelSelector": labels} if labels else {}),
        }
        limit = aiohttp.ClientTimeout(
            sock_connect=CONNECT_LIMIT, sock_read=WATCH_LENGTH + REQUEST_LIMIT, total=WATCH_LENGTH + 2 * REQUEST_LIMIT
        )
        async with self._request("GET", resource.path(namespace), query=query, accept=accept, limit=limit) as response:
            _keep_alive(response)
            async for line in _lines(response):
                event = _decode(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 0), event["object"])
                document = event["object"]
                if event["type"] != "BOOKMARK":
                    document |= {"apiVersion": resource.api_version, "kind": resource.kind}
                yield WatchEvent(event["type"], document)

    # ---- writing

    async def create(self, resource: Resource, document: Document) -> Document:
        path = resource.path(_namespace(document))
        return await self._json("POST", path, query={"fieldManager": FIELD_MANAGER}, body=document)

    async def replace(self, resource: Resource, document: Document) -> Document:
        path = resource.path(_namespace(document), document["metadata"]["name"])
        return await self._json("PUT", path, query={"fieldManager": FIELD_MANAGER}, body=document)

    async def apply(self, resource: Resource, document: Document) -> Document:
        path = resource.path(_namespace(document), document["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._json("PATCH", path, query=query, body=document, sort="apply")

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Document, *, part: str = ""
    ) -> Document:
        path = resource.path(namespace, name, part)
        return await self._json("PATCH", path, query={"fieldManager": FIELD_MANAGER}, body=patch, sort="merge")

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        body = {"preconditions": {"uid": uid}} if uid else {}
        try:
            await self._json("DELETE", resource.path(namespace, name), body=body)
        except ApiError as exc:
            if not exc.not_found and not exc.conflict:
                raise

    # ---- one request

    async def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Document | None = None,
        sort: str = "",
        accept: str = "application/json",
    ) -> Document:
        limit = aiohttp.ClientTimeout(sock_connect=CONNECT_LIMIT, total=REQUEST_LIMIT)
        async with self._request(method, path, query=query, body=body, sort=sort, accept=accept, limit=limit) as answer:
            try:
                content = await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as exc:
                raise ApiError(0, "Unreachable", str(exc) or type(exc).__name__) from exc
        return _decode(content)

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        limit: aiohttp.ClientTimeout,
        query: Mapping[str, str] | None = None,
        body: Document | None = None,
        sort: str = "",
        accept: str,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whose body is not read yet; one that says no is an ApiError already."""
        headers = {"Accept": accept, "Content-Type": _TYPES[sort]}
        parameters = dict(query or {})
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"])
            response = await self._client.rest_client.request(
                method,
                f"{self._configuration.host}{path}",
                query_params=parameters,
                headers=headers,
                body=body,
                _preload_content=False,
                _request_timeout=limit,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise ApiError(0, "Unreachable", str(exc) or type(exc).__name__) from exc
        try:
            if not response.ok:
                raise await _refusal(response)
            yield response
        finally:
            if response.content.at_eof():
                response.release()
            else:
                _hang_up(response)


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Ends the connection: what is left of a watch is not to be read. TLS would wait up to 30 s for the other side to
    hang up, too, and nobody would close the connection when this process is done before."""
    connection = response.connection
    transport = connection.transport if connection else None
    response.close()
    if transport is not None:
        transport.abort()


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Lets the kernel find out within half a minute that the other side is gone; a watch may be silent for long."""
    connection = response.connection
    transport = connection.transport if connection else None
    found = transport.get_extra_info("socket") if transport else None
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE:
            found.setsockopt(socket.IPPROTO_TCP, option, value)


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    content = b""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
        content = await response.content.read(_MAX_EVENT)
    try:
        return _error(response.status, _document(content))
    except jsonlib.JsonError:
        return ApiError(response.status, response.reason or "", content[:500].decode(errors="replace"))


def _error(status: int, answer: Document) -> ApiError:
    return ApiError(int(status), str(answer.get("reason") or ""), str(answer.get("message") or ""))


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Watch events: one JSON text per line. Raises ApiError when the connection breaks."""
    pending = bytearray()
    try:
        async for chunk in response.content.iter_any():
            before = len(pending)
            pending += chunk
            start = 0
            while (end := pending.find(b"\n", max(start, before))) >= 0:
                yield bytes(pending[start:end])
                start = end + 1
            del pending[:start]
            if len(pending) > _MAX_EVENT:
                raise ApiError(0, "Unreachable", f"a watch event is longer than {_MAX_EVENT} bytes")
    except (aiohttp.ClientError, TimeoutError, OSError) as exc:
        raise ApiError(0, "Unreachable", str(exc) or type(exc).__name__) from exc


def _decode(text: bytes) -> Document:
    try:
        return _document(text)
    except jsonlib.JsonError as exc:
        raise ApiError(0, "Unreachable", f"the API server's answer is not JSON: {exc}") from exc


def _namespace(document: Document) -> str | None:
    namespace: str | None = document["metadata"].get("namespace")
    return namespace


async def backed_off(attempt: int, *, longest: float, jitter: float) -> None:
    """Waits before try `attempt` (from 0): 0.1 s, doubled each time, with `jitter` (0 to 1) of as much again."""
    await asyncio.sleep(min(longest, 0.1 * 2 ** min(attempt, 10)) * (1 + jitter))
