"""One configuration, ready to serve: everything that a request needs is found by lookup, nothing is built per request.

Built once when a configuration arrives, never changed. `build` is the only maker; it raises ConfigError with one
sentence for a configuration that cannot be served.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from filters.auth.base import Authenticator
from filters.auth.header import HeaderAuthenticator
from filters.auth.sigv4 import SigV4Signer
from filters.contract.config import (
    AwsCredential,
    Backend,
    Cost,
    Credential,
    FilterConfig,
    HeaderCredential,
    Rule,
)
from filters.endpoints import models
from filters.endpoints.base import Endpoint
from filters.errors import Unavailable
from filters.providers.base import Provider
from filters.runtime.costs import CostTable
from filters.runtime.errors import ConfigError
from filters.runtime.matching import ListenerIndex
from filters.runtime.mutations import BodyMutator, HeaderMutator
from filters.telemetry.record import PROVIDER_NAMES


@dataclass(frozen=True, slots=True)
class ReadyBackend:
    """One backend with all that turns a client's request into its own."""

    config: Backend
    provider: Provider
    authenticator: Authenticator | None
    """None: the client's own credentials go through"""
    header_mutator: HeaderMutator
    body_mutator: BodyMutator
    provider_name: str
    """`gen_ai.provider.name`"""


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

    def listener(self, name: str) -> ListenerIndex[ReadyRule] | None:
        """The listener's rules. A gateway with one listener needs no name."""
        found = self.listeners.get(name)
        if found is None and not name and len(self.listeners) == 1:
            return next(iter(self.listeners.values()))
        return found


def build(
    config: FilterConfig, config_hash: str, *, providers: Mapping[str, Provider], endpoints: Iterable[Endpoint]
) -> Snapshot:
    """Raises ConfigError."""
    backends = {backend.name: _backend(backend, providers) for backend in config.backends}
    tables: dict[tuple[Cost, ...], CostTable] = {}
    rules = {rule.name: _rule(rule, backends, tables) for rule in config.rules}
    prefixes = dict(config.endpoint_prefixes)
    return Snapshot(
        hash=config_hash,
        gateway=config.gateway,
        endpoints=_endpoints(config.root_prefix, prefixes, endpoints),
        listings={
            join_path(config.root_prefix, prefixes[family], models.SUFFIX): family
            # The first family wins where two share a prefix.
            for family in reversed(models.FAMILIES)
            if family in prefixes
        },
        listeners={listener.name: ListenerIndex(listener, rules) for listener in config.listeners},
    )


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


def _backend(backend: Backend, providers: Mapping[str, Provider]) -> ReadyBackend:
    where = f"backend {backend.name}"
    return ReadyBackend(
        config=backend,
        # A schema that nobody speaks yet serves no endpoint: its own requests are refused, and no other rule's.
        provider=providers.get(backend.schema.name) or Provider(backend.schema.name, {}),
        authenticator=None if backend.credential is None else _authenticator(backend.credential, where),
        header_mutator=HeaderMutator(backend.header_mutation),
        body_mutator=BodyMutator(backend.body_mutation, where),
        provider_name=PROVIDER_NAMES.get(backend.schema.name, backend.schema.name.lower()),
    )


def _authenticator(credential: Credential, where: str) -> Authenticator:
    if isinstance(credential, HeaderCredential) and not _sendable(credential.value.reveal()):
        raise ConfigError(f"{where}: credential: empty, or with characters that a header cannot hold")
    return _AUTHENTICATORS[type(credential)](credential)


def _sendable(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()


_AUTHENTICATORS: Final[Mapping[type, Callable[[Any], Authenticator]]] = {
    HeaderCredential: HeaderAuthenticator,
    AwsCredential: SigV4Signer,
}
