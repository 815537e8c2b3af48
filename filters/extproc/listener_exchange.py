"""The listener-level conversation about one request, in both plans: a table of (state, message) → step.

    START ── request headers ──► BODY ── request body ──► ROUTED ── response headers ──► ANSWER ── body … ──► DONE

`single`: the body's reply carries everything that the provider gets. `attempt`: it names the rule, and each attempt
(`filters.extproc.attempt_exchange`) does the rest for the host that Envoy picked. The answer is handled here in both.
Whatever comes in another order is passed on unchanged: without a rule's token it meets no provider.
"""

import enum
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final
from urllib.parse import unquote

from filters.contract import jsonlib
from filters.contract.config import (
    METADATA_NAMESPACE,
    MODEL_HEADER,
    ORIGINAL_PATH_HEADER,
    RULE_HEADER,
    STATIC_METADATA_NAMESPACE,
    Plan,
)
from filters.contract.headers import Headers
from filters.endpoints import errors
from filters.endpoints.base import Endpoint
from filters.errors import (
    GatewayError,
    InternalError,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Unavailable,
)
from filters.extproc import answers, client_body, envoy_answers
from filters.extproc.exchange import CloseReason
from filters.extproc.live import LiveRequests
from filters.extproc.messages import (
    CONTINUE_REQUEST_HEADERS,
    CONTINUE_RESPONSE_HEADERS,
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Message,
    Pairs,
    Reply,
    RequestBody,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    pass_through,
)
from filters.extproc.provider_answer import ProviderAnswer
from filters.runtime.accounting import Accounting
from filters.runtime.attempt import Attempt, ClientRequest, prepare
from filters.runtime.clock import Clock
from filters.runtime.patterns import wire
from filters.runtime.snapshot import ReadyBackend, ReadyRule, Snapshot
from filters.telemetry.record import Recorder

logger = logging.getLogger(__name__)

EXCHANGE_KEY: Final = "exchange"
"""in STATIC_METADATA_NAMESPACE: id of the request, for its attempts (docs/adr/0005)"""


class State(enum.IntEnum):  # of int, whose hash is C: states are looked up with every message
    START = enum.auto()
    BODY = enum.auto()
    """waiting for the client's body"""
    ROUTED = enum.auto()
    """the request is on its way"""
    ANSWER = enum.auto()
    """the provider's body is read or translated"""
    ENVOYS_BODY = enum.auto()
    """an error text of Envoy's own is being collected"""
    DONE = enum.auto()
    """nothing more to do: messages pass"""


class ListenerExchange:
    """See `filters.extproc.exchange.Exchange`."""

    __slots__ = (
        "_accounting",
        "_answer",
        "_attempt",
        "_clock",
        "_endpoint",
        "_headers",
        "_id",
        "_listener",
        "_live",
        "_recorder",
        "_request",
        "_rule",
        "_snapshot",
        "_state",
        "_status",
    )

    def __init__(
        self, snapshot: Snapshot | None, listener: str, *, live: LiveRequests, clock: Clock, recorder: Recorder
    ) -> None:
        """`snapshot` is None when no configuration was loaded yet; `listener` is the name in the stream's metadata."""
        self._snapshot = snapshot
        self._listener = listener
        self._live = live
        self._clock = clock
        self._recorder = recorder
        self._state = State.START
        self._headers = _NO_HEADERS
        self._endpoint: Endpoint | None = None
        self._id = ""
        self._rule: ReadyRule | None = None
        self._request: ClientRequest | None = None
        self._attempt: Attempt | None = None
        self._accounting: Accounting | None = None
        self._status = 0
        self._answer: ProviderAnswer | None = None

    # ── what the server calls ────────────────────────────────────────────────────────────────────────────────────────

    def on_message(self, message: Message) -> Sequence[Reply]:
        step = self._STEPS.get((self._state, type(message)))
        if step is None:
            return (pass_through(message),)
        try:
            return (step(self, message),)
        except GatewayError as exc:
            return (self._refuse(exc),)

    def on_close(self, reason: CloseReason) -> None:
        if self._id:
            self._live.discard(self._id)
        if self._accounting is None:
            return
        if self._state is not State.DONE:
            # Before the answer's end: Envoy resets this stream when the client goes away and when the provider breaks
            # off, and says not which.
            self._accounting.fail("aborted" if reason in ("reset", "end") else f"aborted_{reason}")
        self._accounting.close()

    # ── what attempts call ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def render_error(self) -> Callable[[GatewayError], bytes]:
        return errors.render if self._endpoint is None else self._endpoint.render_error

    def attempt(self, backend_name: str, current: Headers) -> HeadersReply:
        """Prepares the next attempt, at the backend that Envoy picked, and makes it the one whose answer counts.

        `current` is Envoy's header map as earlier attempts left it. Raises filters.errors.GatewayError.
        """
        request, rule = self._request, self._rule
        if request is None or rule is None or self._state is not State.ROUTED:
            raise InternalError("an attempt came before its request or after its answer", code="unknown_exchange")
        backend = rule.backends.get(backend_name)
        if backend is None:
            raise InternalError(f"rule {rule.config.name} has no backend {backend_name!r}", code="unknown_backend")
        attempt = self._begin(request, rule, backend, current, replace=True)
        assert attempt.body is not None  # replace=True
        assert self._accounting is not None
        return HeadersReply(
            phase="request",
            set=(*attempt.set, (":authority", attempt.authority)) if attempt.authority else attempt.set,
            remove=attempt.remove,
            replace=True,
            body=attempt.body,
            metadata={
                METADATA_NAMESPACE: {"content_length": len(attempt.body), **self._accounting.identity()},
            },
        )

    def refuse_attempt(self, failure: GatewayError) -> ImmediateReply:
        """The answer for an attempt that cannot be made; the listener level then lets it pass untouched."""
        return self._refuse(failure)

    # ── request ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_request_headers(self, message: Message) -> Reply:
        assert isinstance(message, RequestHeaders)
        self._headers = headers = message.headers
        snapshot = self._snapshot
        if snapshot is None:
            raise Unavailable("the gateway has no configuration yet", code="no_configuration")
        path = headers.get(":path").partition("?")[0]
        endpoint = snapshot.endpoints.get(path)
        if endpoint is None:
            return self._listing(snapshot, path)
        self._endpoint = endpoint
        if headers.get(":method") != "POST":
            return self._wrong_method("POST, OPTIONS")
        if message.end_of_stream:
            raise MalformedRequest("malformed request: the body is empty", code="missing_body")
        self._state = State.BODY
        strange = tuple([name for name in headers if name.startswith("x-ai-eg-")])
        return HeadersReply(phase="request", remove=strange) if strange else CONTINUE_REQUEST_HEADERS

    def _listing(self, snapshot: Snapshot, path: str) -> Reply:
        """`/v1/models` and `/v1/models/{id}`. Raises NotFound for every other path."""
        family = snapshot.listings.get(path)
        model_id = ""
        if family is None:
            for prefix, candidate in snapshot.listings.items():
                if path.startswith(prefix + "/"):
                    family, model_id = candidate, unquote(path[len(prefix) + 1 :])
                    break
            else:
                raise NotFound(f"unknown path {path}", code="unknown_path")
        if self._headers.get(":method") not in ("GET", "HEAD"):
            return self._wrong_method("GET, HEAD, OPTIONS")
        index = snapshot.listener(self._listener)
        listing = None if index is None else index.listing(self._headers.get(":authority"))
        body = None if listing is None else listing.one(family, model_id) if model_id else listing.all(family)
        if body is None:
            raise NotFound(_no_model(model_id) if model_id else "no models on this host", code="model_not_found")
        self._state = State.DONE
        return ImmediateReply(status=200, body=body, headers=(answers.JSON,), details="aigw_models")

    def _wrong_method(self, allowed: str) -> Reply:
        method = self._headers.get(":method")
        if method == "OPTIONS":
            self._state = State.DONE
            return ImmediateReply(status=204, headers=(("allow", allowed),), details="aigw_options")
        failure = MethodNotAllowed(f"method {method[:20]} is not supported here", code="method_not_allowed")
        return self._refuse(failure, headers=(("allow", allowed),))

    def _on_request_body(self, message: Message) -> Reply:
        assert isinstance(message, RequestBody)
        assert self._endpoint is not None
        assert self._snapshot is not None
        headers = self._headers
        body, decoded = client_body.plain(message.body, headers.get("content-encoding"))
        try:
            parsed = self._endpoint.parse(body, headers.get("content-type"))
        except MalformedRequest:
            better = jsonlib.mended(body)
            if better == body:
                raise
            body, decoded = better, True
            parsed = self._endpoint.parse(body, headers.get("content-type"))
        index = self._snapshot.listener(self._listener)
        if index is None:
            raise InternalError(f"listener {self._listener!r} is not configured", code="unknown_listener")
        rule = index.find(headers.get(":authority"), headers, parsed.model)
        if rule is None:
            raise NotFound(_no_model(parsed.model), code="model_not_found", param="model")
        self._rule = rule
        self._id = self._live.new_id()
        self._request = request = ClientRequest(
            endpoint=self._endpoint,
            parsed=parsed,
            headers=headers,
            body=body,
            decoded=decoded,
            created=int(self._clock.wall()),
            id=self._live.public(self._id),
        )
        path = headers.get(":path")
        routing = (
            (MODEL_HEADER, wire(parsed.model)),
            (RULE_HEADER, rule.token(self._id)),
            (ORIGINAL_PATH_HEADER, path),
            ("x-envoy-original-path", path),
        )
        return self._ROUTING[rule.config.plan](self, request, rule, routing)

    def _route_single(self, request: ClientRequest, rule: ReadyRule, routing: Pairs) -> Reply:
        attempt = self._begin(request, rule, rule.sole(), request.headers)
        assert self._accounting is not None
        self._state = State.ROUTED
        # `attempt.authority` is for the rule's route to set (extension_server/xds/routes.py).
        return BodyReply(
            phase="request",
            body=attempt.body,
            set=routing + attempt.set,
            remove=attempt.remove,
            clear_route_cache=True,
            metadata={METADATA_NAMESPACE: self._accounting.identity()},
        )

    def _route_attempts(self, request: ClientRequest, rule: ReadyRule, routing: Pairs) -> Reply:
        self._live.add(self._id, self)
        self._state = State.ROUTED
        return BodyReply(
            phase="request",
            set=routing,
            clear_route_cache=True,
            metadata={STATIC_METADATA_NAMESPACE: {EXCHANGE_KEY: self._id}},
        )

    def _begin(
        self, request: ClientRequest, rule: ReadyRule, backend: ReadyBackend, current: Headers, *, replace: bool = False
    ) -> Attempt:
        attempt = prepare(
            request, backend, current=current, previous=self._attempt, replace=replace, now=self._clock.wall()
        )
        self._attempt = attempt
        if self._accounting is None:
            self._accounting = Accounting(request, rule, attempt, self._clock, self._recorder)
        else:
            self._accounting.begin(attempt)
        return attempt

    # ── response ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_response_headers(self, message: Message) -> Reply:
        assert isinstance(message, ResponseHeaders)
        headers = message.headers
        self._status = status = _status(headers)
        if envoy_answers.may_be_envoys(status, headers):
            return self._envoy_answered(message)
        if self._attempt is None or self._accounting is None:
            self._state = State.DONE
            return CONTINUE_RESPONSE_HEADERS
        self._answer = ProviderAnswer(self._attempt, self._accounting, status, headers)
        return self._answer_head(self._answer, end=message.end_of_stream)

    def _answer_head(self, answer: ProviderAnswer, *, end: bool) -> Reply:
        reply = answer.head(end=end)
        self._state = State.DONE if answer.over else State.ANSWER
        return reply

    def _on_response_body(self, message: Message) -> Reply:
        assert isinstance(message, ResponseBody)
        assert self._answer is not None
        reply = self._answer.body(message)
        if self._answer.over:
            self._state = State.DONE
        return reply

    def _on_response_trailers(self, message: Message) -> Reply:
        assert self._answer is not None
        self._answer.trailers()
        self._state = State.DONE
        return pass_through(message)

    # ── answers that are not the provider's ──────────────────────────────────────────────────────────────────────────

    def _envoy_answered(self, message: ResponseHeaders) -> Reply:
        if message.end_of_stream:
            failure = envoy_answers.error_of(self._status, b"")
            return self._refuse(failure, headers=answers.carried(message.headers))
        # Its text will tell.
        self._headers = message.headers
        self._state = State.ENVOYS_BODY
        return HeadersReply(phase="response", response_body="BUFFERED")

    def _on_envoys_body(self, message: Message) -> Reply:
        assert isinstance(message, ResponseBody)
        attempt, accounting = self._attempt, self._accounting
        if attempt is not None and accounting is not None and not envoy_answers.is_envoys(message.body):
            answer = ProviderAnswer(attempt, accounting, self._status, self._headers)
            self._state = State.DONE
            return answer.whole(message.body)
        failure = envoy_answers.error_of(self._status, message.body)
        self._finish(failure.code)
        body = self.render_error(failure)
        return BodyReply(phase="response", body=body, set=(answers.JSON, ("content-length", str(len(body)))))

    def _refuse(self, failure: GatewayError, *, headers: Pairs = ()) -> ImmediateReply:
        if isinstance(failure, InternalError):
            logger.error("%s: %s", failure.code, failure.message)
        self._finish(failure.code)
        return answers.error(failure, self.render_error, headers=headers)

    def _finish(self, code: str) -> None:
        self._state = State.DONE
        self._recorder.answer(code)
        if self._accounting is not None:
            self._accounting.fail(code)
            self._accounting.close()

    # ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────

    _STEPS: ClassVar[Mapping[tuple[State, type], Callable[["ListenerExchange", Message], Reply]]] = {
        (State.START, RequestHeaders): _on_request_headers,
        (State.BODY, RequestBody): _on_request_body,
        (State.BODY, ResponseHeaders): _on_response_headers,  # Envoy refuses the body: too large, too slow
        (State.ROUTED, ResponseHeaders): _on_response_headers,
        (State.ANSWER, ResponseBody): _on_response_body,
        (State.ANSWER, ResponseTrailers): _on_response_trailers,
        (State.ENVOYS_BODY, ResponseBody): _on_envoys_body,
    }
    """A pair that is not here passes: a stream that begins with response headers (an earlier filter answered), what
    comes after an answer, and what breaks the protocol."""

    _ROUTING: ClassVar[Mapping[Plan, Callable[["ListenerExchange", ClientRequest, ReadyRule, Pairs], Reply]]] = {
        "single": _route_single,
        "attempt": _route_attempts,
    }


_NO_HEADERS: Final = Headers(())


def _status(headers: Headers) -> int:
    text = headers.get(":status")
    return int(text) if text.isascii() and text.isdecimal() and len(text) == 3 else 502


def _no_model(model: str) -> str:
    return f"model {model[:256]} is not configured on this host; GET /v1/models lists those that are"
