"""Attempts: each is made from the client's own request, and nothing of one reaches the next."""

from filters.contract import config, jsonlib
from filters.contract.config import AwsCredential, BodyMutation, HeaderCredential, HeaderMutation, Schema
from filters.contract.secret import Secret
from filters.contract.translation import Output
from filters.errors import Unprocessable
from filters.extproc.live import LiveRequests
from filters.extproc.messages import (
    CONTINUE_RESPONSE_BODY,
    CONTINUE_RESPONSE_HEADERS,
    BodyReply,
    Forward,
    HeadersReply,
    ImmediateReply,
    RequestBody,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
)
from tests.support.gateway import (
    BODY,
    UPSTREAM_METADATA,
    USAGE,
    Gateway,
    Script,
    applied,
    attempt_message,
    backend,
    configuration,
    headers,
    one,
    request_id,
)

OPENAI = backend(
    "ns/one/route/r/rule/0/ref/0",
    credential=HeaderCredential("authorization", Secret("Bearer one")),
    header_mutation=HeaderMutation(set=(("x-one", "1"), ("x-client", "changed")), remove=("x-removed",)),
    body_mutation=BodyMutation(set=(("seed", "1"),)),
)
BEDROCK = backend(
    "ns/two/route/r/rule/0/ref/1",
    schema=Schema("AWSBedrock"),
    host="bedrock-runtime.us-east-1.amazonaws.com",
    credential=AwsCredential("us-east-1", "AKIA", Secret("aws")),
)
OPEN = backend("ns/three/route/r/rule/0/ref/2", schema=Schema("Anthropic"))
CLIENT = {"authorization": "Bearer client", "x-client": "mine", "x-removed": "kept", "content-type": "application/json"}


def gateway_of(*backends: config.Backend) -> tuple[Gateway, dict[str, Script]]:
    scripts = {
        "OpenAI": Script(path="/one", headers=(("anthropic-version", "one"),)),
        "AWSBedrock": Script(path="/two", body=b'{"two":2}', headers=(("content-type", "application/two"),)),
        "Anthropic": Script(path="/three"),
    }
    return Gateway(configuration(*backends, plan="attempt"), scripts=scripts), scripts


def test_the_listener_level_names_rule_and_request_and_sends_no_credential() -> None:
    gateway, _ = gateway_of(OPENAI, BEDROCK)
    assert gateway.send(gateway.open(), headers=CLIENT) == BodyReply(
        phase="request",
        set=(
            ("x-ai-eg-model", "m"),
            ("x-ai-eg-rule", "token-0"),
            ("x-ai-eg-original-path", "/v1/chat/completions"),
            ("x-envoy-original-path", "/v1/chat/completions"),
        ),
        clear_route_cache=True,
        metadata={config.STATIC_METADATA_NAMESPACE: {"exchange": "0-t0"}},
    )


def test_an_attempt_replaces_the_body_and_carries_path_credential_and_identity() -> None:
    gateway, _ = gateway_of(OPENAI, BEDROCK)
    routed = gateway.send(gateway.open(), headers=CLIENT)
    reply = gateway.attempt(routed, OPENAI.name, applied(headers(CLIENT), routed))
    assert isinstance(reply, HeadersReply)
    assert reply.replace
    assert reply.body == b'{"model": "m", "messages": [],"seed":1}'
    assert dict(reply.set) == {
        ":path": "/one",
        "authorization": "Bearer one",
        "anthropic-version": "one",
        "x-one": "1",
        "x-client": "changed",
        "content-length": "39",
    }
    assert reply.remove == ("x-removed",)
    assert reply.metadata == {
        config.METADATA_NAMESPACE: {
            "content_length": 39,
            "backend_name": OPENAI.name,
            "ai_service_backend_name": "ns/one",
            "model_name_override": "m",
            "route_name": "ns/r",
        }
    }


def test_nothing_of_the_first_attempt_reaches_the_second_provider() -> None:
    gateway, _ = gateway_of(OPENAI, BEDROCK)
    routed = gateway.send(gateway.open(), headers=CLIENT)
    current = applied(headers(CLIENT), routed)
    current = applied(current, gateway.attempt(routed, OPENAI.name, current))
    second = gateway.attempt(routed, BEDROCK.name, current)
    assert isinstance(second, HeadersReply)
    assert second.body == b'{"two":2}'
    sent = dict(applied(current, second).items)
    assert sent.pop("authorization").startswith("AWS4-HMAC-SHA256 Credential=AKIA/")
    assert sent.pop("x-amz-date")
    internal = ("x-ai-eg-model", "x-ai-eg-rule", "x-ai-eg-original-path", "x-envoy-original-path")
    assert {name: value for name, value in sent.items() if name not in internal} == {
        ":method": "POST",
        ":path": "/two",
        ":authority": "bedrock-runtime.us-east-1.amazonaws.com",
        ":scheme": "http",
        "content-type": "application/two",
        "content-length": "9",
        "x-client": "mine",
        "x-removed": "kept",
    }


def test_a_third_attempt_without_credential_gets_the_client_s_own_again() -> None:
    gateway, _ = gateway_of(OPENAI, BEDROCK, OPEN)
    routed = gateway.send(gateway.open(), headers=CLIENT)
    current = applied(headers(CLIENT), routed)
    for name in (OPENAI.name, BEDROCK.name):
        current = applied(current, gateway.attempt(routed, name, current))
    third = gateway.attempt(routed, OPEN.name, current)
    assert isinstance(third, HeadersReply)
    assert third.body == BODY
    sent = applied(current, third)
    assert sent.get("authorization") == "Bearer client"
    assert "x-amz-date" not in sent
    assert sent.get("content-type") == "application/json"
    assert sent.get(":path") == "/three"


def test_the_answer_is_read_by_the_translator_of_the_last_attempt() -> None:
    gateway, scripts = gateway_of(OPENAI, BEDROCK)
    scripts["AWSBedrock"].mode = "buffer"
    scripts["AWSBedrock"].answer = lambda data, end: Output(body=b"{}", usage=USAGE)
    exchange = gateway.open()
    routed = gateway.send(exchange)
    for name in (OPENAI.name, BEDROCK.name):
        gateway.attempt(routed, name, headers())
    exchange.on_message(ResponseHeaders(headers({":status": "200"})))
    reply = one(exchange.on_message(ResponseBody(b"answer")))
    assert isinstance(reply, BodyReply)
    assert reply.body == b"{}"
    assert reply.metadata == {
        config.METADATA_NAMESPACE: {
            "backend_name": BEDROCK.name,
            "ai_service_backend_name": "ns/two",
            "model_name_override": "m",
            "route_name": "ns/r",
            "response_model": "m",
        }
    }
    assert (scripts["OpenAI"].fed, scripts["AWSBedrock"].fed) == ([], [(b"answer", True)])


def test_an_attempt_that_cannot_be_made_ends_the_request_in_the_client_s_format() -> None:
    gateway, scripts = gateway_of(OPENAI, BEDROCK)
    scripts["OpenAI"].refuse = Unprocessable("no audio", code="unsupported_field", param="messages[0]")
    exchange = gateway.open()
    reply = gateway.attempt(gateway.send(exchange), OPENAI.name, headers())
    assert isinstance(reply, ImmediateReply)
    assert reply.status == 422
    # Envoy sends that answer back through the listener level, where it must stay as it is.
    assert one(exchange.on_message(ResponseHeaders(headers({":status": "422"})))) is CONTINUE_RESPONSE_HEADERS
    assert one(exchange.on_message(ResponseBody(reply.body))) is CONTINUE_RESPONSE_BODY


def test_a_backend_of_another_rule_is_refused() -> None:
    gateway, _ = gateway_of(OPENAI)
    reply = gateway.attempt(gateway.send(gateway.open()), "ns/other/route/x/rule/0/ref/0", headers())
    assert isinstance(reply, ImmediateReply)
    assert _code(reply) == (500, "unknown_backend")


def test_the_cluster_s_name_counts_when_the_host_has_none_or_a_picker_chose_it() -> None:
    gateway, _ = gateway_of(OPENAI, BEDROCK)
    routed = gateway.send(gateway.open())
    assert isinstance(routed, BodyReply)
    message = attempt_message(request_id(routed), OPENAI.name, headers({"x-gateway-destination-endpoint": "1.2.3.4"}))
    cluster = "xds.cluster_metadata.filter_metadata['aigateway.envoy.io']['per_route_rule_backend_name']"
    attributes = {**message.attributes, cluster: BEDROCK.name}
    picked = RequestHeaders(message.headers, attributes=attributes, metadata=message.metadata)
    reply = one(gateway.open(UPSTREAM_METADATA).on_message(picked))
    assert isinstance(reply, HeadersReply)
    assert dict(reply.set)[":path"] == "/two"
    nameless = RequestHeaders(message.headers, metadata=message.metadata)
    refused = one(gateway.open(UPSTREAM_METADATA).on_message(nameless))
    assert isinstance(refused, ImmediateReply)
    assert _code(refused) == (500, "unknown_backend")


def test_an_attempt_of_another_worker_is_forwarded_to_it() -> None:
    gateway, _ = gateway_of(OPENAI)
    exchange = gateway.open(UPSTREAM_METADATA)
    for process in ("3", "3.77", "0.1"):
        assert one(exchange.on_message(attempt_message(f"{process}-abc", OPENAI.name, headers()))) == Forward(process)


def test_an_attempt_of_no_request_is_refused() -> None:
    gateway, _ = gateway_of(OPENAI)
    for unknown in ("0-gone", "", "x-y", "-", "99999-a", "1.-a", "../1-a", "1.2.3-a", "1.12345678901-a"):
        reply = one(gateway.open(UPSTREAM_METADATA).on_message(attempt_message(unknown, OPENAI.name, headers())))
        assert isinstance(reply, ImmediateReply)
        assert _code(reply) == (500, "unknown_exchange")


def test_a_request_that_is_over_takes_no_more_attempts_and_is_forgotten() -> None:
    gateway, _ = gateway_of(OPENAI)
    exchange = gateway.open()
    routed = gateway.send(exchange)
    assert gateway.filters.in_flight == 1
    gateway.attempt(routed, OPENAI.name, headers())
    exchange.on_message(ResponseHeaders(headers({":status": "200"})))
    late = gateway.attempt(routed, OPENAI.name, headers())
    assert isinstance(late, ImmediateReply)
    assert _code(late) == (500, "unknown_exchange")
    exchange.on_close("reset")
    assert gateway.filters.in_flight == 0


def test_other_messages_at_the_upstream_level_pass() -> None:
    gateway, _ = gateway_of(OPENAI)
    exchange = gateway.open(UPSTREAM_METADATA)
    assert one(exchange.on_message(RequestBody(b"x"))) == BodyReply(phase="request")


def _code(reply: ImmediateReply) -> tuple[int, str]:
    body = jsonlib.decode(reply.body, dict[str, dict[str, str] | str])
    assert isinstance(body["error"], dict)
    return reply.status, body["error"]["code"]


def test_clients_never_see_the_number_of_a_process() -> None:
    live = LiveRequests("3.4711", lambda: "to-ken")
    assert live.new_id() == "3.4711-to-ken"
    assert live.public("3.4711-to-ken") == "3-to-ken"
