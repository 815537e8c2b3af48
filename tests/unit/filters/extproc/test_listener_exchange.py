"""The listener-level conversation: what each message is answered with, in both plans."""

import gzip
import logging

import msgspec
import pytest

from filters.contract import config, jsonlib
from filters.contract.config import BodyMutation, HeaderCredential, HeaderMutation, Match, Model, Schema
from filters.contract.headers import Headers
from filters.contract.secret import Secret
from filters.contract.translation import Output
from filters.errors import BadUpstreamAnswer, TruncatedStream, Unprocessable
from filters.extproc.messages import (
    CONTINUE_REQUEST_HEADERS,
    CONTINUE_RESPONSE_BODY,
    CONTINUE_RESPONSE_HEADERS,
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Reply,
    RequestBody,
    ResponseBody,
    ResponseHeaders,
)
from tests.support.gateway import BODY, Gateway, backend, configuration, headers, one, request

NAMESPACE = config.METADATA_NAMESPACE
IDENTITY = {
    "backend_name": "ns/b/route/r/rule/0/ref/0",
    "ai_service_backend_name": "ns/b",
    "model_name_override": "m",
    "route_name": "ns/r",
}


def error(reply: Reply) -> tuple[int, str, str]:
    assert isinstance(reply, ImmediateReply)
    body = jsonlib.decode(reply.body, dict[str, dict[str, str] | str])
    assert isinstance(body["error"], dict)
    assert ("content-type", "application/json") in reply.headers
    return reply.status, body["error"]["code"], body["error"]["message"]


def response(**extra: str) -> ResponseHeaders:
    return ResponseHeaders(
        Headers(((":status", "200"), ("date", "now"), *((k.replace("_", "-"), v) for k, v in extra.items())))
    )


def failed(status: int, *extra: tuple[str, str], end: bool = False) -> ResponseHeaders:
    return ResponseHeaders(Headers(((":status", str(status)), *extra)), end)


# ── request ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_body_reply_of_plan_single_carries_everything_that_the_provider_gets() -> None:
    gateway = Gateway(configuration(backend(credential=HeaderCredential("authorization", Secret("Bearer k")))))
    gateway.script.body = b'{"translated":1}'
    gateway.script.headers = (("content-type", "application/json"), ("x-provider", "1"))
    exchange = gateway.open()

    assert exchange.on_message(request({"authorization": "Bearer client", "x-api-key": "client"})) == (
        CONTINUE_REQUEST_HEADERS,
    )
    reply = one(exchange.on_message(RequestBody(BODY)))

    assert reply == BodyReply(
        phase="request",
        body=b'{"translated":1}',
        set=(
            ("x-ai-eg-model", "m"),
            ("x-ai-eg-rule", "token-0"),
            ("x-ai-eg-original-path", "/v1/chat/completions"),
            ("x-envoy-original-path", "/v1/chat/completions"),
            ("x-provider", "1"),
            ("authorization", "Bearer k"),
            (":path", "/up/chat"),
            ("content-length", "16"),
        ),
        remove=("x-api-key",),
        clear_route_cache=True,
        metadata={NAMESPACE: IDENTITY},
    )


def test_a_passed_through_body_is_left_to_envoy() -> None:
    gateway = Gateway(configuration())
    reply = gateway.send(gateway.open())
    assert isinstance(reply, BodyReply)
    assert reply.body is None
    assert "content-length" not in dict(reply.set)


def test_without_a_credential_of_its_own_the_client_s_goes_through() -> None:
    gateway = Gateway(configuration())
    reply = gateway.send(gateway.open(), headers={"authorization": "Bearer client"})
    assert isinstance(reply, BodyReply)
    assert reply.remove == ()
    assert "authorization" not in dict(reply.set)


def test_what_a_client_sends_under_internal_names_is_removed_and_ignored() -> None:
    gateway = Gateway(configuration(matches=(Match("ns/r/rule/0", "m"),)))
    exchange = gateway.open()
    first = one(exchange.on_message(request({"x-ai-eg-model": "other", "x-ai-eg-rule": "guess"})))
    assert first == HeadersReply(phase="request", remove=("x-ai-eg-model", "x-ai-eg-rule"))
    reply = one(exchange.on_message(RequestBody(BODY)))
    assert isinstance(reply, BodyReply)
    assert dict(reply.set)["x-ai-eg-model"] == "m"


def test_a_model_name_beyond_ascii_travels_as_utf_8() -> None:
    gateway = Gateway(configuration(matches=(Match("ns/r/rule/0", "modèle"),)))
    reply = gateway.send(gateway.open(), body='{"model":"modèle"}'.encode())
    assert isinstance(reply, BodyReply)
    assert dict(reply.set)["x-ai-eg-model"].encode("latin-1") == "modèle".encode()


def test_a_compressed_request_is_decoded_for_the_translator_and_the_provider() -> None:
    gateway = Gateway(configuration())
    reply = gateway.send(gateway.open(), body=gzip.compress(BODY), headers={"content-encoding": "GZIP"})
    assert isinstance(reply, BodyReply)
    assert reply.body == BODY
    assert reply.remove == ("content-encoding",)
    assert dict(reply.set)["content-length"] == str(len(BODY))
    assert gateway.script.calls[0].body == BODY


def test_the_provider_is_offered_only_codings_that_can_be_undone() -> None:
    gateway = Gateway(configuration())
    reply = gateway.send(gateway.open(), headers={"accept-encoding": "gzip, compress, br"})
    assert isinstance(reply, BodyReply)
    assert dict(reply.set)["accept-encoding"] == "gzip, br"


def test_mutations_come_after_translation_and_before_credentials() -> None:
    gateway = Gateway(
        configuration(
            backend(
                credential=HeaderCredential("api-key", Secret("k")),
                header_mutation=HeaderMutation(
                    set=(("x-set", "1"), ("api-key", "theirs"), ("x-ai-eg-rule", "no"), (":path", "/no")),
                    remove=("x-drop", "x-set", "x-provider"),
                ),
                body_mutation=BodyMutation(set=(("seed", "7"),), remove=("messages",)),
            )
        )
    )
    gateway.script.headers = (("x-provider", "1"),)
    reply = gateway.send(gateway.open(), headers={"x-drop": "1"})
    assert isinstance(reply, BodyReply)
    sent = dict(reply.set)
    assert (sent["x-set"], sent["api-key"], sent["x-ai-eg-rule"], sent[":path"]) == ("1", "k", "token-0", "/up/chat")
    assert "x-provider" not in sent
    assert reply.remove == ("x-drop",)
    assert reply.body == b'{"model":"m","seed":7}'


REFUSALS = [
    ({}, b"{", 400, "malformed_json"),
    ({}, b'{"model":"m","a":"\xff"}', 400, "malformed_json"),
    ({}, b"[]", 400, "malformed_json"),
    ({}, b"", 400, "missing_body"),
    ({}, b"{}", 400, "missing_model"),
    ({}, b'{"model":""}', 400, "missing_model"),
    ({}, b'{"model":7}', 400, "invalid_type"),
    ({}, b'{"model":"a\\u0000b"}', 400, "invalid_value"),
    ({}, b'{"model":"m","stream":"yes"}', 400, "invalid_type"),
    ({}, b'{"model":"m","stream_options":[]}', 400, "invalid_type"),
    ({}, b'{"model":"unknown"}', 404, "model_not_found"),
    ({"content-type": "Multipart/Form-Data; boundary=x"}, BODY, 400, "multipart_not_supported"),
    ({"content-encoding": "lzma"}, BODY, 415, "unsupported_content_encoding"),
    ({"content-encoding": "gzip"}, BODY, 400, "bad_content_encoding"),
    ({"content-encoding": "gzip"}, gzip.compress(b"a" * 20_000_000, mtime=0), 413, "content_encoding_expansion"),
    ({":path": "/v1/nothing"}, BODY, 404, "unknown_path"),
    ({":path": "/v1/chat/completions/"}, BODY, 404, "unknown_path"),
    ({":method": "GET"}, BODY, 405, "method_not_allowed"),
    ({":method": "PUT"}, BODY, 405, "method_not_allowed"),
]


@pytest.mark.parametrize(
    ("changes", "body", "status", "code"), REFUSALS, ids=[f"{r[2]}-{r[3]}-{i}" for i, r in enumerate(REFUSALS)]
)
def test_what_cannot_be_served_is_refused_with_a_code(
    changes: dict[str, str | None], body: bytes, status: int, code: str
) -> None:
    gateway = Gateway(configuration())
    assert error(gateway.send(gateway.open(), body=body, headers=changes))[:2] == (status, code)
    assert dict(dict(gateway.filters.aggregate.counters())["aigw.gateway.answers"]) == {code: 1}


def test_a_request_without_body_is_refused_before_it_can_be_routed() -> None:
    gateway = Gateway(configuration())
    assert error(one(gateway.open().on_message(request(end_of_stream=True))))[:2] == (400, "missing_body")


def test_a_wrong_method_is_told_the_right_ones() -> None:
    gateway = Gateway(configuration())
    reply = one(gateway.open().on_message(request({":method": "DELETE"})))
    assert isinstance(reply, ImmediateReply)
    assert ("allow", "POST, OPTIONS") in reply.headers
    options = one(gateway.open().on_message(request({":method": "OPTIONS"}, end_of_stream=True)))
    assert options == ImmediateReply(status=204, headers=(("allow", "POST, OPTIONS"),), details="aigw_options")


def test_before_the_first_configuration_everything_is_503() -> None:
    assert error(one(Gateway().open().on_message(request())))[:2] == (503, "no_configuration")


def test_a_backend_that_cannot_serve_the_request_gives_422_naming_the_field() -> None:
    gateway = Gateway(configuration())
    gateway.script.refuse = Unprocessable('"audio" is not supported', code="unsupported_field", param="messages[0]")
    reply = gateway.send(gateway.open())
    assert error(reply) == (422, "unsupported_field", '"audio" is not supported')
    assert isinstance(reply, ImmediateReply)
    assert b'"param":"messages[0]"' in reply.body


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [({"backends": ()}, 503, "no_backend"), ({}, 422, "unsupported_backend")],
    ids=["no backend", "schema without provider"],
)
def test_a_rule_that_nobody_can_serve_says_so_and_stops_no_other(
    change: dict[str, object], status: int, code: str
) -> None:
    whole = configuration(backend(schema=Schema("Cohere")))
    rules = (msgspec.structs.replace(whole.rules[0], **change),)
    gateway = Gateway(msgspec.structs.replace(whole, rules=rules))
    assert error(gateway.send(gateway.open()))[:2] == (status, code)


def test_our_own_fault_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway(configuration())
    exchange = gateway.open({config.LISTENER_HEADER: "elsewhere"})
    with caplog.at_level(logging.ERROR):
        status, code, message = error(gateway.send(exchange))
    assert (status, code) == (500, "unknown_listener")
    assert "elsewhere" not in message
    assert "elsewhere" in caplog.text


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/models?x=1",
            (
                b'{"data":[{"id":"a/b","created":1,"object":"model","owned_by":"me"},'
                b'{"id":"c","created":86400,"object":"model","owned_by":"you"}],"object":"list"}'
            ),
        ),
        ("/v1/models/a%2Fb", b'{"id":"a/b","created":1,"object":"model","owned_by":"me"}'),
        ("/v1/models/a/b", b'{"id":"a/b","created":1,"object":"model","owned_by":"me"}'),
        (
            "/anthropic/v1/models",
            (
                b'{"data":[{"id":"a/b","type":"model","display_name":"a/b","created_at":"1970-01-01T00:00:01Z"},'
                b'{"id":"c","type":"model","display_name":"c","created_at":"1970-01-02T00:00:00Z"}],'
                b'"first_id":"a/b","has_more":false,"last_id":"c"}'
            ),
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_models_are_listed(path: str, method: str, body: bytes) -> None:
    gateway = Gateway(configuration(models=(Model("a/b", "me", 1), Model("c", "you", 86400), Model("c", "dup", 2))))
    reply = one(gateway.open().on_message(request({":path": path, ":method": method}, end_of_stream=True)))
    assert reply == ImmediateReply(
        status=200, body=body, headers=(("content-type", "application/json"),), details="aigw_models"
    )


def test_models_are_per_host_and_unknown_ones_are_404() -> None:
    gateway = Gateway(configuration(domains=("*.models.test",)))
    elsewhere = request({":path": "/v1/models", ":method": "GET"}, end_of_stream=True)
    assert error(one(gateway.open().on_message(elsewhere)))[:2] == (404, "model_not_found")
    here = {":authority": "a.MODELS.test:80", ":method": "GET"}
    reply = one(gateway.open().on_message(request({**here, ":path": "/v1/models"}, end_of_stream=True)))
    assert isinstance(reply, ImmediateReply)
    assert reply.status == 200
    missing = request({**here, ":path": "/v1/models/none"}, end_of_stream=True)
    assert error(one(gateway.open().on_message(missing)))[:2] == (404, "model_not_found")
    assert error(one(gateway.open().on_message(request({":path": "/v1/models"}))))[:2] == (405, "method_not_allowed")


# ── response ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_observed_answer_goes_on_unchanged_and_tells_its_usage_once() -> None:
    gateway = Gateway(configuration(costs=(config.Cost("tokens", "TotalToken"),)))
    exchange = gateway.open()
    gateway.send(exchange)
    assert one(exchange.on_message(response(content_length="3"))) == HeadersReply(
        phase="response", response_body="STREAMED"
    )
    assert one(exchange.on_message(ResponseBody(b"ab", end_of_stream=False))) is CONTINUE_RESPONSE_BODY
    assert one(exchange.on_message(ResponseBody(b"c"))) == BodyReply(
        phase="response", metadata={NAMESPACE: {"response_model": "m-1", "tokens": 15}}
    )


def test_a_whole_answer_gets_its_new_length_and_loses_its_coding() -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = "buffer"
    gateway.script.dropped = ("logit_bias", "seed")
    gateway.script.answer = lambda data, end: Output(body=b"<" + data + b">", headers=(("content-type", "x/y"),))
    exchange = gateway.open()
    gateway.send(exchange)
    head = one(exchange.on_message(response(content_encoding="gzip", content_length="30")))
    assert head == HeadersReply(
        phase="response", set=(("x-aigw-dropped", "logit_bias, seed"),), response_body="BUFFERED"
    )
    body = one(exchange.on_message(ResponseBody(gzip.compress(b"hello"))))
    assert isinstance(body, BodyReply)
    assert (body.body, body.set, body.remove) == (
        b"<hello>",
        (("content-type", "x/y"), ("content-length", "7")),
        ("content-encoding",),
    )


def test_a_translated_stream_loses_length_and_coding_in_its_head() -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = "stream"
    gateway.script.start_headers = (("content-type", "text/event-stream"),)
    gateway.script.answer = lambda data, end: Output(body=data.upper())
    exchange = gateway.open()
    gateway.send(exchange)
    head = one(exchange.on_message(response(content_encoding="gzip", content_length="30")))
    assert head == HeadersReply(
        phase="response",
        set=(("content-type", "text/event-stream"),),
        remove=("content-length", "content-encoding"),
        response_body="STREAMED",
    )
    packed = gzip.compress(b"hello")
    pieces = [one(exchange.on_message(ResponseBody(bytes([byte]), end_of_stream=False))) for byte in packed]
    pieces.append(one(exchange.on_message(ResponseBody(b""))))
    assert b"".join(piece.body or b"" for piece in pieces if isinstance(piece, BodyReply)) == b"HELLO"


def test_an_unreadable_whole_answer_is_a_502() -> None:
    def unreadable(data: bytes, end: bool) -> Output:
        raise BadUpstreamAnswer("not what it should be", code="bad_answer")

    gateway = Gateway(configuration())
    gateway.script.mode = "buffer"
    gateway.script.answer = unreadable
    exchange = gateway.open()
    gateway.send(exchange)
    exchange.on_message(response())
    assert error(one(exchange.on_message(ResponseBody(b"?")))) == (502, "bad_answer", "not what it should be")


@pytest.mark.parametrize(
    ("coding", "body", "code"),
    [
        ("gzip", b"no gzip", "bad_content_encoding"),
        ("gzip", gzip.compress(b"a", mtime=0)[:-4], "content_encoding_truncated"),
    ],
)
def test_a_whole_answer_in_a_broken_coding_is_a_502(coding: str, body: bytes, code: str) -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = "buffer"
    exchange = gateway.open()
    gateway.send(exchange)
    exchange.on_message(response(content_encoding=coding))
    assert error(one(exchange.on_message(ResponseBody(body))))[:2] == (502, code)


@pytest.mark.parametrize("mode", ["buffer", "stream"])
def test_an_answer_in_an_unknown_coding_is_a_502_while_the_status_is_open(mode: str) -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = mode  # type: ignore[assignment]
    exchange = gateway.open()
    gateway.send(exchange)
    assert error(one(exchange.on_message(response(content_encoding="lzma"))))[:2] == (
        502,
        "unsupported_content_encoding",
    )


def test_an_observed_answer_in_an_unknown_coding_goes_on() -> None:
    gateway = Gateway(configuration())
    exchange = gateway.open()
    gateway.send(exchange)
    assert one(exchange.on_message(response(content_encoding="lzma"))) == HeadersReply(
        phase="response", response_body="NONE"
    )


def test_a_stream_in_a_broken_coding_ends_with_the_translator_s_error_event() -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = "stream"
    gateway.script.answer = lambda data, end: Output(
        body=b"event" if end else data, failure=TruncatedStream("cut", code="cut") if end else None
    )
    exchange = gateway.open()
    gateway.send(exchange)
    exchange.on_message(response(content_encoding="gzip"))
    assert one(exchange.on_message(ResponseBody(b"no gzip", end_of_stream=False))) == BodyReply(
        phase="response", body=b"event"
    )
    assert one(exchange.on_message(ResponseBody(b"more", end_of_stream=False))) == BodyReply(phase="response", body=b"")
    assert one(exchange.on_message(ResponseBody(b"end"))) == BodyReply(phase="response", body=b"")
    assert gateway.script.fed == [(b"", True)]


def test_an_observed_answer_in_a_broken_coding_goes_on() -> None:
    gateway = Gateway(configuration())
    exchange = gateway.open()
    gateway.send(exchange)
    exchange.on_message(response(content_encoding="br"))
    assert one(exchange.on_message(ResponseBody(b"\xff\xff\xff", end_of_stream=False))) is CONTINUE_RESPONSE_BODY
    assert one(exchange.on_message(ResponseBody(b"more"))) is CONTINUE_RESPONSE_BODY


def test_an_error_answer_keeps_its_useful_headers() -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = "buffer"
    gateway.script.answer = lambda data, end: Output(body=b"{}", headers=(("content-type", "application/json"),))
    exchange = gateway.open()
    gateway.send(exchange)
    head = one(
        exchange.on_message(failed(429, ("server", "x"), ("retry-after", "7"), ("x-ratelimit-remaining-tokens", "0")))
    )
    assert head == HeadersReply(phase="response", response_body="BUFFERED")
    body = one(exchange.on_message(ResponseBody(b"slow down")))
    assert isinstance(body, BodyReply)
    assert (body.body, body.set) == (b"{}", (("content-type", "application/json"), ("content-length", "2")))
    assert body.metadata is None


def test_an_error_answer_without_body_gets_the_translator_s() -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = "buffer"
    gateway.script.answer = lambda data, end: Output(body=b"{}", headers=(("content-type", "application/json"),))
    exchange = gateway.open()
    gateway.send(exchange)
    reply = one(
        exchange.on_message(failed(429, ("server", "x"), ("retry-after", "7"), ("content-length", "0"), end=True))
    )
    assert reply == ImmediateReply(
        status=429,
        body=b"{}",
        headers=(("server", "x"), ("retry-after", "7"), ("content-type", "application/json")),
        details="aigw_translated",
    )


@pytest.mark.parametrize("mode", ["stream", "buffer"])
def test_a_good_answer_without_body_that_the_translator_cannot_read_is_a_502(mode: str) -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = mode  # type: ignore[assignment]
    gateway.script.answer = lambda data, end: Output(body=b"x", failure=TruncatedStream("cut", code="truncated_stream"))
    exchange = gateway.open()
    gateway.send(exchange)
    head = ResponseHeaders(response().headers, end_of_stream=True)
    assert error(one(exchange.on_message(head)))[:2] == (502, "truncated_stream")


ENVOYS = [
    (503, b"no healthy upstream", "no_healthy_upstream"),
    (503, b"upstream connect error or disconnect/reset before headers. reset reason: x", "upstream_connect_error"),
    (504, b"upstream request timeout", "upstream_timeout"),
    (413, b"Payload Too Large", "request_too_large"),
    (429, b"local_rate_limited", "rate_limited"),
]


@pytest.mark.parametrize(("status", "text", "code"), ENVOYS)
@pytest.mark.parametrize("plan", ["single", "attempt"])
def test_envoy_s_own_answers_reach_the_client_as_json(status: int, text: bytes, code: str, plan: config.Plan) -> None:
    gateway = Gateway(configuration(plan=plan))
    exchange = gateway.open()
    gateway.send(exchange)
    head = failed(status, ("content-type", "text/plain"), ("content-length", str(len(text))))
    assert one(exchange.on_message(head)) == HeadersReply(phase="response", response_body="BUFFERED")
    reply = one(exchange.on_message(ResponseBody(text)))
    assert isinstance(reply, BodyReply)
    assert reply.body is not None
    assert jsonlib.decode(reply.body, dict[str, dict[str, str] | str])["error"]["code"] == code  # type: ignore[index]
    assert dict(reply.set) == {"content-type": "application/json", "content-length": str(len(reply.body))}
    assert gateway.script.fed == []


def test_envoy_refuses_a_body_that_is_too_large_before_we_see_it() -> None:
    gateway = Gateway(configuration())
    exchange = gateway.open()
    exchange.on_message(request())
    assert one(exchange.on_message(failed(413, ("content-type", "text/plain")))) == HeadersReply(
        phase="response", response_body="BUFFERED"
    )
    reply = one(exchange.on_message(ResponseBody(b"Payload Too Large")))
    assert isinstance(reply, BodyReply)
    assert b'"request_too_large"' in (reply.body or b"")


def test_envoy_s_answer_without_body_keeps_its_headers() -> None:
    gateway = Gateway(configuration())
    exchange = gateway.open()
    gateway.send(exchange)
    reply = one(exchange.on_message(failed(429, ("x-ratelimit-reset", "3"), end=True)))
    assert error(reply)[:2] == (429, "rate_limited")
    assert isinstance(reply, ImmediateReply)
    assert ("x-ratelimit-reset", "3") in reply.headers


def test_a_provider_s_plain_text_is_not_taken_for_envoy_s() -> None:
    gateway = Gateway(configuration())
    gateway.script.mode = "buffer"
    gateway.script.start_headers = (("x-start", "1"),)
    gateway.script.answer = lambda data, end: Output(body=b"{}", headers=(("content-type", "application/json"),))
    exchange = gateway.open()
    gateway.send(exchange)
    exchange.on_message(failed(500, ("content-type", "text/plain")))
    assert one(exchange.on_message(ResponseBody(b"boom"))) == BodyReply(
        phase="response",
        body=b"{}",
        set=(("x-start", "1"), ("content-type", "application/json"), ("content-length", "2")),
    )
    assert gateway.script.fed == [(b"boom", True)]


def test_an_answer_of_an_earlier_filter_passes() -> None:
    gateway = Gateway(configuration())
    exchange = gateway.open()
    assert one(exchange.on_message(failed(401, ("content-type", "text/plain")))) is CONTINUE_RESPONSE_HEADERS
    assert one(exchange.on_message(ResponseBody(b"no"))) is CONTINUE_RESPONSE_BODY


def test_our_own_answer_is_not_translated_again() -> None:
    gateway = Gateway(configuration())
    exchange = gateway.open()
    gateway.send(exchange, body=b"{")
    assert one(exchange.on_message(failed(400, ("content-type", "application/json")))) is CONTINUE_RESPONSE_HEADERS
    assert one(exchange.on_message(ResponseBody(b"{}"))) is CONTINUE_RESPONSE_BODY


def test_secrets_are_in_no_text_that_an_exchange_gives_away(caplog: pytest.LogCaptureFixture) -> None:
    secret = "sk-very-secret"
    gateway = Gateway(configuration(backend(credential=HeaderCredential("authorization", Secret(secret)))))
    with caplog.at_level(logging.DEBUG):
        exchange = gateway.open()
        reply = gateway.send(exchange, headers={"x-client": "1"})
        exchange.on_message(response())
        exchange.on_message(ResponseBody(b"x"))
        exchange.on_close("reset")
    snapshot = gateway.filters.store.newest
    assert secret in repr(reply)  # it is sent
    assert secret not in caplog.text
    assert secret not in repr(snapshot)
    assert secret.encode() not in gateway.filters.metrics()
    assert secret not in repr(headers({"authorization": secret}))
