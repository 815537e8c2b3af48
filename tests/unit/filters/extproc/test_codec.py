"""The codec against a second protobuf implementation."""

from collections.abc import Callable
from typing import Any

import pytest
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.service.ext_proc import v3 as ext_proc
from envoy_data_plane.google.protobuf import ListValue, NullValue, Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from filters.contract.headers import Headers
from filters.extproc import codec, messages
from filters.extproc.codec import CodecError
from tests.support.ext_proc import header_map, parse, request_body, request_headers, response_body, response_headers

OVERWRITE = core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD


def test_request_headers_come_with_attributes_and_metadata() -> None:
    request = ext_proc.ProcessingRequest(
        request_headers=ext_proc.HttpHeaders(headers=header_map({":path": "/v1", "x-a": b"\xe9"}), end_of_stream=True),
        attributes={"envoy.filters.http.ext_proc": Struct(fields={"xds.route_name": Value(string_value="r")})},
        metadata_context=core.Metadata(
            filter_metadata={
                "aigateway.envoy.io": Struct(
                    fields={
                        "id": Value(string_value="0-7"),
                        "n": Value(number_value=2.0),
                        "yes": Value(bool_value=True),
                        "nothing": Value(null_value=NullValue.NULL_VALUE),
                        "list": Value(list_value=ListValue(values=[Value(number_value=1.0)])),
                        "deep": Value(struct_value=Struct(fields={"a": Value(string_value="b")})),
                    }
                )
            }
        ),
    )
    assert codec.decode(bytes(request)) == messages.RequestHeaders(
        Headers([(":path", "/v1"), ("x-a", "\xe9")]),
        end_of_stream=True,
        attributes={"xds.route_name": "r"},
        metadata={
            "aigateway.envoy.io": {
                "id": "0-7",
                "n": 2.0,
                "yes": True,
                "nothing": None,
                "list": [1.0],
                "deep": {"a": "b"},
            }
        },
    )


def test_a_header_value_in_text_form_is_read_too() -> None:
    block = core.HeaderMap(headers=[core.HeaderValue(key="a", value="é")])
    request = ext_proc.ProcessingRequest(response_headers=ext_proc.HttpHeaders(headers=block))
    assert codec.decode(bytes(request)) == messages.ResponseHeaders(Headers([("a", "Ã©")]))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request_body(b"\x00\xff"), messages.RequestBody(b"\x00\xff")),
        (request_body(b"", end=False), messages.RequestBody(b"", end_of_stream=False)),
        (response_body(b"x", end=False), messages.ResponseBody(b"x", end_of_stream=False)),
        (response_headers({":status": "200"}), messages.ResponseHeaders(Headers([(":status", "200")]))),
        (
            bytes(ext_proc.ProcessingRequest(request_trailers=ext_proc.HttpTrailers(trailers=header_map({"a": "b"})))),
            messages.RequestTrailers(),
        ),
        (
            bytes(ext_proc.ProcessingRequest(response_trailers=ext_proc.HttpTrailers())),
            messages.ResponseTrailers(),
        ),
    ],
)
def test_messages_are_read(data: bytes, expected: messages.Message) -> None:
    assert codec.decode(data) == expected


def test_unknown_fields_are_skipped() -> None:
    assert codec.decode(request_body(b"x") + b"\xfa\x7f\x03abc") == messages.RequestBody(b"x")


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x12\x05ab", b"\xfa\x7f\x03abc", bytes(50)])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        codec.decode(data)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        codec.decode(data)
    except CodecError:
        return


def test_a_reply_to_the_request_body_holds_everything() -> None:
    reply = messages.BodyReply(
        phase="request",
        body=b"new",
        set=(("x-ai-eg-model", "m"), ("x-latin", "\xe9"), ("x-wide", "模型"), ("x-empty", "")),
        remove=("authorization",),
        clear_route_cache=True,
        metadata={"ns": {"text": "t", "count": 3, "part": 0.5, "yes": True}},
    )
    answer = parse(codec.encode(reply))
    common = answer.request_body.response
    assert common.status == ext_proc.CommonResponseResponseStatus.CONTINUE
    assert [
        (option.header.key, option.header.raw_value, option.append_action, option.keep_empty_value)
        for option in common.header_mutation.set_headers
    ] == [
        ("x-ai-eg-model", b"m", OVERWRITE, False),
        ("x-latin", b"\xe9", OVERWRITE, False),
        ("x-wide", "模型".encode(), OVERWRITE, False),
        ("x-empty", b"", OVERWRITE, True),
    ]
    assert common.header_mutation.remove_headers == ["authorization"]
    assert common.body_mutation.body == b"new"
    assert common.clear_route_cache is True
    values = {
        key: value.string_value or value.bool_value or value.number_value
        for key, value in answer.dynamic_metadata.fields["ns"].struct_value.fields.items()
    }
    assert values == {"text": "t", "count": 3.0, "part": 0.5, "yes": True}


def test_a_headers_reply_can_replace_the_body_and_choose_the_response_mode() -> None:
    answer = parse(codec.encode(messages.HeadersReply(phase="request", replace=True, body=b"all")))
    assert answer.request_headers.response.status == ext_proc.CommonResponseResponseStatus.CONTINUE_AND_REPLACE
    assert answer.request_headers.response.body_mutation.body == b"all"
    answer = parse(codec.encode(messages.HeadersReply(phase="response", response_body="STREAMED")))
    assert answer.mode_override.response_body_mode.name == "STREAMED"
    answer = parse(codec.encode(messages.HeadersReply(phase="response", response_body="NONE")))
    assert answer.mode_override is not None


def test_an_empty_body_clears_and_none_leaves() -> None:
    assert parse(codec.encode(messages.BodyReply(phase="response", body=b""))).response_body.response.body_mutation
    cleared = parse(codec.encode(messages.BodyReply(phase="response", body=b"")))
    assert cleared.response_body.response.body_mutation.clear_body is True
    assert parse(codec.encode(messages.BodyReply(phase="response"))).response_body.response.body_mutation is None


def test_an_immediate_reply_holds_everything() -> None:
    reply = messages.ImmediateReply(
        status=422, body=b"{}", headers=(("retry-after", "1"),), grpc_status=0, details="why", metadata={"a": {"b": 1}}
    )
    answer = parse(codec.encode(reply))
    immediate = answer.immediate_response
    assert (immediate.status.code.value, immediate.body, immediate.details) == (422, b"{}", "why")
    assert immediate.headers.set_headers[0].header.raw_value == b"1"
    assert immediate.grpc_status is not None
    assert answer.dynamic_metadata is not None


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (messages.RequestHeaders(Headers(())), "request_headers"),
        (messages.RequestBody(b""), "request_body"),
        (messages.RequestTrailers(), "request_trailers"),
        (messages.ResponseHeaders(Headers(())), "response_headers"),
        (messages.ResponseBody(b""), "response_body"),
        (messages.ResponseTrailers(), "response_trailers"),
    ],
)
def test_passing_through_answers_in_kind_and_changes_nothing(message: messages.Message, field: str) -> None:
    reply = messages.pass_through(message)
    expected: Any = ext_proc.ProcessingResponse(
        **{
            field: {
                "headers": ext_proc.HeadersResponse(response=ext_proc.CommonResponse()),
                "body": ext_proc.BodyResponse(response=ext_proc.CommonResponse()),
                "trailers": ext_proc.TrailersResponse(),
            }[field.split("_")[1]]
        }
    )
    assert codec.encode(reply) == bytes(expected)


def test_a_forward_is_not_for_envoy() -> None:
    with pytest.raises(CodecError):
        codec.encode(messages.Forward("1.2"))


def test_health_messages() -> None:
    assert codec.decode_health_request(b"\x0a\x03abc") == "abc"
    assert codec.decode_health_request(b"") == ""
    assert codec.encode_health(serving=True) == b"\x08\x01"
    assert codec.encode_health(serving=False) == b"\x08\x02"
    with pytest.raises(CodecError):
        codec.decode_health_request(b"\xff")


def test_request_headers_helper_round_trips() -> None:
    assert codec.decode(request_headers({"a": "b"}, end=True)) == messages.RequestHeaders(
        Headers([("a", "b")]), end_of_stream=True
    )


PLAIN = [
    request_headers({":path": "/v1/chat/completions", "user-agent": "curl", "x-a": "b" * 200, "x-e": ""}),
    response_headers({":status": "200", "x-latin": b"\xe9"}),
    request_body(b'{"a":1}' * 30),
    response_body(b"data: x\n\n", end=False),
    response_body(b""),
]


@pytest.mark.parametrize("tail", [b"", b"\x42\x00", b"\x42\x00\x5a\x02\x08\x02", b"\xfa\x7f\x03abc"])
@pytest.mark.parametrize("data", PLAIN)
def test_the_short_way_and_the_parser_read_the_same(data: bytes, tail: bytes) -> None:
    assert codec.decode(data + tail) == codec._parse(data)


@given(st.sampled_from(PLAIN), st.data())
def test_damaged_messages_are_read_as_the_parser_reads_them(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    message = bytes(damaged[: draw.draw(st.integers(1, len(damaged)))])
    assert _read(codec.decode, message) == _read(codec._parse, message)


def _read(read: Callable[[bytes], messages.Message], data: bytes) -> messages.Message | None:
    try:
        return read(data)
    except CodecError:
        return None


def test_a_header_of_many_requests_is_read_the_same_again() -> None:
    data = request_headers({"user-agent": "one", "content-type": "application/json", "authorization": "Bearer x"})
    assert codec.decode(data) == codec.decode(data)
    assert not any(name == "authorization" for name, _ in codec._known_headers.values())


def test_a_long_body_and_a_long_header_value_are_written_whole() -> None:
    long = "v" * 300
    answer = parse(codec.encode(messages.BodyReply(phase="response", body=b"b" * 70_000, set=(("x-long", long),))))
    common = answer.response_body.response
    assert common.body_mutation.body == b"b" * 70_000
    assert common.header_mutation.set_headers[0].header.raw_value == long.encode()
    assert common.header_mutation.set_headers[0].append_action == OVERWRITE


def test_a_header_name_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(CodecError):
        codec.encode(messages.BodyReply(phase="request", set=(("x-é", "1"),)))
