"""Which Gateway a RouteConfiguration serves, and what the filter's configuration calls its listener.

A translation does not say which Gateway it is for. Envoy Gateway writes the Gateway and the listener into the metadata
of every virtual host, under both of its naming schemes; with the old one they are in the names as well.
"""

from dataclasses import dataclass
from typing import Final

from extension_server.compile.result import ObjectRef
from extension_server.xds.pool import Message
from filters.contract.config import Listener

_NAMESPACE: Final = "envoy-gateway"


@dataclass(frozen=True, slots=True)
class Section:
    """One listener of a Gateway."""

    gateway: ObjectRef
    listener: str

    @property
    def name(self) -> str:
        return f"{self.gateway.namespace}/{self.gateway.name}/{self.listener}"


def sections(configuration: Message) -> tuple[Section, ...]:
    """The listeners that a RouteConfiguration serves, in its order; empty when that cannot be told."""
    found = {section: None for host in configuration.virtual_hosts if (section := _of_host(host)) is not None}
    if not found and (named := of_name(configuration.name)) is not None:
        return (named,)
    return tuple(found)


def listener_name(configuration: Message, served: tuple[Section, ...], listeners: tuple[Listener, ...]) -> str:
    """The name under which the filter knows the listener of a RouteConfiguration (the name of the first listener of a
    port). Its own name when there is no better one: the filter then answers that it does not serve this listener."""
    known = {listener.name for listener in listeners}
    own = str(configuration.name)
    candidates = (own, *(section.name for section in served))
    found = next((name for name in candidates if name in known), None)
    if found is not None:
        return found
    # The first listener of the port may have no virtual host here; then the hosts must tell.
    domains = {domain for host in configuration.virtual_hosts for domain in host.domains}
    prefixes = {f"{section.gateway.namespace}/{section.gateway.name}/" for section in served}
    serving = [
        listener.name
        for listener in listeners
        if listener.name.startswith(tuple(prefixes))
        and any(not domains.isdisjoint(host.domains) for host in listener.virtual_hosts)
    ]
    return serving[0] if len(serving) == 1 else own


def _of_host(host: Message) -> Section | None:
    if _NAMESPACE not in host.metadata.filter_metadata:
        return None
    resources = host.metadata.filter_metadata[_NAMESPACE].fields["resources"]
    for value in resources.list_value.values:
        texts = {key: field.string_value for key, field in value.struct_value.fields.items()}
        if texts.get("kind") == "Gateway" and texts.get("name"):
            return Section(
                ObjectRef("Gateway", texts.get("namespace", ""), texts["name"]), texts.get("sectionName", "")
            )
    return None


def of_name(name: str) -> Section | None:
    """The listener that Envoy Gateway's old naming scheme says; None for names of another form."""
    parts = name.split("/")
    if len(parts) != 3 or not all(parts):
        return None
    return Section(ObjectRef("Gateway", parts[0], parts[1]), parts[2])
