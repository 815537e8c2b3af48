"""Which RouteConfigurations and hosts a route is attached to: parentRefs, allowedRoutes, hostnames.

Names are Envoy Gateway's (xDS chapter §1.7, §11): `<gwNs>/<gwName>/<listener>`; the HTTP listeners of one port share
the RouteConfiguration of the first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extension_server.api import gateway as gateway_api
from extension_server.api.gateway import Gateway, Listener, ParentReference
from extension_server.compile import hostnames, selectors

USER_FILTERS_ANNOTATION: Final = "aigateway.envoyproxy.io/user-filters"
"""On a Gateway: names of its RouteConfigurations whose listener has a filter of the user's after ours, with commas. The
extension server that sees one writes it, so that every replica compiles the same, also after a restart."""
MEDIATED_ANNOTATION: Final = "aigateway.envoyproxy.io/mediated"
"""On a Gateway, `true`: Envoy Gateway has asked its extension server about it. The replica that was asked writes it,
for the one that writes the status."""
_HTTP_ROUTE: Final = (gateway_api.GROUP, "HTTPRoute")


@dataclass(frozen=True, slots=True)
class Place:
    """One virtual host of one RouteConfiguration."""

    configuration: str
    host: str
    """exact, `*.suffix`, or `*`"""


@dataclass(frozen=True, slots=True)
class Attachment:
    places: tuple[Place, ...]
    refused: tuple[tuple[int, str], ...]
    """(index of the parentRef, why no listener takes it)"""


def configuration_names(gateway: Gateway) -> dict[str, str]:
    """Listener name → name of its RouteConfiguration."""
    prefix = f"{gateway.namespace}/{gateway.name}/"
    first_on_port: dict[int, str] = {}
    names = {}
    for listener in gateway.spec.listeners:
        if listener.protocol == "HTTP":
            names[listener.name] = prefix + first_on_port.setdefault(listener.port, listener.name)
        else:
            names[listener.name] = prefix + listener.name
    return names


def conflicts(gateway: Gateway) -> tuple[tuple[int, str], ...]:
    """(index of a listener, why it cannot be served beside an earlier one)."""
    found = []
    served: list[Listener] = []
    for index, listener in enumerate(gateway.spec.listeners):
        why = next(filter(None, (_conflict(listener, other) for other in served)), None)
        if why is None:
            served.append(listener)
        else:
            found.append((index, why))
    return tuple(found)


def _conflict(listener: Listener, other: Listener) -> str | None:
    if other.port != listener.port:
        return None
    if other.protocol != listener.protocol:
        return f"port {listener.port} is taken by listener {other.name} of protocol {other.protocol}"
    if other.hostname == listener.hostname:
        return f"listener {other.name} has the same port and hostname; give each its own"
    return None


def refers_to(reference: ParentReference, namespace: str, gateway: Gateway) -> bool:
    """`reference` stands in a route of `namespace`."""
    return (
        reference.group == gateway_api.GROUP
        and reference.kind == "Gateway"
        and reference.name == gateway.name
        and (reference.namespace or namespace) == gateway.namespace
    )


def user_filters(gateway: Gateway) -> frozenset[str]:
    """RouteConfigurations of which was seen that a filter of the user's runs after ours (the annotation's text)."""
    return frozenset(gateway.metadata.annotations.get(USER_FILTERS_ANNOTATION, "").split(",")) - {""}


def is_mediated(gateway: Gateway) -> bool:
    """Whether Envoy Gateway has asked about it."""
    return MEDIATED_ANNOTATION in gateway.metadata.annotations


def selects(gateway: Gateway) -> bool:
    """Whether a listener looks at the labels of namespaces."""
    return any(listener.allowed_routes.namespaces.from_ == "Selector" for listener in gateway.spec.listeners)


def attach(
    gateway: Gateway,
    namespace: str,
    references: tuple[ParentReference, ...],
    hosts: tuple[str, ...],
    labels: Mapping[str, str] | None = None,
) -> Attachment:
    """Where a route of `namespace`, which has `labels`, with these parentRefs and hostnames is served on `gateway`."""
    places: dict[Place, None] = {}
    refused = []
    names = configuration_names(gateway)
    for index, reference in enumerate(references):
        if not refers_to(reference, namespace, gateway):
            continue
        found: list[Place] = []
        wanted = (("is named", reference.section_name), ("has port", reference.port))
        asked = " and ".join(f"{word} {value}" for word, value in wanted if value is not None)
        why = f"no HTTP or HTTPS listener {asked or 'is there'}; correct the reference or add one"
        for listener in gateway.spec.listeners:
            if reference.section_name not in (None, listener.name) or reference.port not in (None, listener.port):
                continue
            if why_not := refusal(listener, namespace, gateway, labels):
                why = why_not
                continue
            if not hostnames.intersect(listener.hostname or hostnames.ANY, hosts):
                why = (
                    f"listener {listener.name} takes host {listener.hostname}, none of the route's hostnames; "
                    "change one of them"
                )
            found += (Place(names[listener.name], host) for host in hosts_on(gateway, listener, hosts))
        places.update(dict.fromkeys(found))
        if not found:
            refused.append((index, why))
    return Attachment(tuple(places), tuple(refused))


def hosts_on(gateway: Gateway, listener: Listener, hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Hosts that a route with these hostnames serves on one listener, without those that belong to another one.

    Every host is served by one listener of a port, so one RouteConfiguration never has a domain twice.
    """
    shared = hostnames.intersect(listener.hostname or hostnames.ANY, hosts)
    return tuple(host for host in shared if not _taken(gateway, listener, host))


def refusal(listener: Listener, namespace: str, gateway: Gateway, labels: Mapping[str, str] | None = None) -> str:
    """Why the listener does not allow AI routes of this namespace; empty when it does. `labels`: the namespace's; None
    when they are not known, then it has the one that every namespace has."""
    allowed = listener.allowed_routes
    if allowed.kinds and not any((kind.group, kind.kind) == _HTTP_ROUTE for kind in allowed.kinds):
        return f"listener {listener.name} does not allow HTTPRoutes; add them to its allowedRoutes.kinds"
    if allowed.namespaces.from_ == "Same" and namespace != gateway.namespace:
        return (
            f"listener {listener.name} does not allow routes from namespace {namespace}; set its "
            "allowedRoutes.namespaces.from to All, or to Selector with a label of that namespace"
        )
    known = {selectors.NAME_LABEL: namespace} if labels is None else labels
    if allowed.namespaces.from_ == "Selector" and not selectors.matches(allowed.namespaces.selector, known):
        return (
            f"listener {listener.name} does not select the labels of namespace {namespace}; change these or its "
            "allowedRoutes.namespaces.selector"
        )
    return ""


def _taken(gateway: Gateway, listener: Listener, host: str) -> bool:
    """Requests for `host` go to another listener of the same port, which names the host more exactly."""
    own = listener.hostname or hostnames.ANY
    return any(
        hostnames.covers(other.hostname or hostnames.ANY, host)
        and hostnames.more_specific(other.hostname or hostnames.ANY, own)
        for other in gateway.spec.listeners
        if other is not listener and other.port == listener.port and other.protocol == listener.protocol
    )
