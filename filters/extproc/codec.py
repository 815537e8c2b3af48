"""Bytes ⇄ messages of `envoy.service.ext_proc.v3.ExternalProcessor`. The only importer of protobuf in filters/.

`decode` gives what Envoy sent as a value of `filters.extproc.messages`, `encode` the bytes of a reply. The types are
declared here, with just the fields that we read or write, in a descriptor pool of our own: nothing is registered
globally, so no other package's Envoy classes can clash, and unknown fields are skipped by the parser.
Enums are declared as int32, which is the same on the wire.

Header values are bytes on the wire (`raw_value`) and ISO-8859-1 text here (`filters.contract.headers`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, struct_pb2

from filters.contract.headers import Headers
from filters.extproc import messages
from filters.extproc.messages import (
    BodyReply,
    HeadersReply,
    ImmediateReply,
    Message,
    MetadataValue,
    Pairs,
    Plain,
    Reply,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    TrailersReply,
)


class CodecError(ValueError):
    """The bytes are not a message that we know; the text holds no content."""


# ── the types ────────────────────────────────────────────────────────────────────────────────────────────────────────

_PACKAGE: Final = "aigw.ext_proc"
_STRUCT: Final = "google.protobuf.Struct"

# message → field → (number, type); `*` repeated, `?` member of the message's oneof, `map:` string keys
_TYPES: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = {
    "HeaderValue": {"key": (1, "string"), "value": (2, "string"), "raw_value": (3, "bytes")},
    "HeaderMap": {"headers": (1, "*HeaderValue")},
    "HttpHeaders": {"headers": (1, "HeaderMap"), "end_of_stream": (3, "bool")},
    "HttpBody": {"body": (1, "bytes"), "end_of_stream": (2, "bool")},
    "HttpTrailers": {},
    "Metadata": {"filter_metadata": (1, f"map:{_STRUCT}")},
    "ProcessingRequest": {
        "request_headers": (2, "?HttpHeaders"),
        "response_headers": (3, "?HttpHeaders"),
        "request_body": (4, "?HttpBody"),
        "response_body": (5, "?HttpBody"),
        "request_trailers": (6, "?HttpTrailers"),
        "response_trailers": (7, "?HttpTrailers"),
        "metadata_context": (8, "Metadata"),
        "attributes": (9, f"map:{_STRUCT}"),
    },
    "HeaderValueOption": {
        "header": (1, "HeaderValue"),
        "append_action": (3, "int32"),
        "keep_empty_value": (4, "bool"),
    },
    "HeaderMutation": {"set_headers": (1, "*HeaderValueOption"), "remove_headers": (2, "*string")},
    "BodyMutation": {"body": (1, "?bytes"), "clear_body": (2, "?bool")},
    "CommonResponse": {
        "status": (1, "int32"),
        "header_mutation": (2, "HeaderMutation"),
        "body_mutation": (3, "BodyMutation"),
        "clear_route_cache": (5, "bool"),
    },
    "CommonReply": {"response": (1, "CommonResponse")},
    "TrailersReply": {"header_mutation": (1, "HeaderMutation")},
    "HttpStatus": {"code": (1, "int32")},
    "GrpcStatus": {"status": (1, "uint32")},
    "ImmediateResponse": {
        "status": (1, "HttpStatus"),
        "headers": (2, "HeaderMutation"),
        "body": (3, "bytes"),
        "grpc_status": (4, "GrpcStatus"),
        "details": (5, "string"),
    },
    "ProcessingMode": {"response_body_mode": (4, "int32")},
    "ProcessingResponse": {
        "request_headers": (1, "?CommonReply"),
        "response_headers": (2, "?CommonReply"),
        "request_body": (3, "?CommonReply"),
        "response_body": (4, "?CommonReply"),
        "request_trailers": (5, "?TrailersReply"),
        "response_trailers": (6, "?TrailersReply"),
        "immediate_response": (7, "?ImmediateResponse"),
        "dynamic_metadata": (8, _STRUCT),
        "mode_override": (9, "ProcessingMode"),
    },
    "HealthCheckRequest": {"service": (1, "string")},
    "HealthCheckResponse": {"status": (1, "int32")},
}

_OVERWRITE_IF_EXISTS_OR_ADD: Final = 2
_CONTINUE_AND_REPLACE: Final = 1
_BODY_MODES: Final[Mapping[str, int]] = {"NONE": 0, "STREAMED": 1, "BUFFERED": 2}

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "uint32": _Field.TYPE_UINT32,
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    """`_TYPES` as a descriptor."""
    file = descriptor_pb2.FileDescriptorProto(
        name="aigw/ext_proc.proto", package=_PACKAGE, syntax="proto3", dependency=["google/protobuf/struct.proto"]
    )
    for name, fields in _TYPES.items():
        declared = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _declare(declared, field, number, kind)
    return file


def _declare(owner: Any, name: str, number: int, kind: str) -> None:
    field = owner.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.startswith("map:"):
        entry = owner.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _declare(entry, "key", 1, "string")
        _declare(entry, "value", 2, kind.removeprefix("map:"))
        kind = f"*{owner.name}.{entry.name}"
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
    elif kind.startswith("?"):
        if not owner.oneof_decl:
            owner.oneof_decl.add(name="kind")
        field.oneof_index = 0
    kind = kind.lstrip("*?")
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{kind}" if kind == _STRUCT else f".{_PACKAGE}.{kind}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _TYPES}


_CLASSES: Final = _classes()
_Request: Final = _CLASSES["ProcessingRequest"]
_Response: Final = _CLASSES["ProcessingResponse"]


# ── Envoy → us ───────────────────────────────────────────────────────────────────────────────────────────────────────


def decode(data: bytes) -> Message:
    """One ProcessingRequest. Raises CodecError for bytes that are none, or of a kind that we do not know."""
    try:
        request = _Request.FromString(data)
    except message.DecodeError as exc:
        raise CodecError("not a ProcessingRequest") from exc
    kind = request.WhichOneof("kind")
    if kind is None:
        raise CodecError("a ProcessingRequest of an unknown kind")
    return _DECODERS[kind](request)


def _request_headers(request: Any) -> RequestHeaders:
    headers = request.request_headers
    attributes: dict[str, Plain] = {}
    metadata: dict[str, dict[str, Plain]] = {}
    if by_filter := request.attributes:
        # The map's keys are filter names; ours alone ask for attributes, so the level of names carries nothing.
        for struct in by_filter.values():
            attributes.update(_plain_struct(struct))
    if request.HasField("metadata_context"):
        namespaces = request.metadata_context.filter_metadata
        metadata = {name: _plain_struct(struct) for name, struct in namespaces.items()}
    return RequestHeaders(_headers(headers), headers.end_of_stream, attributes, metadata)


def _response_headers(request: Any) -> ResponseHeaders:
    headers = request.response_headers
    return ResponseHeaders(_headers(headers), headers.end_of_stream)


def _request_body(request: Any) -> RequestBody:
    body = request.request_body
    return RequestBody(body.body, body.end_of_stream)


def _response_body(request: Any) -> ResponseBody:
    body = request.response_body
    return ResponseBody(body.body, body.end_of_stream)


_DECODERS: Final[Mapping[str, Callable[[Any], Message]]] = {
    "request_headers": _request_headers,
    "response_headers": _response_headers,
    "request_body": _request_body,
    "response_body": _response_body,
    "request_trailers": lambda _: RequestTrailers(),
    "response_trailers": lambda _: ResponseTrailers(),
}


def _headers(block: Any) -> Headers:
    # `raw_value` is what Envoy fills; `value` is read for the test clients and old Envoys that fill it instead.
    return Headers(
        [
            (header.key, (header.raw_value or header.value.encode()).decode("latin-1"))
            for header in block.headers.headers
        ]
    )


def _plain_struct(struct: Any) -> dict[str, Plain]:
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain(value: Any) -> Plain:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind is None or kind == "null_value":
        return None
    scalar: str | float | bool = getattr(value, kind)
    return scalar


# ── us → Envoy ───────────────────────────────────────────────────────────────────────────────────────────────────────


def encode(reply: Reply) -> bytes:
    """One ProcessingResponse. Raises CodecError for a reply that cannot be sent (a `Forward`, a header name that is not
    ASCII)."""
    for ready, data in _READY.get(type(reply), ()):
        if ready == reply:
            return data
    encoder = _ENCODERS.get(type(reply))
    if encoder is None:
        raise CodecError(f"{type(reply).__name__} is not for Envoy")
    return _encode(encoder, reply)


def _encode(encoder: Callable[[Any, Any], None], reply: Reply) -> bytes:
    response = _Response()
    encoder(response, reply)
    return response.SerializeToString()  # type: ignore[no-any-return]


def _encode_headers(response: Any, reply: HeadersReply) -> None:
    common = getattr(response, f"{reply.phase}_headers").response
    common.SetInParent()
    if reply.replace:
        common.status = _CONTINUE_AND_REPLACE
    _encode_common(response, common, reply)
    if reply.response_body is not None:
        # All other modes are 0: Envoy has passed the request phases by then, and header modes read 0 as "as before".
        response.mode_override.response_body_mode = _BODY_MODES[reply.response_body]
        response.mode_override.SetInParent()


def _encode_body(response: Any, reply: BodyReply) -> None:
    common = getattr(response, f"{reply.phase}_body").response
    common.SetInParent()
    _encode_common(response, common, reply)


def _encode_common(response: Any, common: Any, reply: HeadersReply | BodyReply) -> None:
    if reply.set or reply.remove:
        _mutate(common.header_mutation, reply.set, reply.remove)
    if reply.body is not None:
        _put_body(common.body_mutation, reply.body)
    if reply.clear_route_cache:
        common.clear_route_cache = True
    if reply.metadata:
        _put_metadata(response, reply.metadata)


def _encode_trailers(response: Any, reply: TrailersReply) -> None:
    getattr(response, f"{reply.phase}_trailers").SetInParent()


def _encode_immediate(response: Any, reply: ImmediateReply) -> None:
    immediate = response.immediate_response
    immediate.status.code = reply.status
    if reply.headers:
        _mutate(immediate.headers, reply.headers, ())
    if reply.body:
        immediate.body = reply.body
    if reply.grpc_status is not None:
        immediate.grpc_status.status = reply.grpc_status
        immediate.grpc_status.SetInParent()
    if reply.details:
        immediate.details = reply.details
    if reply.metadata:
        _put_metadata(response, reply.metadata)


_ENCODERS: Final[Mapping[type, Callable[[Any, Any], None]]] = {
    HeadersReply: _encode_headers,
    BodyReply: _encode_body,
    TrailersReply: _encode_trailers,
    ImmediateReply: _encode_immediate,
}


def _put_body(mutation: Any, body: bytes) -> None:
    if body:
        mutation.body = body
    else:
        mutation.clear_body = True


def _mutate(mutation: Any, pairs: Pairs, remove: Iterable[str]) -> None:
    add = mutation.set_headers.add
    for name, value in pairs:
        option = add(append_action=_OVERWRITE_IF_EXISTS_OR_ADD)
        header = option.header
        header.key = name
        if value:
            header.raw_value = _wire(value)
        else:
            option.keep_empty_value = True
            header.SetInParent()
    if remove:
        mutation.remove_headers.extend(remove)


def _wire(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        # Not read from a header but made from other text (a model name): UTF-8, as every HTTP library sends it.
        return value.encode("utf-8", "replace")


def _put_metadata(response: Any, metadata: messages.Metadata) -> None:
    fields = response.dynamic_metadata.fields
    for namespace, members in metadata.items():
        inner = fields[namespace].struct_value.fields
        for key, value in members.items():
            _put_value(inner[key], value)


def _put_value(target: Any, value: MetadataValue) -> None:
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    else:
        target.number_value = value


_FREQUENT: Final = (
    messages.CONTINUE_REQUEST_HEADERS,
    messages.CONTINUE_RESPONSE_HEADERS,
    HeadersReply(phase="response", response_body="STREAMED"),
    messages.CONTINUE_RESPONSE_BODY,
    messages.CONTINUE_REQUEST_BODY,
)
_READY: Final[Mapping[type, tuple[tuple[Reply, bytes], ...]]] = {
    kind: tuple((reply, _encode(_ENCODERS[kind], reply)) for reply in _FREQUENT if type(reply) is kind)
    for kind in (HeadersReply, BodyReply)
}
"""Replies that say little and are said often; to compare with them costs a tenth of writing them anew."""


# ── grpc.health.v1 ───────────────────────────────────────────────────────────────────────────────────────────────────


def decode_health_request(data: bytes) -> str:
    """The service asked for; empty: the whole server. Raises CodecError."""
    try:
        request = _CLASSES["HealthCheckRequest"].FromString(data)
    except message.DecodeError as exc:
        raise CodecError("not a HealthCheckRequest") from exc
    service: str = request.service
    return service


def encode_health(*, serving: bool) -> bytes:
    """A HealthCheckResponse: SERVING or NOT_SERVING."""
    response: bytes = _CLASSES["HealthCheckResponse"](status=1 if serving else 2).SerializeToString()
    return response
