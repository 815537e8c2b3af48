"""Does Envoy Gateway run, and does it ask our extension server the way that we need?"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import yaml

from aigw.commands.checks.base import Finding
from aigw.commands.cluster import workloads
from aigw.commands.cluster.state import Cluster, containers, controller_flag
from extension_server.api import base

DEPLOYMENT: Final = "envoy-gateway"
CONFIG_MAP: Final = "envoy-gateway-config"
CONFIG_KEY: Final = "envoy-gateway.yaml"
SUPPORTED: Final = ("1.8", "1.9")
_VERSION: Final = re.compile(r"v?(?P<minor>[0-9]+\.[0-9]+)\.[0-9]+.*")
"""of an image's tag; private builds may have any other"""
HOOK: Final = "Translation"
"""the one that our patches need; the others are answered too"""
INCLUDED: Final = ("listener", "route", "cluster")
"""kinds of xDS that it has to bring along"""
ENOUGH: Final = 64 * 1024 * 1024
_DEFAULT_SIZE: Final = "4Mi"
_HOOK_PORT: Final = 1063
_VALUES: Final = (
    "set it in Envoy Gateway's Helm values (manifests/envoy-gateway-values.yaml has all of them), and restart it"
)
_UNMEDIATED: Final = "AI routes answer 503 not_mediated: nothing puts our filter into Envoy"


def deployment(cluster: Cluster) -> Iterable[Finding]:
    namespace = cluster.settings.envoy_gateway_namespace
    found = cluster.get("Deployment", namespace, DEPLOYMENT)
    meaning = "Envoy keeps what it has; no change of a route, a certificate or a pod reaches it"
    yield from workloads.deployment(cluster, namespace, DEPLOYMENT, "Envoy Gateway", meaning)
    if found is None:
        return
    image = next((each.get("image", "") for each in containers(found["spec"]["template"])), "")
    tag = _VERSION.fullmatch(image.rpartition(":")[2])
    if tag is not None and tag["minor"] not in SUPPORTED:
        yield Finding(
            severity="warning",
            title=f"Envoy Gateway is {tag['minor']}; tested are {' and '.join(SUPPORTED)}",
            meaning="names in its xDS may differ: routes may then answer 503",
            fix=f"install Envoy Gateway {SUPPORTED[-1]}",
        )


def configuration(cluster: Cluster) -> Iterable[Finding]:
    """The ConfigMap, as the chart names it."""
    if not cluster.readable("ConfigMap"):
        return
    namespace = cluster.settings.envoy_gateway_namespace
    found = cluster.get("ConfigMap", namespace, CONFIG_MAP)
    if found is None:
        yield Finding(
            severity="error",
            title=f"ConfigMap {namespace}/{CONFIG_MAP} does not exist",
            meaning="Envoy Gateway is not there, or in another namespace",
            fix="install it, or give --envoy-gateway-namespace",
        )
        return
    try:
        content = yaml.load((found.get("data") or {}).get(CONFIG_KEY) or "", yaml.CSafeLoader)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        title = f"ConfigMap {namespace}/{CONFIG_MAP}: {CONFIG_KEY} is no configuration of Envoy Gateway"
        yield Finding(severity="error", title=title, meaning="Envoy Gateway does not start with it", fix=_VALUES)
        return
    problems = [*_api(content), *_manager(cluster, content)]
    yield from problems
    if all(each.severity == "note" for each in problems):
        yield Finding(severity="ok", title="Envoy Gateway asks our extension server, and sends it all it needs")


def _api(content: Mapping[str, Any]) -> Iterator[Finding]:
    if not _at(content, "extensionApis", "enableBackend"):
        yield Finding(
            severity="error",
            title="extensionApis.enableBackend is not true",
            meaning="kind Backend, which our routes send to, is ignored: they answer 500",
            fix=_VALUES,
        )


def _manager(cluster: Cluster, content: Mapping[str, Any]) -> Iterator[Finding]:
    one = content.get("extensionManager")
    several = content.get("extensionManagers")
    managers = [each for each in (one, *(several if isinstance(several, list) else ())) if isinstance(each, dict)]
    if not managers:
        title = "extensionManager is not configured: Envoy Gateway does not know our extension server"
        yield Finding(severity="error", title=title, meaning=_UNMEDIATED, fix=_VALUES)
        return
    hosts = _hosts(cluster)
    ours = next((each for each in managers if _host(each) in hosts), None)
    if ours is None:
        named = ", ".join(_host(each) or "no host" for each in managers)
        yield Finding(
            severity="error",
            title=f"extensionManager.service.fqdn.hostname is {named}, not {hosts[0]}",
            meaning=_UNMEDIATED,
            fix=f"{_VALUES}; or give the namespace of our controller as --namespace",
        )
        return
    yield from _settings(cluster, ours)


def _settings(cluster: Cluster, manager: Mapping[str, Any]) -> Iterator[Finding]:
    port, wanted = _at(manager, "service", "fqdn", "port"), _hook_port(cluster)
    if port != wanted:
        title = f"extensionManager.service.fqdn.port is {port}, but our hooks are on {wanted}"
        yield Finding(severity="error", title=title, meaning=_UNMEDIATED, fix=_VALUES)
    post = _at(manager, "hooks", "xdsTranslator", "post")
    if not isinstance(post, list) or HOOK not in post:
        title = f"extensionManager.hooks.xdsTranslator.post does not list {HOOK}"
        yield Finding(severity="error", title=title, meaning=_UNMEDIATED, fix=_VALUES)
    for kind in INCLUDED:
        if _at(manager, "hooks", "xdsTranslator", "translation", kind, "includeAll") is not True:
            yield Finding(
                severity="error",
                title=f"extensionManager.hooks.xdsTranslator.translation.{kind}.includeAll is not true",
                meaning=f"our hook never sees a {kind}: {_UNMEDIATED}",
                fix=_VALUES,
            )
    if manager.get("failOpen") is True:
        yield Finding(
            severity="warning",
            title="extensionManager.failOpen is true",
            meaning="when our hook fails, Envoy gets configuration without our filter: AI routes answer 503 instead of "
            "keeping the last good state",
            fix=f"take failOpen out (its default is false): {_VALUES}",
        )
    yield from _size(manager.get("maxMessageSize"))


def _size(value: Any) -> Iterator[Finding]:
    try:
        enough = base.quantity(value or _DEFAULT_SIZE) >= ENOUGH
    except (ValueError, TypeError, AttributeError, KeyError):
        enough = False
    if not enough:
        said = f"is {value}" if value else f"is not set, so it is {_DEFAULT_SIZE}"
        yield Finding(
            severity="note",
            title=f"extensionManager.maxMessageSize {said}",
            meaning="with some thousand routes hooks fail, and changes no longer reach Envoy",
            fix="set it to 128Mi",
        )


def _hosts(cluster: Cluster) -> tuple[str, ...]:
    service = f"{cluster.settings.controller}.{cluster.settings.namespace}"
    return (f"{service}.svc.cluster.local", f"{service}.svc", service, f"{service}.svc.cluster.local.")


def _host(manager: Mapping[str, Any]) -> str:
    return str(_at(manager, "service", "fqdn", "hostname") or _at(manager, "service", "hostname") or "")


def _hook_port(cluster: Cluster) -> int:
    """What the controller's flag says."""
    port = controller_flag(cluster, "port").rpartition(":")[2]
    return int(port) if port.isdecimal() else _HOOK_PORT


def _at(value: Any, *path: str) -> Any:
    """The member at the path; None when something on the way is missing or no object."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
