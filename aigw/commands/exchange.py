"""One request through the filter without Envoy: the exchange that serves clients, driven message by message.

What comes out is what a provider would get: Envoy's part (removing the internal headers, the host name of the chosen
backend) is done here as the generated routes say it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from filters.contract import jsonlib
from filters.contract.config import (
    DROPPED_HEADER,
    LISTENER_HEADER,
    RULE_HEADER,
    FilterConfig,
    Listener,
    Match,
    Rule,
    VirtualHost,
    encode,
)
from filters.contract.headers import Headers
from filters.endpoints import registry as endpoint_registry
from filters.errors import GatewayError
from filters.extproc.exchange import Exchange
from filters.extproc.listener_exchange import ListenerExchange
from filters.extproc.messages import (
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Reply,
    RequestBody,
    RequestHeaders,
    ResponseHeaders,
)
from filters.extproc.program import AiFilters
from filters.providers import registry as provider_registry
from filters.runtime.clock import Clock

SAMPLE_MODEL: Final = "MODEL"
SAMPLES: Final[Mapping[str, Mapping[str, object]]] = {
    "chat_completions": {"messages": [{"role": "user", "content": "Hello"}]},
}
"""endpoint → members beside `model` of the plainest request"""
_INTERNAL: Final = ("x-ai-eg-rule", "x-ai-eg-original-path", "x-ai-eg-internal-req-id")
_ANSWER: Final = ResponseHeaders(Headers(((":status", "200"), ("content-type", "application/json"))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client sends."""

    headers: tuple[tuple[str, str], ...]
    """pseudo headers first"""
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The gateway answers itself."""

    status: int
    code: str
    message: str
    param: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What one backend would get; with `refusal`, what the client gets when that backend is picked."""

    backend: str
    headers: tuple[tuple[str, str], ...] = ()
    """pseudo headers included; credentials are in clear: redact before printing"""
    body: bytes = b""
    dropped: tuple[str, ...] = ()
    refusal: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    rule: str
    """`<ns>/<route>/rule/<i>`; empty when none matches"""
    answer: Answer | None = None
    upstreams: tuple[Upstream, ...] = ()


@dataclass(frozen=True, slots=True)
class Filters:
    """The filter with one configuration loaded. Raises filters.runtime.errors.ConfigError (a ValueError)."""

    config: FilterConfig
    document: bytes
    _program: AiFilters = field(init=False)
    _rules: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        program = AiFilters(
            providers=provider_registry.load(),
            endpoints=endpoint_registry.load(),
            clock=Clock(wall=lambda: 0.0, monotonic=lambda: 0.0),
            new_token=lambda: "explain",
        )
        program.prepare(self.document)()
        tokens = {rule.token: rule.name for rule in self.config.rules}
        tokens |= {share.token: rule.name for rule in self.config.rules for share in rule.shares}
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_rules", tokens)

    def paths(self) -> dict[str, str]:
        """Path → endpoint, of everything that clients can POST to."""
        assert self._program.store.newest is not None
        return {path: endpoint.name for path, endpoint in self._program.store.newest.endpoints.items()}

    def send(self, listener: str, request: Request, hosts: Mapping[str, str]) -> Outcome:
        """`listener` as the filter's configuration names it; `hosts`: backend → host name that Envoy would put in."""
        first = self._route(listener, request)
        if isinstance(first, Answer):
            return Outcome(rule="", answer=first)
        rule = next(each for each in self.config.rules if each.name == first.rule)
        if first.reply.body is not None or rule.plan == "single":
            upstream = _upstream(rule.backends[0], request, first.reply, first.reply.body, hosts)
            return Outcome(rule=rule.name, upstreams=(_with_dropped(upstream, first.exchange),))
        return Outcome(rule=rule.name, upstreams=tuple(self._attempts(listener, request, rule.backends, hosts)))

    def sample_path(self) -> str:
        """Where a plain request is sent; empty when there is no endpoint for one."""
        return next((path for path, endpoint in sorted(self.paths().items()) if endpoint in SAMPLES), "")

    def _attempts(
        self, listener: str, request: Request, backends: Iterable[str], hosts: Mapping[str, str]
    ) -> Iterable[Upstream]:
        """Each backend as if it were picked first."""
        for backend in backends:
            routed = self._route(listener, request)
            assert isinstance(routed, _Routed)
            current = _changed(request.headers, routed.reply)
            assert isinstance(routed.exchange, ListenerExchange)
            try:
                reply = routed.exchange.attempt(backend, Headers(current))
            except GatewayError as exc:
                yield Upstream(backend=backend, refusal=_answer(routed.exchange.refuse_attempt(exc)))
                continue
            sent = Request(headers=tuple(current), body=request.body)
            yield _with_dropped(_upstream(backend, sent, reply, reply.body, hosts), routed.exchange)

    def _route(self, listener: str, request: Request) -> "_Routed | Answer":
        exchange = self._program.exchange({LISTENER_HEADER: listener})
        reply = _one(exchange, RequestHeaders(Headers(request.headers), not request.body))
        headers = request.headers
        if isinstance(reply, HeadersReply) and request.body:
            headers = tuple(_changed(headers, reply))
            reply = _one(exchange, RequestBody(request.body))
        if isinstance(reply, ImmediateReply):
            return _answer(reply)
        assert isinstance(reply, BodyReply)
        return _Routed(self._rules[dict(reply.set)[RULE_HEADER]], exchange, reply)


class Backends:
    """Single backends, asked without a match in the way: the same configuration, with one rule for each of them."""

    def __init__(self, config: FilterConfig) -> None:
        self._hosts = {backend.name: f"{number}.backend" for number, backend in enumerate(config.backends)}
        rules = tuple(Rule(name, "", name, "single", (name,)) for name in self._hosts)
        hosts = tuple(VirtualHost((host,), (Match(name),)) for name, host in self._hosts.items())
        asked = msgspec.structs.replace(config, listeners=(Listener("backends", hosts),), rules=rules)
        self._filters = Filters(asked, encode(asked))

    def path(self, backend: str, model: str, *, stream: bool) -> tuple[str, str]:
        """(upstream path of a plain request, why there is none)."""
        path = self._filters.sample_path()
        body = sample(self._filters.paths().get(path, ""), model, stream=stream)
        if body is None:
            return "", "no plain request is known for its endpoints"
        request = Request(headers=head(path, self._hosts[backend]), body=body)
        outcome = self._filters.send("backends", request, {})
        if outcome.answer is not None:
            return "", outcome.answer.message
        return dict(outcome.upstreams[0].headers)[":path"], ""


@dataclass(frozen=True, slots=True)
class _Routed:
    rule: str
    exchange: Exchange
    reply: BodyReply


def sample(endpoint: str, model: str, *, stream: bool = False) -> bytes | None:
    """A plain request; None for an endpoint that has none."""
    members = SAMPLES.get(endpoint)
    if members is None:
        return None
    return jsonlib.encode({"model": model, **members, **({"stream": True} if stream else {})})


def head(path: str, host: str, more: Iterable[tuple[str, str]] = ()) -> tuple[tuple[str, str], ...]:
    """The headers of a JSON request."""
    pairs = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", path)]
    given = list(more)
    if not any(name == "content-type" for name, _ in given):
        given.append(("content-type", "application/json"))
    return (*pairs, *given)


def _one(exchange: Exchange, message: RequestHeaders | RequestBody | ResponseHeaders) -> Reply:
    (reply,) = exchange.on_message(message)
    return reply


def _changed(headers: Iterable[tuple[str, str]], reply: HeadersReply | BodyReply) -> list[tuple[str, str]]:
    """Headers as Envoy has them after a reply."""
    changes = {*reply.remove, *(name for name, _ in reply.set)}
    return [pair for pair in headers if pair[0] not in changes] + list(reply.set)


def _upstream(
    backend: str, request: Request, reply: HeadersReply | BodyReply, body: bytes | None, hosts: Mapping[str, str]
) -> Upstream:
    headers = dict(_changed(request.headers, reply))
    for name in _INTERNAL:
        headers.pop(name, None)
    if hosts.get(backend) and ":authority" not in dict(reply.set):
        headers[":authority"] = hosts[backend]
    ordered = sorted(headers.items(), key=lambda pair: (not pair[0].startswith(":"), pair[0]))
    return Upstream(backend=backend, headers=tuple(ordered), body=request.body if body is None else body)


def _with_dropped(upstream: Upstream, exchange: Exchange) -> Upstream:
    """The exchange names what it left out when the answer begins."""
    reply = _one(exchange, _ANSWER)
    exchange.on_close("end")
    text = dict(reply.set).get(DROPPED_HEADER, "") if isinstance(reply, HeadersReply | BodyReply) else ""
    dropped = tuple(each for each in text.split(", ") if each)
    return Upstream(backend=upstream.backend, headers=upstream.headers, body=upstream.body, dropped=dropped)


def _answer(reply: ImmediateReply) -> Answer:
    code, message, param = reply.details.removeprefix("aigw_"), "", ""
    try:
        members = jsonlib.decode(reply.body, dict[str, object])
    except jsonlib.JsonError:
        members = {}
    error = members.get("error")
    if isinstance(error, dict):
        message, param = str(error.get("message") or ""), str(error.get("param") or "")
    return Answer(status=reply.status, code=code, message=message, param=param)
