"""A filter configuration, a made-up provider and a clock for tests of the exchanges: no I/O, no real provider.

The made-up provider `echo` speaks as its test tells it (`Script`): what it sends, how it wants the answer's body, what
it makes of each piece.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import msgspec

from filters.contract import config
from filters.contract.config import (
    Backend,
    Cost,
    Credential,
    FilterConfig,
    Listener,
    Match,
    Model,
    Rule,
    Schema,
    VirtualHost,
)
from filters.contract.headers import Headers
from filters.contract.translation import BodyMode, Call, Output, ResponseStart, UpstreamRequest
from filters.contract.usage import Usage
from filters.endpoints.chat_completions import ENDPOINT
from filters.errors import GatewayError
from filters.extproc.attempt_exchange import BACKEND_ATTRIBUTES
from filters.extproc.exchange import Exchange
from filters.extproc.listener_exchange import EXCHANGE_KEY
from filters.extproc.messages import BodyReply, HeadersReply, ImmediateReply, Reply, RequestBody, RequestHeaders
from filters.extproc.program import AiFilters
from filters.providers.base import Provider
from filters.runtime.clock import Clock

LISTENER = "http-10080"
METADATA = {config.LISTENER_HEADER: LISTENER, config.LEVEL_HEADER: "listener"}
UPSTREAM_METADATA = {config.LEVEL_HEADER: "upstream"}
USAGE = Usage(input=10, output=5, total=15, cached=4, cache_creation=1, reasoning=2)
BODY = b'{"model": "m", "messages": []}'


@dataclass
class Ticking:
    """A clock that moves when a test says so."""

    now: float = 1_000.0

    def clock(self) -> Clock:
        return Clock(wall=lambda: 1_700_000_000.0 + self.now, monotonic=lambda: self.now)


@dataclass
class Script:
    """How the made-up provider behaves."""

    path: str = "/up/chat"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    mode: BodyMode = "observe"
    start_headers: tuple[tuple[str, str], ...] = ()
    start_remove: tuple[str, ...] = ()
    answer: Callable[[bytes, bool], Output] = lambda data, end: Output(usage=USAGE if end else None, model="m-1")
    refuse: GatewayError | None = None
    calls: list[Call] = field(default_factory=list)
    fed: list[tuple[bytes, bool]] = field(default_factory=list)


class _Translator:
    def __init__(self, script: Script, call: Call) -> None:
        self._script = script
        script.calls.append(call)

    def request(self) -> UpstreamRequest:
        script = self._script
        if script.refuse is not None:
            raise script.refuse
        return UpstreamRequest(
            path=script.path, body=script.body, headers=script.headers, remove=script.remove, dropped=script.dropped
        )

    def start(self, status: int, headers: Headers) -> ResponseStart:
        script = self._script
        return ResponseStart(body=script.mode, headers=script.start_headers, remove=script.start_remove)

    def feed(self, data: bytes, *, end: bool) -> Output:
        self._script.fed.append((data, end))
        return self._script.answer(data, end)


def backend(name: str = "ns/b/route/r/rule/0/ref/0", **changes: Any) -> Backend:
    schema = changes.pop("schema", Schema("OpenAI"))
    return Backend(name=name, short_name="/".join(name.split("/")[:2]), schema=schema, **changes)


def credentials_apart(backends: Iterable[Backend]) -> tuple[tuple[Backend, ...], dict[str, Credential]]:
    """Backends that hold their credential → backends that name it by their own name, and the table."""
    values: dict[str, Any] = {each.name: each.credential for each in backends if each.credential}
    return tuple(
        msgspec.structs.replace(each, credential=each.name if each.name in values else "") for each in backends
    ), values


def configuration(
    *backends: Backend,
    plan: config.Plan = "single",
    costs: Sequence[Cost] = (),
    matches: Iterable[Match] = (Match("ns/r/rule/0", "m"),),
    models: Sequence[Model] = (Model("m", "me", 1),),
    domains: tuple[str, ...] = ("*",),
) -> FilterConfig:
    """One listener, one host, one rule. A credential of `backend` is put into the table."""
    used, credentials = credentials_apart(backends or (backend(),))
    return FilterConfig(
        gateway="ns/gw",
        backends=used,
        rules=(Rule("ns/r/rule/0", "ns/r", "token-0", plan, tuple(b.name for b in used), tuple(costs)),),
        listeners=(Listener(LISTENER, (VirtualHost(domains, tuple(matches), tuple(models)),)),),
        credentials=credentials,
    )


class Gateway:
    """The filters with scripts in place of providers: one per schema that the test names."""

    def __init__(
        self, document: FilterConfig | None = None, *, scripts: Mapping[str, Script] | None = None, process: str = "0"
    ) -> None:
        self.script = Script()
        self.scripts = scripts or {"OpenAI": self.script}
        self.time = Ticking()
        numbers = count()
        self.filters = AiFilters(
            providers={
                name: Provider(name, {"chat_completions": _factory(script)})  # type: ignore[arg-type]
                for name, script in self.scripts.items()
            },
            endpoints=(ENDPOINT,),
            clock=self.time.clock(),
            new_token=lambda: f"t{next(numbers)}",
            process=process,
        )
        if document is not None:
            self.filters.load(config.encode(document))

    def open(self, metadata: Mapping[str, str] = METADATA) -> Exchange:
        return self.filters.exchange(metadata)

    def send(self, exchange: Exchange, *, body: bytes = BODY, headers: Mapping[str, str | None] | None = None) -> Reply:
        """The request phases; the reply that matters: the body's, or the answer that came first."""
        first = one(exchange.on_message(request(headers)))
        if isinstance(first, ImmediateReply):
            return first
        return one(exchange.on_message(RequestBody(body)))

    def attempt(self, routed: Reply, backend_name: str, current: Headers) -> Reply:
        """One upstream-level conversation, as Envoy leads it."""
        assert isinstance(routed, BodyReply)
        exchange = self.open(UPSTREAM_METADATA)
        reply = one(exchange.on_message(attempt_message(request_id(routed), backend_name, current)))
        exchange.on_close("reset")
        return reply


def request_id(routed: BodyReply) -> str:
    assert routed.metadata is not None
    return str(routed.metadata[config.STATIC_METADATA_NAMESPACE][EXCHANGE_KEY])


def attempt_message(request_id_: str, backend_name: str, current: Headers) -> RequestHeaders:
    return RequestHeaders(
        current,
        attributes={BACKEND_ATTRIBUTES[0]: backend_name},
        metadata={config.STATIC_METADATA_NAMESPACE: {EXCHANGE_KEY: request_id_}},
    )


def _factory(script: Script) -> Callable[[Call], _Translator]:
    return lambda call: _Translator(script, call)


def one(replies: Sequence[Reply]) -> Reply:
    assert len(replies) == 1
    return replies[0]


_REQUEST = {
    ":method": "POST",
    ":path": "/v1/chat/completions",
    ":authority": "gateway.test:1975",
    ":scheme": "http",
    "content-type": "application/json",
    "content-length": "30",
}


def request(changes: Mapping[str, str | None] | None = None, *, end_of_stream: bool = False) -> RequestHeaders:
    """The usual request headers with changes; None removes one."""
    return RequestHeaders(headers(changes), end_of_stream)


def headers(changes: Mapping[str, str | None] | None = None) -> Headers:
    merged: dict[str, str | None] = {**_REQUEST, **(changes or {})}
    return Headers((name, value) for name, value in merged.items() if value is not None)


def applied(current: Headers, reply: Reply) -> Headers:
    """Envoy's header map after the reply."""
    assert isinstance(reply, HeadersReply | BodyReply)
    left = {name: value for name, value in current.items if name not in reply.remove}
    return Headers({**left, **dict(reply.set)}.items())
