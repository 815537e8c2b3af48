"""Patches so that one object which cannot be patched costs only the routes that depend on it.

All at once first, which is the normal case. When a patch raises, everything is decoded anew and patched object by
object: what fails stays as it came, and the AI routes that lead through it are closed.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from extension_server.hooks.elements import Element
from extension_server.hooks.messages import Message
from extension_server.xds import closing, edge, names, patches, pool, service_clusters, user_filters
from extension_server.xds.names import RuleName
from extension_server.xds.resources import Mediation, Resources, routes_of

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What the patches are to see, all of it decodable."""

    listeners: list[Element]
    configurations: list[Element]
    clusters: list[Element]

    def resources(self) -> Resources:
        return Resources(
            listeners=[each.decode() for each in self.listeners],
            routes=[each.decode() for each in self.configurations],
            clusters=[each.decode() for each in self.clusters],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One object that could not be patched."""

    what: str
    error: str
    rule: RuleName | None = None
    """the rule that fails closed; None: every rule behind a listener"""


@dataclass(frozen=True, slots=True)
class Applied:
    added: tuple[Message, ...]
    """clusters that the patches made"""
    failures: tuple[Failure, ...] = ()


def apply(selected: Selected, mediation: Mediation) -> Applied:
    """Patches the elements. Never raises for what one of them holds."""
    resources = selected.resources()
    try:
        patches.apply(resources, mediation)
    except Exception:
        _LOG.exception(
            "xDS of %s cannot be patched as a whole; patching it object by object", mediation.compiled.gateway
        )
        return _apply_one_by_one(selected, mediation)
    return Applied(tuple(resources.clusters[len(selected.clusters) :]))


def strip_client_headers(listeners: Collection[Element], configurations: Collection[Element]) -> None:
    """The edge strip in every listener that serves one of the configurations, whatever is known of their Gateway. A
    listener that cannot be patched stays as it came, and the generated routes behind it are closed."""
    served = {each.name for each in configurations}
    for listener in listeners:
        if _attempt(listener, partial(_strip, served=served)):
            for configuration in _behind(listener, configurations):
                for route in routes_of(configuration.decode()):
                    if names.GENERATED.encode() in pool.serialized(route):
                        closing.close(route)


def _strip(listener: Message, served: Collection[str]) -> None:
    edge.strip(Resources(listeners=[listener]), served)


def _apply_one_by_one(selected: Selected, mediation: Mediation) -> Applied:
    for element in (*selected.listeners, *selected.configurations, *selected.clusters):
        element.restore()
    strip_client_headers(selected.listeners, selected.configurations)
    failures = [
        *_listeners(selected, mediation),
        *_routes(selected, mediation),
        *_clusters(selected, mediation),
    ]
    added: list[Message] = []
    stubs = [_stub(each.decode()) for each in selected.configurations]
    with_ours = Resources(routes=stubs, clusters=[each.decode() for each in selected.clusters])
    service_clusters.patch(with_ours, mediation)
    added.extend(with_ours.clusters[len(selected.clusters) :])
    return Applied(tuple(added), tuple(failures))


def _listeners(selected: Selected, mediation: Mediation) -> Iterator[Failure]:
    for listener in selected.listeners:
        behind = _behind(listener, selected.configurations)
        error = _attempt(listener, partial(_patch_listener, behind=behind, mediation=mediation))
        if error:
            strip_client_headers([listener], behind)
            _close(behind, mediation)
            yield Failure(what=f"listener {listener.name}", error=error)


def _patch_listener(listener: Message, behind: Iterable[Element], mediation: Mediation) -> None:
    configurations = [each.decode() for each in behind]
    stubs = [_stub(each) for each in configurations]
    patches.apply(Resources(listeners=[listener], routes=stubs), mediation)
    # What a listener holds may close routes; not only their stubs.
    user_filters.patch(Resources(listeners=[listener], routes=configurations), mediation)


def _routes(selected: Selected, mediation: Mediation) -> Iterator[Failure]:
    for element in selected.configurations:
        configuration = element.decode()
        for route in routes_of(configuration):
            alone = pool.message(pool.ROUTE_CONFIGURATION, name=configuration.name, virtual_hosts=[{"routes": [route]}])
            try:
                patches.apply(Resources(routes=[alone]), mediation)
            except Exception as error:
                closing.close(route)
                yield Failure(what=f"route {route.name}", error=_text(error), rule=names.route(route.name))
            else:
                route.CopyFrom(alone.virtual_hosts[0].routes[0])


def _clusters(selected: Selected, mediation: Mediation) -> Iterator[Failure]:
    for element in selected.clusters:
        error = _attempt(element, partial(_patch_cluster, mediation=mediation))
        name = names.cluster(element.name)
        if error and name is not None:
            _close(selected.configurations, mediation, name.rule)
            yield Failure(what=f"cluster {element.name}", error=error, rule=name.rule)


def _patch_cluster(cluster: Message, mediation: Mediation) -> None:
    patches.apply(Resources(clusters=[cluster]), mediation)


def _attempt(element: Element, patch: Callable[[Message], None]) -> str:
    """Patches one element; says why it could not be and leaves it as it came then."""
    try:
        patch(element.decode())
    except Exception as error:
        element.restore()
        return _text(error)
    return ""


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _behind(listener: Element, configurations: Iterable[Element]) -> list[Element]:
    """The route configurations that a listener may serve."""
    return [each for each in configurations if each.name.encode() in listener.raw]


def _stub(configuration: Message) -> Message:
    """Only the names of a RouteConfiguration: tells the patches of listeners whether it is one of ours."""
    routes = [{"name": route.name} for route in routes_of(configuration)]
    return pool.message(pool.ROUTE_CONFIGURATION, name=configuration.name, virtual_hosts=[{"routes": routes}])


def _close(configurations: Iterable[Element], mediation: Mediation, only: RuleName | None = None) -> None:
    """The routes of one AI rule, or of all."""
    for configuration in configurations:
        for route in routes_of(configuration.decode()):
            name = names.route(route.name)
            if name is not None and mediation.rule(name) is not None and only in (None, name):
                closing.close(route)
