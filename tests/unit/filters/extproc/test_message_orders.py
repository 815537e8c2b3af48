"""Whatever comes in whatever order is answered, once, and never lets a request through without its rule's token."""

import gzip
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from filters.contract import config
from filters.contract.headers import Headers
from filters.contract.translation import Output
from filters.errors import BadUpstreamAnswer, TruncatedStream
from filters.extproc.messages import (
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Message,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    TrailersReply,
)
from tests.support.gateway import BODY, UPSTREAM_METADATA, USAGE, Gateway, attempt_message, backend, configuration

NAME = backend().name

text = st.sampled_from(["", "x", "gzip", "br, gzip", "lzma", "text/plain", "multipart/form-data", "\xff"])
request_headers = st.builds(
    lambda method, path, coding, kind: Headers(
        [
            (":method", method),
            (":path", path),
            (":authority", "h"),
            *([("content-encoding", coding)] if coding else []),
            *([("content-type", kind)] if kind else []),
            ("x-ai-eg-rule", "guess"),
        ]
    ),
    st.sampled_from(["POST", "GET", "OPTIONS", ""]),
    st.sampled_from(["/v1/chat/completions", "/v1/chat/completions?x", "/v1/models", "/v1/models/%zz", "", "/"]),
    text,
    text,
)
response_headers = st.builds(
    lambda status, coding, kind, date: Headers(
        [
            *([(":status", status)] if status else []),
            *([("content-encoding", coding)] if coding else []),
            *([("content-type", kind)] if kind else []),
            *([("date", "now")] if date else []),
        ]
    ),
    st.sampled_from(["200", "204", "404", "429", "503", "x", "", "9999"]),
    text,
    text,
    st.booleans(),
)
bodies = st.sampled_from([BODY, b"", b"{", b"null", gzip.compress(BODY), b"no healthy upstream", b'{"model":"other"}'])
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(RequestHeaders, request_headers, st.booleans()),
    st.builds(RequestBody, bodies, st.booleans()),
    st.builds(RequestTrailers),
    st.builds(ResponseHeaders, response_headers, st.booleans()),
    st.builds(ResponseBody, bodies, st.booleans()),
    st.builds(ResponseTrailers),
)
# Mostly in Envoy's order, so that the deep states are reached too.
usual = st.tuples(
    st.just(RequestHeaders(Headers([(":method", "POST"), (":path", "/v1/chat/completions"), (":authority", "h")]))),
    st.just(RequestBody(BODY)),
    st.builds(ResponseHeaders, response_headers, st.booleans()),
).map(list)
conversations = st.one_of(
    st.lists(messages, max_size=8),
    st.tuples(usual, st.lists(messages, max_size=6)).map(lambda parts: [*parts[0], *parts[1]]),
)


def _raising(data: bytes, end: bool) -> Output:
    raise BadUpstreamAnswer("unreadable", code="bad_answer")


ANSWERS: dict[str, list[Callable[[bytes, bool], Output]]] = {
    "pass": [lambda data, end: Output()],
    "observe": [lambda data, end: Output(usage=USAGE if end else None)],
    "stream": [
        lambda data, end: Output(body=data, content=True),
        lambda data, end: Output(body=b"", failure=TruncatedStream("cut", code="cut") if end else None),
    ],
    "buffer": [lambda data, end: Output(body=data), _raising],
}
LEGAL = {
    RequestHeaders: (HeadersReply, ImmediateReply),
    RequestBody: (BodyReply, ImmediateReply),
    RequestTrailers: (TrailersReply,),
    ResponseHeaders: (HeadersReply, ImmediateReply),
    ResponseBody: (BodyReply, ImmediateReply),
    ResponseTrailers: (TrailersReply,),
}


@settings(max_examples=600, deadline=None)
@given(
    conversations,
    st.sampled_from([(mode, number) for mode, answers in ANSWERS.items() for number in range(len(answers))]),
    st.sampled_from(["single", "attempt"]),
    st.sets(st.integers(0, 8), max_size=3),
    st.sampled_from(["end", "reset", "connection", "deadline", "error", "shutdown"]),
)
def test_every_message_is_answered_in_kind_in_any_order(
    conversation: list[Message], answer: tuple[str, int], plan: config.Plan, attempts: set[int], reason: str
) -> None:
    gateway = Gateway(configuration(plan=plan, costs=(config.Cost("tokens", "TotalToken"),)))
    mode, number = answer
    gateway.script.mode = mode  # type: ignore[assignment]
    gateway.script.answer = ANSWERS[mode][number]
    exchange = gateway.open()
    for index, message in enumerate(conversation):
        (reply,) = exchange.on_message(message)
        assert isinstance(reply, LEGAL[type(message)])
        if isinstance(reply, HeadersReply | BodyReply):
            assert reply.phase == ("request" if isinstance(message, RequestHeaders | RequestBody) else "response")
            token = dict(reply.set).get(config.RULE_HEADER)
            assert token in (None, "token-0")
            assert (token is None) == (not (isinstance(reply, BodyReply) and reply.clear_route_cache))
        if index in attempts:
            attempted = gateway.open(UPSTREAM_METADATA).on_message(attempt_message("0-t0", NAME, Headers(())))
            assert len(attempted) == 1
    exchange.on_close(reason)  # type: ignore[arg-type]
    assert gateway.filters.in_flight == 0
    counted = [
        sum(distribution.buckets)
        for spec, series in gateway.filters.aggregate.histograms()
        if spec.name == "gen_ai.server.request.duration"
        for distribution in series.values()
    ]
    assert sum(counted) <= 1
    assert sum(end for _, end in gateway.script.fed) <= 1
