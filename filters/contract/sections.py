"""A filter configuration in sections, each named and encoded by itself: what changes is sent, decoded and built alone.

Written by `extension_server.compile` and by the push, read by `filters.runtime`. A section is JSON:

    head                        endpoints, listeners, and of each virtual host the names of its blocks
    route/<ns>/<name>           rules and backends of one AIGatewayRoute
    matches/<digest>            a run of matches of a virtual host, in order
    models/<digest>             a run of entries of a models listing, in order

Credentials are sections too, one each, in a table of their own by identity. Runs end where a hash of an entry says so,
not at a count: an entry more or less changes one run and no other. Two hashes name a state: that of the configuration,
and that of the credentials beside it.
"""

import hashlib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar
from zlib import crc32

import msgspec

from filters.contract.config import (
    Backend,
    Credential,
    FilterConfig,
    Listener,
    Match,
    Model,
    Rule,
    decode_hook,
    encoder,
)

T = TypeVar("T")

HEAD: Final = "head"
ROUTE: Final = "route/"
MATCHES: Final = "matches/"
MODELS: Final = "models/"

_RUN: Final = 64
"""Entries of a run, on average: at 10,000 matches a changed one sends 8 KB of 1.2 MB, and the head has 160 names."""
_DIGEST: Final = 16


class HostHead(msgspec.Struct, frozen=True, omit_defaults=True):
    """A virtual host; matches and models are in the runs that it names."""

    domains: tuple[str, ...]
    matches: tuple[str, ...]
    models: tuple[str, ...] = ()


class ListenerHead(msgspec.Struct, frozen=True):
    name: str
    virtual_hosts: tuple[HostHead, ...]


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """All but routes, runs and credentials."""

    gateway: str
    root_prefix: str
    endpoint_prefixes: tuple[tuple[str, str], ...]
    listeners: tuple[ListenerHead, ...] = ()


class RouteSection(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one AIGatewayRoute contributes."""

    rules: tuple[Rule, ...] = ()
    backends: tuple[Backend, ...] = ()


_RULE_OF: Final[Callable[[Match], str]] = operator.attrgetter("rule")
_ID_OF: Final[Callable[[Model], str]] = operator.attrgetter("id")

_head = msgspec.json.Decoder(Head)
_route = msgspec.json.Decoder(RouteSection)
_matches = msgspec.json.Decoder(tuple[Match, ...])
_models = msgspec.json.Decoder(tuple[Model, ...])
_credential = msgspec.json.Decoder(Credential, dec_hook=decode_hook)


def _reader(decode: Callable[[bytes], T]) -> Callable[[bytes], T]:
    def read(section: bytes) -> T:
        """Raises ValueError naming the member that does not fit."""
        try:
            return decode(section)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise ValueError(f"filter configuration: {exc}") from exc

    return read


read_head = _reader(_head.decode)
read_route = _reader(_route.decode)
read_matches = _reader(_matches.decode)
read_models = _reader(_models.decode)
read_credential = _reader(_credential.decode)


@dataclass(frozen=True, slots=True)
class Sections:
    """A whole state."""

    parts: Mapping[str, bytes] = field(repr=False)
    """name → section, all but credentials"""
    credentials: Mapping[str, bytes] = field(repr=False)
    """identity → section"""
    digests: Mapping[str, bytes] = field(repr=False)
    """name in `parts` → digest"""
    config_hash: str
    credentials_hash: str
    routes: Mapping[str, RouteSection] = field(repr=False, compare=False, default_factory=dict)
    """what the sections of routes were encoded from, for `split`"""
    values: Mapping[str, Credential] = field(repr=False, compare=False, default_factory=dict)
    """what `credentials` were encoded from, for `split`"""

    def with_credentials(self, values: Mapping[str, Credential]) -> "Sections":
        """The same beside other credentials."""
        credentials = {
            identity: self.credentials[identity] if self.values.get(identity) == value else encoder.encode(value)
            for identity, value in sorted(values.items())
        }
        if credentials == self.credentials and self.credentials_hash:
            return replace(self, values=values)
        hash_ = hash_of({identity: digest(section) for identity, section in credentials.items()})
        return replace(self, credentials=credentials, credentials_hash=hash_, values=values)


_NOTHING: Final = Sections({}, {}, {}, "", "")


def split(
    config: FilterConfig, previous: Sections | None = None, routes: Mapping[str, RouteSection] | None = None
) -> Sections:
    """The sections of a configuration. Those that are as in `previous` are not encoded again. `routes`: rules and
    backends of `config` by the name of their section, from whoever has them so already; 10,000 are looked through in
    3 ms when most are the very objects of `previous`."""
    old = previous or _NOTHING
    routes = _routes(config) if routes is None else routes
    parts: dict[str, bytes] = {}
    digests: dict[str, bytes] = {}
    for name, route in routes.items():
        known = old.routes.get(name)
        if known is route or known == route:
            parts[name], digests[name] = old.parts[name], old.digests[name]
        else:
            parts[name] = encoder.encode(route)
            digests[name] = digest(parts[name])
    runs: dict[str, bytes] = {}
    head = Head(
        gateway=config.gateway,
        root_prefix=config.root_prefix,
        endpoint_prefixes=config.endpoint_prefixes,
        listeners=tuple(_listener_head(listener, runs) for listener in config.listeners),
    )
    for name, run in ((HEAD, encoder.encode(head)), *runs.items()):
        parts[name], digests[name] = run, digest(run)
    routing = replace(old, parts=parts, digests=digests, config_hash=hash_of(digests), routes=routes)
    return routing.with_credentials(config.credentials)


def digest(section: bytes) -> bytes:
    return hashlib.sha256(section).digest()[:_DIGEST]


def hash_of(digests: Mapping[str, bytes]) -> str:
    """Name of a state: 16 hex digits over all sections, whatever their order."""
    names = sorted(digests)
    whole = hashlib.sha256("\0".join(names).encode())
    whole.update(b"\0" + b"".join([digests[name] for name in names]))
    return whole.hexdigest()[:_DIGEST]


def _routes(config: FilterConfig) -> dict[str, RouteSection]:
    rules: dict[str, list[Rule]] = {}
    owners: dict[str, str] = {}
    for rule in config.rules:
        name = ROUTE + rule.route
        rules.setdefault(name, []).append(rule)
        for backend in rule.backends:
            owners[backend] = name
    backends: dict[str, list[Backend]] = {}
    for each in config.backends:
        backends.setdefault(owners.get(each.name, ROUTE), []).append(each)
    return {
        name: RouteSection(tuple(rules.get(name, ())), tuple(backends.get(name, ()))) for name in {**rules, **backends}
    }


def _listener_head(listener: Listener, runs: dict[str, bytes]) -> ListenerHead:
    return ListenerHead(
        listener.name,
        tuple(
            HostHead(
                domains=host.domains,
                matches=_into_runs(MATCHES, host.matches, _RULE_OF, runs),
                models=_into_runs(MODELS, host.models, _ID_OF, runs),
            )
            for host in listener.virtual_hosts
        ),
    )


def _into_runs(prefix: str, entries: Sequence[T], key: Callable[[T], str], runs: dict[str, bytes]) -> tuple[str, ...]:
    """Names of the runs, which are put into `runs`."""
    names = []
    for run in _runs(entries, key):
        section = encoder.encode(run)
        names.append(prefix + digest(section).hex())
        runs[names[-1]] = section
    return tuple(names)


def _runs(entries: Sequence[T], key: Callable[[T], str]) -> Iterator[Sequence[T]]:
    start = 0
    for end in [number for number, name in enumerate(map(key, entries), 1) if crc32(name.encode()) % _RUN == 0]:
        yield entries[start:end]
        start = end
    if start < len(entries):
        yield entries[start:]
