"""The xDS resources of one Gateway as the patches see them, and what the patches need to know beside them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from extension_server.compile.result import Compiled, CompiledRule
from extension_server.xds import names, pool
from extension_server.xds.pool import Message

HCM_FILTER: Final = "envoy.filters.network.http_connection_manager"
HttpRoute = tuple[str, str]
"""namespace and name"""
DEFAULT_LOG_ATTRIBUTES: Final = (("agent-session-id", "session.id"),)


@dataclass(slots=True)
class Resources:
    """Parsed messages. Patches change them in place."""

    listeners: list[Message] = field(default_factory=list)
    routes: list[Message] = field(default_factory=list)
    clusters: list[Message] = field(default_factory=list)


@dataclass(frozen=True)
class Mediation:
    """What is to be mediated, and by whom."""

    compiled: Compiled
    sockets: tuple[str, ...]
    """unix sockets of the filter's workers"""
    log_attributes: tuple[tuple[str, str], ...] = DEFAULT_LOG_ATTRIBUTES
    """(request header, key of the dynamic metadata that access logs read)"""
    listener_names: Mapping[str, str] = field(default_factory=dict)
    """RouteConfiguration → name of the listener in the filter's configuration, where they differ"""
    named: str = ""
    """hash of the configuration that requests are to be served with, when it is not the compiled one"""

    @cached_property
    def _rules(self) -> dict[names.RuleName, CompiledRule]:
        return {
            names.RuleName(rule.http_route.namespace, rule.http_route.name, rule.http_rule): rule
            for rule in self.compiled.rules
        }

    @cached_property
    def _fallbacks(self) -> frozenset[names.RuleName]:
        return frozenset(names.RuleName(ref.namespace, ref.name, index) for ref, index in self.compiled.fallbacks)

    @property
    def config_hash(self) -> str:
        return self.named or self.compiled.config_hash

    @cached_property
    def by_token(self) -> dict[str, CompiledRule]:
        """Rules by the token that the filter sets for them."""
        return {rule.token: rule for rule in self.compiled.rules if rule.token}

    @cached_property
    def tokens(self) -> frozenset[str]:
        """Every token that the filter may set."""
        return frozenset(self.by_token)

    @cached_property
    def http_routes(self) -> frozenset[HttpRoute]:
        """That were generated."""
        return frozenset((ref.namespace, ref.name) for ref, _ in self.compiled.fallbacks)

    @cached_property
    def last_route(self) -> str:
        """Name of a route of a generated last rule; empty when there is none."""
        return min((names.route_name(each, 0, "*") for each in self._fallbacks), default="")

    def rule(self, name: names.RuleName | None) -> CompiledRule | None:
        """The AI rule that a route or cluster was generated for; None when it is not ours."""
        return None if name is None else self._rules.get(name)

    def is_generated(self, route: Message) -> bool:
        """Whether the route is of an AI rule, or a generated last one."""
        name = names.route(route.name)
        return name in self._rules or name in self._fallbacks

    def prepare(self) -> None:
        """Looks up now what would be looked up at the first question."""
        _ = self._rules, self._fallbacks, self.tokens, self.http_routes, self.last_route

    def listener_name(self, configuration: str) -> str:
        """What the filter's configuration calls the listener with this RouteConfiguration."""
        return self.listener_names.get(configuration, configuration)

    def is_fallback(self, route: Message) -> bool:
        """Whether the route is a generated last rule: the first match of every AI request."""
        return names.route(route.name) in self._fallbacks


def routes_of(configuration: Message) -> Iterator[Message]:
    """All routes of a RouteConfiguration."""
    for host in configuration.virtual_hosts:
        yield from host.routes


def ai_configurations(resources: Resources, mediation: Mediation) -> frozenset[str]:
    """Names of the route configurations that hold a generated last rule."""
    return frozenset(
        configuration.name
        for configuration in resources.routes
        if any(mediation.is_fallback(route) for route in routes_of(configuration))
    )


def ai_connection_managers(resources: Resources, mediation: Mediation) -> Iterator[tuple[Message, Message]]:
    """`connection_managers` of every chain that serves AI routes."""
    return connection_managers(resources, ai_configurations(resources, mediation))


def served_configurations(listener: Message) -> frozenset[str]:
    """Names of the RouteConfigurations that a listener asks for. Raises what broken parts of it raise."""
    return frozenset(manager.rds.route_config_name for _, manager in _connection_managers(listener)) - {""}


def connection_managers(resources: Resources, configurations: Collection[str]) -> Iterator[tuple[Message, Message]]:
    """(network filter, its HttpConnectionManager, decoded) of every chain that serves one of the RouteConfigurations.

    Put a changed manager back with `pool.replace(network_filter.typed_config, manager)`. Chains without a connection
    manager, or with routes of their own (readiness), are none of ours.
    """
    for listener in resources.listeners:
        if names.serves_clients(listener.name):
            for network_filter, manager in _connection_managers(listener):
                if manager.rds.route_config_name in configurations:
                    yield network_filter, manager


def _connection_managers(listener: Message) -> Iterator[tuple[Message, Message]]:
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    for chain in chains:
        for network_filter in chain.filters:
            if pool.type_name(network_filter.typed_config) == pool.HTTP_CONNECTION_MANAGER:
                yield network_filter, pool.unpacked(network_filter.typed_config)
