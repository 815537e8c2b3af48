"""One configuration, ready to serve: everything that a request needs is found by lookup, nothing is built per request.

Built once when a configuration arrives, never changed. `build` is the only maker; it raises ConfigError with one
sentence for a configuration that cannot be served. What an earlier snapshot has from the same section is taken over:
a change of one route among 10,000 costs what its own rules cost, and the order of the matches.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

from filters.auth.base import Authenticator
from filters.contract import sections
from filters.contract.config import Backend, Cost, Listener, Match, Model, Rule, VirtualHost
from filters.contract.sections import Head, HostHead, RouteSection
from filters.endpoints import models
from filters.endpoints.base import Endpoint
from filters.errors import Unavailable
from filters.providers.base import Provider
from filters.runtime.costs import CostTable
from filters.runtime.credentials import Credentials
from filters.runtime.errors import ConfigError
from filters.runtime.matching import ListenerIndex
from filters.runtime.mutations import BodyMutator, HeaderMutator
from filters.telemetry.record import PROVIDER_NAMES


@dataclass(frozen=True, slots=True)
class ReadyBackend:
    """One backend with all that turns a client's request into its own."""

    config: Backend
    provider: Provider
    credentials: Credentials
    header_mutator: HeaderMutator
    body_mutator: BodyMutator
    provider_name: str
    """`gen_ai.provider.name`"""

    @property
    def authenticator(self) -> Authenticator | None:
        """With the newest value of the credential. None: the client's own credentials go through.

        Raises filters.errors.Unavailable when the credential is missing."""
        return self.credentials.find(self.config.credential) if self.config.credential else None


@dataclass(frozen=True, slots=True)
class ReadyRule:
    config: Rule
    backends: Mapping[str, ReadyBackend]
    """by name, in the order of the rule; empty when none of them can be used"""
    costs: CostTable

    def token(self, request_id: str) -> str:
        """Value of RULE_HEADER for one request; `request_id` is what chance there is in it."""
        shares = self.config.shares
        if not shares:
            return self.config.token
        place = zlib.crc32(request_id.encode()) % sum(share.weight for share in shares)
        for share in shares:
            place -= share.weight
            if place < 0:
                return share.token
        raise AssertionError("the weights have changed")

    def sole(self) -> ReadyBackend:
        """Who serves in plan `single`. Raises filters.errors.Unavailable when there is nobody."""
        for backend in self.backends.values():
            return backend
        raise Unavailable(
            f"rule {self.config.name} has no usable backend; the status of its route says why", code="no_backend"
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    hash: str
    gateway: str
    endpoints: Mapping[str, Endpoint]
    """by exact path"""
    listings: Mapping[str, str]
    """path of a models listing → family"""
    listeners: Mapping[str, ListenerIndex[ReadyRule]]
    credentials: frozenset[str] = frozenset()
    """identities that its backends name"""
    parts: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """the sections that it was built from, for the next `build`"""
    built: Mapping[str, object] = field(default_factory=dict, repr=False)
    """section of a route → its ReadyRules; of a run → its entries"""

    def listener(self, name: str) -> ListenerIndex[ReadyRule] | None:
        """The listener's rules. A gateway with one listener needs no name."""
        found = self.listeners.get(name)
        if found is None and not name and len(self.listeners) == 1:
            return next(iter(self.listeners.values()))
        return found


class Builder:
    """Builds snapshots of one process."""

    def __init__(
        self, *, providers: Mapping[str, Provider], endpoints: Iterable[Endpoint], credentials: Credentials
    ) -> None:
        self._providers = providers
        self._endpoints = tuple(endpoints)
        self._credentials = credentials

    def build(self, parts: Mapping[str, bytes], config_hash: str, previous: Snapshot | None = None) -> Snapshot:
        """Raises ConfigError."""
        try:
            return self._build(parts, config_hash, previous)
        except ConfigError:
            raise
        except ValueError as exc:
            raise ConfigError(str(exc)) from exc

    def _build(self, parts: Mapping[str, bytes], config_hash: str, previous: Snapshot | None) -> Snapshot:
        built = _Built(parts, previous)
        tables: dict[tuple[Cost, ...], CostTable] = {}
        rules: dict[str, ReadyRule] = {}
        for name in parts:
            if name.startswith(sections.ROUTE):
                ready = built.route(name)
                if ready is None:
                    ready = self._route(sections.read_route(parts[name]), tables)
                    built.keep(name, ready)
                for rule in ready:
                    rules[rule.config.name] = rule
        head = sections.read_head(built.section(sections.HEAD))
        prefixes = dict(head.endpoint_prefixes)
        return Snapshot(
            hash=config_hash,
            gateway=head.gateway,
            endpoints=_endpoints(head.root_prefix, prefixes, self._endpoints),
            listings={
                join_path(head.root_prefix, prefixes[family], models.SUFFIX): family
                # The first family wins where two share a prefix.
                for family in reversed(models.FAMILIES)
                if family in prefixes
            },
            listeners={listener.name: ListenerIndex(listener, rules) for listener in _listeners(head, built)},
            credentials=frozenset(
                identity
                for rule in rules.values()
                for backend in rule.backends.values()
                if (identity := backend.config.credential)
            ),
            parts=parts,
            built=built.all,
        )

    def _route(self, route: RouteSection, tables: dict[tuple[Cost, ...], CostTable]) -> tuple[ReadyRule, ...]:
        backends = {backend.name: self._backend(backend) for backend in route.backends}
        return tuple(_rule(rule, backends, tables) for rule in route.rules)

    def _backend(self, backend: Backend) -> ReadyBackend:
        return ReadyBackend(
            config=backend,
            # A schema that nobody speaks yet serves no endpoint: its own requests are refused, and no other rule's.
            provider=self._providers.get(backend.schema.name) or Provider(backend.schema.name, {}),
            credentials=self._credentials,
            header_mutator=HeaderMutator(backend.header_mutation),
            body_mutator=BodyMutator(backend.body_mutation, f"backend {backend.name}"),
            provider_name=PROVIDER_NAMES.get(backend.schema.name, backend.schema.name.lower()),
        )


class _Built:
    """What was made of sections, by name; that of an unchanged section comes from the snapshot before."""

    def __init__(self, parts: Mapping[str, bytes], previous: Snapshot | None) -> None:
        self._parts = parts
        self._old_parts: Mapping[str, bytes] = previous.parts if previous else {}
        self._old: Mapping[str, object] = previous.built if previous else {}
        self.all: dict[str, object] = {}

    def section(self, name: str) -> bytes:
        if name not in self._parts:
            raise ConfigError(f"filter configuration: section {name} is missing")
        return self._parts[name]

    def keep(self, name: str, made: object) -> None:
        self.all[name] = made

    def route(self, name: str) -> tuple[ReadyRule, ...] | None:
        if name in self._old and self._old_parts[name] == self._parts[name]:
            made = self.all[name] = self._old[name]
            return made  # type: ignore[return-value]  # under this name, nothing else is kept
        return None

    def matches(self, host: HostHead) -> tuple[Match, ...]:
        return tuple(chain.from_iterable(self._matches(name) for name in host.matches))

    def models(self, host: HostHead) -> tuple[Model, ...]:
        return tuple(chain.from_iterable(sections.read_models(self.section(name)) for name in host.models))

    def _matches(self, name: str) -> tuple[Match, ...]:
        # Named by its content: what was read of it once is right for ever.
        found = self._old.get(name)
        if found is None:
            found = sections.read_matches(self.section(name))
        self.all[name] = found
        return found  # type: ignore[return-value]


def _listeners(head: Head, built: _Built) -> Iterable[Listener]:
    for listener in head.listeners:
        hosts = (VirtualHost(host.domains, built.matches(host), built.models(host)) for host in listener.virtual_hosts)
        yield Listener(listener.name, tuple(hosts))


def join_path(*parts: str) -> str:
    """The parts as one absolute path without doubled or trailing slashes."""
    return "/" + "/".join(segment for part in parts for segment in part.split("/") if segment)


def _endpoints(root: str, prefixes: Mapping[str, str], endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    paths: dict[str, Endpoint] = {}
    for endpoint in endpoints:
        if endpoint.family in prefixes:
            paths.setdefault(join_path(root, prefixes[endpoint.family], endpoint.suffix), endpoint)
    return paths


def _rule(rule: Rule, backends: Mapping[str, ReadyBackend], tables: dict[tuple[Cost, ...], CostTable]) -> ReadyRule:
    where = f"rule {rule.name}"
    for name in rule.backends:
        if name not in backends:
            raise ConfigError(f"{where}: backends: {name} does not exist")
    if rule.costs not in tables:
        # Thousands of rules share the few lists of costs that people write: each is compiled once.
        tables[rule.costs] = CostTable(rule.costs, where)
    ready = {name: backends[name] for name in rule.backends}
    return ReadyRule(rule, ready, tables[rule.costs])
