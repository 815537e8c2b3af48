"""Fetches what the checks look at, once and side by side. Nothing is written; of Secrets only certificates are kept."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Final

from aigw.commands.cluster.state import OWNING_CLASS, OWNING_NAME, Cluster, Document, Settings, certificate_secret, key
from extension_server.controller.client import Api, ApiError, Resource
from extension_server.controller.kinds import WATCHED

_FIXED: Final = (
    Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False),
    Resource(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        namespaced=False,
    ),
    Resource("", "v1", "Pod", "pods"),
    Resource("gateway.envoyproxy.io", "v1alpha1", "EnvoyProxy", "envoyproxies"),
    Resource("gateway.envoyproxy.io", "v1alpha1", "ClientTrafficPolicy", "clienttrafficpolicies"),
    Resource("gateway.networking.k8s.io", "v1", "BackendTLSPolicy", "backendtlspolicies"),
)
"""kinds that are listed whole, besides those that the controller watches"""
_NEAR: Final = (
    Resource("apps", "v1", "Deployment", "deployments"),
    Resource("", "v1", "Service", "services"),
    Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"),
    Resource("coordination.k8s.io", "v1", "Lease", "leases"),
    Resource("", "v1", "ConfigMap", "configmaps"),
)
"""kinds that are listed in the two namespaces of the controllers only"""
_PROXIES: Final = frozenset({OWNING_NAME, OWNING_CLASS})
"""pods with one of these labels are kept"""
_SECRETS: Final = Resource("", "v1", "Secret", "secrets")
_OTHERS: Final = ("secrets", "namespaces")
"""of the controller's kinds: not listed"""


async def read(api: Api, settings: Settings, *, server: str, now: datetime) -> Cluster:
    """Raises ApiError when the API server is not reached or does not know the caller at all."""
    resources = [*_FIXED, *await _ours(api)]
    near = [
        (each, namespace)
        for each in _NEAR
        for namespace in dict.fromkeys((settings.namespace, settings.envoy_gateway_namespace))
    ]
    whole: list[tuple[Resource, str | None]] = [(each, None) for each in resources]
    found = await asyncio.gather(*(_listed(api, each, namespace) for each, namespace in (*whole, *near)))
    objects: dict[str, list[Document]] = {}
    unreadable: dict[str, str] = {}
    for (resource, _), answer in zip((*whole, *near), found, strict=True):
        if isinstance(answer, str):
            unreadable[resource.kind] = answer
        else:
            objects.setdefault(resource.kind, []).extend(answer)
    objects["Pod"] = [
        pod for pod in objects.get("Pod", ()) if _PROXIES.intersection(pod["metadata"].get("labels") or {})
    ]
    cluster = Cluster(
        settings=settings,
        server=server,
        now=now,
        objects={kind: sorted(each, key=key) for kind, each in objects.items()},
        unreadable=unreadable,
    )
    certificate = await _certificate(api, cluster)
    if isinstance(certificate, str):
        return replace(cluster, unreadable={**unreadable, "Secret": certificate})
    return replace(cluster, objects={**cluster.objects, "Secret": certificate})


async def _ours(api: Api) -> list[Resource]:
    """The kinds that the controller watches, as far as they are served. Raises ApiError."""
    groups = sorted({each.group for each in WATCHED} - {""})
    served = dict(zip(groups, await asyncio.gather(*(api.versions(each) for each in groups)), strict=True))
    found = []
    for each in WATCHED:
        resource = None if each.plural in _OTHERS else each.resource(served.get(each.group, {}))
        if resource is not None:
            found.append(resource)
    return found


async def _listed(api: Api, resource: Resource, namespace: str | None) -> list[Document] | str:
    """The objects, or why they cannot be listed."""
    try:
        return list((await api.list(resource, namespace)).items)
    except ApiError as exc:
        if exc.status == 0 or exc.status == 401:
            raise
        return [] if exc.not_found else exc.message


async def _certificate(api: Api, cluster: Cluster) -> list[Document] | str:
    """The controller's certificate, without its key."""
    try:
        secret = await api.get(_SECRETS, cluster.settings.namespace, certificate_secret(cluster))
    except ApiError as exc:
        return [] if exc.not_found else exc.message
    data = secret.get("data") or {}
    kept = {name: data[name] for name in ("tls.crt", "ca.crt") if name in data}
    return [{"kind": "Secret", "metadata": secret["metadata"] | {"annotations": {}, "managedFields": []}, "data": kept}]
