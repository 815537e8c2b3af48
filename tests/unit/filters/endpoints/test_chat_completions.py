"""What routing and accounting read of a chat request, and the gateway's own error envelope."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.contract import jsonlib
from filters.endpoints import registry
from filters.endpoints.chat_completions import ENDPOINT
from filters.errors import GatewayError, InternalError, MalformedRequest


def test_the_endpoint_is_found_by_the_registry() -> None:
    assert ENDPOINT in registry.load()


def test_model_and_stream_are_read_and_everything_else_is_carried() -> None:
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true,"x":1},"messages":[{}]}'
    parsed = ENDPOINT.parse(body, "application/json")
    assert (parsed.model, parsed.stream, parsed.include_usage) == ("m", True, True)
    assert bytes(parsed.members["messages"]) == b"[{}]"


@pytest.mark.parametrize("body", [b'{"model":"m"}', b'{"model":"m","stream":null,"stream_options":null}'])
def test_absent_and_null_flags_are_off(body: bytes) -> None:
    parsed = ENDPOINT.parse(body, "")
    assert (parsed.stream, parsed.include_usage) == (False, False)


def test_a_syntax_error_has_the_known_beginning_and_no_content() -> None:
    with pytest.raises(MalformedRequest) as caught:
        ENDPOINT.parse(b'{"model":"m","messages":[{"content":"private words"', "application/json")
    assert caught.value.message.startswith("malformed request: failed to parse JSON for /v1/chat/completions: ")
    assert "private" not in caught.value.message


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | st.just(b"[" * 100_000))
def test_any_bytes_are_parsed_or_refused(body: bytes) -> None:
    with contextlib.suppress(MalformedRequest):
        assert ENDPOINT.parse(body, "application/json").model


@given(st.text(), st.text())
def test_an_error_is_always_whole_json(message: str, param: str) -> None:
    class Odd(GatewayError):
        status = 418
        type = "Odd"

    body = jsonlib.decode(ENDPOINT.render_error(Odd(message, code="c", param=param or None)), dict[str, object])
    assert body["type"] == "error"
    assert isinstance(body["error"], dict)
    assert {**body["error"], "param": ""} == {"type": "Odd", "code": "c", "message": message, "param": ""}


def test_members_stand_in_the_documented_order_and_param_only_when_there_is_one() -> None:
    error = MalformedRequest('say "x"', code="invalid_type", param="model")
    inner = b'{"type":"BadRequest","code":"invalid_type","message":"say \\"x\\"","param":"model"}'
    assert ENDPOINT.render_error(error) == b'{"type":"error","error":' + inner + b"}"
    assert b"param" not in ENDPOINT.render_error(MalformedRequest("x", code="c"))


def test_a_lone_surrogate_does_not_break_the_answer() -> None:
    assert b"?" in ENDPOINT.render_error(MalformedRequest("\ud800", code="c"))


def test_the_text_of_our_own_fault_stays_here() -> None:
    assert b"private" not in ENDPOINT.render_error(InternalError("private", code="internal"))
