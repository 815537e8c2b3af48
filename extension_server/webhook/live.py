"""What the API server itself says of one Gateway: for the webhook, as long as the controller does not know the Gateway.

Reads whatever it needs for each question; pods of proxies are created a few times a day. The answer is that of the
compiler (`World.routes_of`): a Gateway that a route names has AI routes, whatever comes of that route.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from extension_server.api import aigateway, gateway
from extension_server.api.aigateway import AIGatewayRoute, GatewayConfig
from extension_server.api.base import InvalidObject, Object
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import kind_of
from extension_server.controller import documents
from extension_server.controller.client import Api, ApiError, Document, Resource
from extension_server.controller.kinds import BY_KIND
from extension_server.webhook.admission import Known, NotKnown

LIMIT: Final = 8.0
"""Seconds; the API server waits for the webhook for 10."""


class LiveGateways:
    def __init__(self, api: Api, controller_name: str, namespaces: tuple[str, ...] = ()) -> None:
        """`controller_name`: of the GatewayClasses that are Envoy Gateway's. `namespaces`: those that are watched, none
        for all."""
        self._api = api
        self._controller_name = controller_name
        self._namespaces = namespaces

    async def known(self, gateway: ObjectRef) -> Known:
        """Raises NotKnown."""
        try:
            async with asyncio.timeout(LIMIT):
                return await self._known(gateway)
        except TimeoutError as exc:
            raise NotKnown(f"the API server did not say within {LIMIT:.0f} s whether {gateway} has AI routes") from exc
        except ApiError as exc:
            raise NotKnown(f"the API server does not say whether {gateway} has AI routes: {exc}") from exc

    async def _known(self, ref: ObjectRef) -> Known:
        if self._namespaces and ref.namespace not in self._namespaces:
            return Known(mediated=False)
        found = await self._get(gateway.StoredGateway, ref.namespace, ref.name)
        if found is None or not await self._is_envoy_gateways(found) or not await self._is_named(ref):
            return Known(mediated=False)
        name = (found["metadata"].get("annotations") or {}).get(aigateway.GATEWAY_CONFIG_ANNOTATION)
        return Known(mediated=True, config=await self._config(ref.namespace, name) if name else None)

    async def _is_envoy_gateways(self, found: Document) -> bool:
        name = (found.get("spec") or {}).get("gatewayClassName")
        held = await self._get(gateway.GatewayClass, None, name) if name else None
        return held is not None and (held.get("spec") or {}).get("controllerName") == self._controller_name

    async def _is_named(self, ref: ObjectRef) -> bool:
        resource = await self._resource(AIGatewayRoute)
        if resource is None:
            return False
        for namespace in self._namespaces or (None,):
            for route in (await self._api.list(resource, namespace)).items:
                if any(parent == ref for parent in _parents(route)):
                    return True
        return False

    async def _config(self, namespace: str, name: str) -> GatewayConfig | None:
        """None for one that is not there or cannot be read: that is said elsewhere."""
        document = await self._get(GatewayConfig, namespace, name)
        if document is None:
            return None
        try:
            model = BY_KIND[kind_of(GatewayConfig)].model(document["apiVersion"])
            found = documents.read(model, document).object
        except (InvalidObject, LookupError):
            return None
        return found if isinstance(found, GatewayConfig) else None

    async def _get(self, model: type[Object], namespace: str | None, name: str) -> Document | None:
        resource = await self._resource(model)
        if resource is None:
            return None
        try:
            document = await self._api.get(resource, namespace, name)
        except ApiError as exc:
            if exc.not_found:
                return None
            raise
        return {**document, "apiVersion": resource.api_version, "kind": resource.kind}

    async def _resource(self, model: type[Object]) -> Resource | None:
        watched = BY_KIND[kind_of(model)]
        return watched.resource(await self._api.versions(watched.group))


def _parents(route: Document) -> Iterator[ObjectRef]:
    """Gateways that an AIGatewayRoute names; of any document."""
    spec: dict[str, Any] = route.get("spec") or {}
    for parent in spec.get("parentRefs") or ():
        if parent.get("group", gateway.GROUP) == gateway.GROUP and parent.get("kind", "Gateway") == "Gateway":
            yield ObjectRef("Gateway", parent.get("namespace") or route["metadata"]["namespace"], parent["name"])
