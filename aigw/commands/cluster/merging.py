"""Gateways that share one Envoy: `mergeGateways` of the EnvoyProxy that their GatewayClass names.

Such an Envoy belongs to no Gateway: its pods have the label of the class in place of those of a Gateway, so the webhook
does not know whose filter to put into them.
"""

from collections.abc import Iterator
from typing import Final

from aigw.commands.checks.base import Finding
from aigw.commands.cluster.state import OWNING_CLASS, Cluster, Document, title

_ELSEWHERE: Final = "Envoy Gateway's configuration"


def check(cluster: Cluster, gateway: Document) -> Iterator[Finding]:
    """Nothing for a Gateway with an Envoy of its own."""
    where = _where(cluster, gateway["spec"]["gatewayClassName"])
    if not where:
        return
    yield Finding(
        severity="error",
        title=f"{title(gateway)} shares its Envoy with the other Gateways of GatewayClass "
        f"{gateway['spec']['gatewayClassName']}: mergeGateways is true in {where}",
        meaning="a shared Envoy gets no filter: AI routes answer 503 there",
        fix="set mergeGateways to false, or give Gateways with AI routes a GatewayClass whose EnvoyProxy does not "
        "merge",
    )


def _where(cluster: Cluster, name: str) -> str:
    """What merges the Gateways of a class; empty: nothing does."""
    found = cluster.get("GatewayClass", "", name)
    reference = ((found or {}).get("spec") or {}).get("parametersRef") or {}
    if reference.get("kind") == "EnvoyProxy":
        proxy = cluster.get("EnvoyProxy", reference.get("namespace") or "", reference.get("name") or "")
        if proxy is not None and (proxy.get("spec") or {}).get("mergeGateways") is True:
            return title(proxy)
    labelled = any((pod["metadata"].get("labels") or {}).get(OWNING_CLASS) == name for pod in cluster.all("Pod"))
    return _ELSEWHERE if labelled else ""
