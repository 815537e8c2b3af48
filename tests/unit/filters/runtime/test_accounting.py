"""Tokens are counted exactly once, however a request ends; the metadata goes with the reply that first knows them."""

from collections.abc import Callable
from typing import Any

import pytest

from filters.contract import config
from filters.contract.config import Cost, Schema
from filters.contract.headers import Headers
from filters.contract.translation import Output
from filters.contract.usage import Usage
from filters.errors import TruncatedStream
from filters.extproc.exchange import Exchange
from filters.extproc.messages import BodyReply, HeadersReply, ImmediateReply, Message, ResponseBody, ResponseHeaders
from tests.support.gateway import USAGE, Gateway, Script, backend, configuration, headers, one

COSTS = (Cost("tokens", "TotalToken"), Cost("twice", "CEL", "output_tokens * 2u"))
STREAM = b'{"model":"m","stream":true}'
UNARY = b'{"model":"m"}'
OK = ResponseHeaders(Headers([(":status", "200"), ("date", "now")]))
LATER = Usage(output=9, total=19)


def tells(usage: dict[bytes, Usage], failure: str = "") -> Callable[[bytes, bool], Output]:
    """A provider that tells its usage in the chunks that are named, and content in those that begin with `c`."""

    def answer(data: bytes, end: bool) -> Output:
        return Output(
            usage=usage.get(data),
            model="m-1" if data else "",
            content=data.startswith(b"c"),
            failure=TruncatedStream("cut", code=failure) if failure and end else None,
        )

    return answer


def chunk(data: bytes, *, end: bool = False) -> ResponseBody:
    return ResponseBody(data, end)


class Seen:
    """What was told: cost metadata by message, and the one record of the metrics."""

    def __init__(self, gateway: Gateway, body: bytes, answer: list[Message], close: str) -> None:
        self.told: list[tuple[int, dict[str, Any]]] = []
        exchange = gateway.open()
        gateway.send(exchange, body=body)
        for index, message in enumerate(answer):
            gateway.time.now += 0.1
            self._note(index, exchange, message)
        exchange.on_close(close)  # type: ignore[arg-type]
        self.metrics = _metrics(gateway)

    def _note(self, index: int, exchange: Exchange, message: Message) -> None:
        reply = one(exchange.on_message(message))
        assert isinstance(reply, HeadersReply | BodyReply | ImmediateReply)
        members = dict((reply.metadata or {}).get(config.METADATA_NAMESPACE, {}))
        if "tokens" in members:
            self.told.append((index, members))


def _metrics(gateway: Gateway) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for spec, series in gateway.filters.aggregate.histograms():
        for (labels, extra), distribution in series.items():
            assert sum(distribution.buckets) == 1
            assert labels.original_model == "m"
            seen[f"{spec.name.rpartition('.')[2]}:{extra}"] = pytest.approx(distribution.sum)
    return seen


def counted(usage: Usage) -> dict[str, Any]:
    named = {
        "input": usage.input,
        "output": usage.output,
        "cached_input": usage.cached,
        "cache_creation_input": usage.cache_creation,
        "reasoning": usage.reasoning,
    }
    return {f"usage:{name}": value for name, value in named.items() if value is not None}


def failed(status: str) -> ResponseHeaders:
    return ResponseHeaders(Headers([(":status", status), *([("date", "x")] if status == "429" else [])]))


END = chunk(b"", end=True)
CUT_AFTER, CUT_BEFORE = [OK, chunk(b"u"), chunk(b"c")], [OK, chunk(b"c")]

# name → body, answer, how the stream closes, indexes of the replies that told, usage counted, error
Case = tuple[bytes, list[Message], str, list[int], Usage | None, str]
CASES: dict[str, Case] = {
    "unary": (UNARY, [OK, chunk(b"u", end=True)], "reset", [1], USAGE, ""),
    "stream": (STREAM, [OK, chunk(b"c1"), chunk(b"u"), END], "end", [2], USAGE, ""),
    "usage in the last chunk": (STREAM, [OK, chunk(b"c1"), chunk(b"u", end=True)], "reset", [2], USAGE, ""),
    "usage in every chunk": (
        STREAM,
        [OK, chunk(b"u"), chunk(b"u"), chunk(b"v"), END],
        "reset",
        [1, 3],
        USAGE.merged(LATER),
        "",
    ),
    "stream without usage": (STREAM, [OK, chunk(b"c1"), END], "reset", [2], None, ""),
    "hang-up after the last chunk": (STREAM, [OK, chunk(b"c1"), chunk(b"u")], "reset", [2], USAGE, "aborted"),
    "hang-up after a count": (STREAM, CUT_AFTER, "reset", [1], USAGE, "aborted"),
    "hang-up before a count": (STREAM, CUT_BEFORE, "reset", [], None, "aborted"),
    "hang-up before the answer": (STREAM, [], "reset", [], None, "aborted"),
    "Envoy is gone": (STREAM, [OK, chunk(b"u")], "connection", [1], USAGE, "aborted_connection"),
    "upstream error": (UNARY, [failed("429"), chunk(b"e", end=True)], "reset", [], None, "429"),
    "Envoy's own error": (
        UNARY,
        [failed("503"), chunk(b"no healthy upstream", end=True)],
        "reset",
        [],
        None,
        "no_healthy_upstream",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("plan", ["single", "attempt"])
def test_usage_is_counted_exactly_once(case: str, plan: config.Plan) -> None:
    body, answer, close, told, usage, error = CASES[case]
    gateway = Gateway(configuration(costs=COSTS, plan=plan))
    gateway.script.answer = tells({b"u": USAGE, b"v": LATER})
    if plan == "attempt":
        gateway = _with_attempt(gateway)
    seen = Seen(gateway, body, answer, close)
    assert [index for index, _ in seen.told] == told
    expected = usage or Usage()
    if told:
        last = seen.told[-1][1]
        assert (last["tokens"], last["twice"]) == (expected.total or 0, 2 * (expected.output or 0))
        assert last["response_model"] == "m-1"
        assert ("route_name" in last) == (plan == "attempt")
    assert {name: value for name, value in seen.metrics.items() if name.startswith("usage:")} == counted(expected)
    assert [name for name in seen.metrics if name.startswith("duration:")] == [f"duration:{error}"]


def _with_attempt(gateway: Gateway) -> Gateway:
    """The gateway, with an attempt made as soon as a request is routed."""
    send = gateway.send

    def send_and_attempt(exchange: Exchange, **request: Any) -> Any:
        routed = send(exchange, **request)
        gateway.attempt(routed, backend().name, headers())
        return routed

    gateway.send = send_and_attempt  # type: ignore[method-assign]
    return gateway


def test_a_stream_cut_by_the_provider_is_charged_for_what_was_seen() -> None:
    gateway = Gateway(configuration(costs=COSTS))
    gateway.script.mode = "stream"
    gateway.script.answer = tells({b"u": USAGE}, failure="truncated_stream")
    seen = Seen(gateway, STREAM, [OK, chunk(b"u"), chunk(b"", end=True)], "reset")
    assert [index for index, _ in seen.told] == [1]
    assert "duration:truncated_stream" in seen.metrics
    assert "usage:input" in seen.metrics


def test_only_the_last_attempt_is_counted() -> None:
    one_, two = (
        backend("ns/one/route/r/rule/0/ref/0"),
        backend("ns/two/route/r/rule/0/ref/1", schema=Schema("Anthropic")),
    )
    scripts = {"OpenAI": Script(), "Anthropic": Script(answer=tells({b"u": USAGE}))}
    gateway = Gateway(configuration(one_, two, plan="attempt", costs=COSTS), scripts=scripts)
    exchange = gateway.open()
    routed = gateway.send(exchange)
    gateway.attempt(routed, one_.name, headers())
    gateway.time.now += 5
    gateway.attempt(routed, two.name, headers())
    gateway.time.now += 1
    exchange.on_message(OK)
    exchange.on_message(chunk(b"u", end=True))
    exchange.on_close("reset")
    assert _metrics(gateway)["duration:"] == pytest.approx(1)
    ((_, series), *_) = gateway.filters.aggregate.histograms()
    assert {labels.provider for labels, _ in series} == {"anthropic"}


def test_latencies_of_a_stream_begin_with_its_first_content() -> None:
    gateway = Gateway(configuration(costs=COSTS))
    gateway.script.answer = tells({b"u": USAGE})
    answer: list[Message] = [OK, chunk(b"ping"), chunk(b"c1"), chunk(b"c2"), chunk(b"u"), chunk(b"", end=True)]
    seen = Seen(gateway, STREAM, answer, "end")
    ((_, members),) = seen.told
    assert members["token_latency_ttft"] == 300
    assert members["token_latency_itl"] == pytest.approx(200 / 4)
    assert seen.metrics["time_to_first_token:"] == pytest.approx(0.3)
    assert seen.metrics["time_per_output_token:"] == pytest.approx(0.3 / 4)


def test_without_any_cost_the_metadata_is_told_all_the_same() -> None:
    gateway = Gateway(configuration())
    exchange = gateway.open()
    gateway.send(exchange)
    exchange.on_message(OK)
    reply = one(exchange.on_message(chunk(b"x", end=True)))
    assert isinstance(reply, BodyReply)
    assert reply.metadata == {config.METADATA_NAMESPACE: {"response_model": "m-1"}}


def test_a_failing_cost_leaves_the_answer_alone_and_is_counted() -> None:
    failing = (
        Cost("bad", "CEL", "total_tokens == 0u ? 0u : output_tokens - input_tokens"),
        Cost("tokens", "TotalToken"),
    )
    gateway = Gateway(configuration(costs=failing))
    exchange = gateway.open()
    gateway.send(exchange)
    exchange.on_message(OK)
    reply = one(exchange.on_message(chunk(b"x", end=True)))
    assert isinstance(reply, BodyReply)
    assert reply.metadata == {config.METADATA_NAMESPACE: {"response_model": "m-1", "tokens": 15}}
    assert dict(gateway.filters.aggregate.counters())["aigw.cost.failures"] == {"bad": 1}
