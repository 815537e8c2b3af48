"""Plays Envoy for one request: holds the header maps, sends the messages that Envoy would send, does what it is told.

Knows of the data plane only what Envoy knows: the exchanges' messages. Both plans.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

from conformance.case import Answer, Case, CaseError, Plan
from conformance.observation import CREATED, REQUEST_ID, Accounting, Observation, SeenRequest, SeenResponse
from filters.contract.config import (
    DROPPED_HEADER,
    STATIC_METADATA_NAMESPACE,
    FilterConfig,
    Listener,
    Match,
    Rule,
    VirtualHost,
    encode,
)
from filters.contract.headers import Headers
from filters.endpoints import registry as endpoint_registry
from filters.errors import UpstreamError
from filters.extproc.attempt_exchange import BACKEND_ATTRIBUTES, AttemptExchange
from filters.extproc.listener_exchange import EXCHANGE_KEY, ListenerExchange
from filters.extproc.live import LiveRequests
from filters.extproc.messages import (
    BodyMode,
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Message,
    Reply,
    RequestBody,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
)
from filters.providers import registry as provider_registry
from filters.runtime.clock import Clock
from filters.runtime.credentials import Credentials
from filters.runtime.snapshot import Builder, Snapshot
from filters.runtime.store import SnapshotStore
from filters.streams import content_encoding
from filters.telemetry.record import RequestRecord

_LISTENER: Final = "conformance"
_NOT_RECORDED: Final = frozenset({"content-length", "date", "x-envoy-original-path", "te", "transfer-encoding"})
_DATE: Final = ("date", "Thu, 01 Jan 1970 00:00:00 GMT")
"""every HTTP server sends one; Envoy's own answers have none yet where the filter sees them"""


class _HeaderMap:
    """Envoy's header map, and which names were touched."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._items: dict[str, str] = {}
        for name, value in items:
            self._items[name] = f"{self._items[name]}, {value}" if name in self._items else value
        self._touched: set[str] = set()

    def apply(self, pairs: Iterable[tuple[str, str]], remove: Iterable[str]) -> None:
        for name in remove:
            self._touched.add(name)
            self._items.pop(name, None)
        for name, value in pairs:
            self._touched.add(name)
            self._items[name] = value

    def headers(self) -> Headers:
        return Headers(self._items.items())

    def get(self, name: str) -> str:
        return self._items.get(name, "")

    def touched(self) -> dict[str, str | None]:
        """Name → value of what the gateway set, None of what it removed; what is not for files is left out."""
        found: dict[str, str | None] = {}
        for name in sorted(self._touched):
            if name == ":authority":
                found["host"] = self._items.get(name)
            elif not name.startswith((":", "x-ai-eg-")) and name not in _NOT_RECORDED:
                found[name] = self._items.get(name)
        return found

    def all(self) -> dict[str, str | None]:
        kept = {name: value for name, value in self._items.items() if name[0] != ":" and name not in _NOT_RECORDED}
        return {**self.touched(), **kept}


class _Recorder:
    """Remembers what was counted. See `filters.telemetry.record.Recorder`."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.code = ""

    def request(self, record: RequestRecord) -> None:
        self.records.append(record)

    def answer(self, code: str) -> None:
        self.code = code

    def cost_failure(self, key: str) -> None:
        raise AssertionError(f"cost {key}: there is none")

    def dropped(self, schema: str, count: int) -> None:
        pass


class StandIn:
    """`ask`, then, if a request went out, `answer`; then `observation`."""

    def __init__(self, case: Case, plan: Plan) -> None:
        self._case = case
        self._plan = plan
        self._recorder = _Recorder()
        self._live = LiveRequests("0", lambda: REQUEST_ID)
        self._exchange = ListenerExchange(
            _snapshot(case, plan),
            _LISTENER,
            live=self._live,
            clock=Clock(wall=lambda: float(CREATED), monotonic=lambda: 0.0),
            recorder=self._recorder,
        )
        self._seen_request: SeenRequest | None = None
        self._status = 0
        self._response = _HeaderMap(())
        self._body = b""

    def ask(self) -> SeenRequest | None:
        """Sends the client's request. None: the gateway has answered itself."""
        request = _HeaderMap(_client_headers(self._case))
        body = self._case.client_body
        reply = self._send(RequestHeaders(request.headers(), end_of_stream=not body))
        if body and isinstance(reply, HeadersReply):
            request.apply(reply.set, reply.remove)
            reply = self._send(RequestBody(body))
        if isinstance(reply, BodyReply):
            request.apply(reply.set, reply.remove)
            body = body if reply.body is None else reply.body
            if self._plan == "attempt":
                reply = self._attempt(request.headers(), reply)
        if isinstance(reply, HeadersReply):
            assert reply.replace
            assert reply.body is not None
            request.apply(reply.set, reply.remove)
            body = reply.body
        if isinstance(reply, ImmediateReply):
            self._local(reply)
            return None
        touched = request.touched()
        if touched.get("host") == self._case.backend.host:
            del touched["host"]  # what Envoy puts there for that endpoint, whoever asks for it besides
        self._seen_request = SeenRequest(
            method=request.get(":method"),
            path=request.get(":path"),
            headers={"content-type": request.get("content-type") or None, **touched},
            body=body,
            unchanged=body == self._case.client_body,
        )
        return self._seen_request

    def _attempt(self, current: Headers, routed: BodyReply) -> Reply:
        metadata = (routed.metadata or {}).get(STATIC_METADATA_NAMESPACE, {})
        message = RequestHeaders(
            current,
            attributes={BACKEND_ATTRIBUTES[0]: self._case.backend.name},
            metadata={STATIC_METADATA_NAMESPACE: {EXCHANGE_KEY: str(metadata.get(EXCHANGE_KEY))}},
        )
        return _only(AttemptExchange(self._live).on_message(message))

    def answer(self, answer: Answer, cuts: Iterable[int]) -> None:
        """Sends the provider's answer, cut at `cuts`. Raises CaseError for what only Envoy can show."""
        self._status = answer.status
        self._response = _HeaderMap((*answer.headers, _DATE))
        head = Headers(((":status", str(answer.status)), *answer.headers, _DATE))
        reply = self._send(ResponseHeaders(head, end_of_stream=not answer.body))
        if isinstance(reply, ImmediateReply):
            self._local(reply)
            return
        assert isinstance(reply, HeadersReply)
        self._response.apply(reply.set, reply.remove)
        if answer.body:
            self._answer_body(answer, reply.response_body or "NONE", cuts)
        self._exchange.on_close("reset" if answer.cut == "reset" else "end")

    def _answer_body(self, answer: Answer, mode: BodyMode, cuts: Iterable[int]) -> None:
        if mode == "NONE":
            self._body = answer.body
            return
        if mode == "BUFFERED" and answer.cut == "reset":
            raise CaseError(f"{self._case.directory}: what Envoy makes of a broken answer needs Envoy: via: [envoy]")
        edges = (0, *(cuts if mode == "STREAMED" else ()), len(answer.body))
        pieces = [answer.body[left:right] for left, right in itertools.pairwise(edges)]
        for number, piece in enumerate(pieces, 1):
            end = number == len(pieces) and answer.cut != "reset"
            reply = self._send(ResponseBody(piece, end_of_stream=end))
            if isinstance(reply, ImmediateReply):
                self._local(reply)
                return
            assert isinstance(reply, BodyReply)
            self._response.apply(reply.set, reply.remove)
            self._body += piece if reply.body is None else reply.body

    def observation(self) -> Observation:
        return Observation(
            request=self._seen_request,
            response=SeenResponse(status=self._status, headers=self._response.all(), body=self._plain_body()),
            accounting=self._accounting(),
        )

    def _plain_body(self) -> bytes:
        """As an HTTP client shows it: decoded, where it can be."""
        try:
            decoder = content_encoding.decoder(self._response.get("content-encoding"))
            return self._body if decoder is None else decoder.feed(self._body) + decoder.close()
        except UpstreamError:
            return self._body

    def _accounting(self) -> Accounting:
        dropped = tuple(filter(None, self._response.get(DROPPED_HEADER).split(", ")))
        if not self._recorder.records:
            return Accounting(failure=self._recorder.code, dropped=dropped)
        if len(self._recorder.records) > 1:
            raise AssertionError(f"{self._case.name}: counted {len(self._recorder.records)} times")
        record = self._recorder.records[0]
        model = record.labels.response_model
        return Accounting(
            usage=record.usage,
            model="" if model == "unknown" else model,
            failure=record.error,
            dropped=dropped,
        )

    def _send(self, message: Message) -> Reply:
        return _only(self._exchange.on_message(message))

    def _local(self, reply: ImmediateReply) -> None:
        """The client gets this in place of whatever else."""
        self._status = reply.status
        self._response = _HeaderMap(reply.headers)
        self._body = reply.body
        self._exchange.on_close("end")


def _only(replies: Iterable[Reply]) -> Reply:
    (reply,) = replies
    return reply


def _client_headers(case: Case) -> Iterable[tuple[str, str]]:
    yield from ((":method", "POST"), (":path", case.client.path), (":scheme", "http"), (":authority", "gateway.test"))
    yield from case.client.sent_headers().items()
    yield "content-length", str(len(case.client_body))


def _snapshot(case: Case, plan: Plan) -> Snapshot:
    """A gateway with one rule, that serves everything by the case's backend. Raises CaseError."""
    backend = case.backend
    rule = Rule(
        name="conformance/case/rule/0", route="conformance/case", token="t", plan=plan, backends=(backend.name,)
    )
    host = VirtualHost(domains=("*",), matches=(Match(rule=rule.name),))
    config = FilterConfig(
        gateway="conformance/gateway",
        listeners=(Listener(name=_LISTENER, virtual_hosts=(host,)),),
        rules=(rule,),
        backends=(backend,),
        credentials={backend.credential: case.credential} if case.credential is not None else {},
    )
    providers = provider_registry.load()
    _check_served(case, providers.get(backend.schema.name))
    credentials = Credentials()
    builder = Builder(providers=providers, endpoints=endpoint_registry.load(), credentials=credentials)
    store = SnapshotStore(builder, credentials)
    store.load(encode(config))
    assert store.newest is not None
    return store.newest


def _check_served(case: Case, provider: object) -> None:
    routes: Mapping[str, object] = getattr(provider, "routes", {})
    if case.endpoint not in routes:
        raise CaseError(f"{case.directory}: no provider serves {case.endpoint} for schema {case.backend.schema.name}")
