"""Bytes ⇄ messages of `envoy.service.ext_proc.v3.ExternalProcessor`. The only importer of protobuf in filters/.

`decode` gives what Envoy sent as a value of `filters.extproc.messages`, `encode` the bytes of a reply.

What is read: the types are declared here, with just the fields that we read, in a descriptor pool of our own: nothing
is registered globally, so no other package's Envoy classes can clash, and unknown fields are skipped by the parser.
Enums are declared as int32, which is the same on the wire. Bodies in the form that Envoy gives them are cut out of the
message by hand; every other form goes through the parser.
What is written, is written by hand (`filters.extproc.wire`): a third of the cost of message objects.

Header values are bytes on the wire (`raw_value`) and ISO-8859-1 text here (`filters.contract.headers`).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, struct_pb2

from filters.contract.config import MODEL_HEADER, ORIGINAL_PATH_HEADER, RULE_HEADER
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
from filters.extproc.wire import double, field, read_length, varint


class CodecError(ValueError):
    """The bytes are not a message that we know; the text holds no content."""


# ── the types ────────────────────────────────────────────────────────────────────────────────────────────────────────

_PACKAGE: Final = "aigw.ext_proc"
_STRUCT: Final = "google.protobuf.Struct"

# message → field → (number, type); `*` repeated, `?` member of the message's oneof, `map:` string keys
_TYPES: Final[Mapping[str, Mapping[str, tuple[int, str]]]] = {
    "HeaderValue": {"key": (1, "string"), "value": (2, "string"), "raw_value": (3, "bytes")},
    # `*HeaderValue`, which is the same on the wire: most headers are known from earlier requests, and need no parser.
    "HeaderMap": {"headers": (1, "*bytes")},
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
    "HealthCheckRequest": {"service": (1, "string")},
    "HealthCheckResponse": {"status": (1, "int32")},
}

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    """`_TYPES` as a descriptor."""
    file = descriptor_pb2.FileDescriptorProto(
        name="aigw/ext_proc.proto", package=_PACKAGE, syntax="proto3", dependency=["google/protobuf/struct.proto"]
    )
    for name, members in _TYPES.items():
        declared = file.message_type.add(name=name)
        for member, (number, kind) in members.items():
            _declare(declared, member, number, kind)
    return file


def _declare(owner: Any, name: str, number: int, kind: str) -> None:
    declared = owner.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.startswith("map:"):
        entry = owner.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _declare(entry, "key", 1, "string")
        _declare(entry, "value", 2, kind.removeprefix("map:"))
        kind = f"*{owner.name}.{entry.name}"
    if kind.startswith("*"):
        declared.label = _Field.LABEL_REPEATED
    elif kind.startswith("?"):
        if not owner.oneof_decl:
            owner.oneof_decl.add(name="kind")
        declared.oneof_index = 0
    kind = kind.lstrip("*?")
    if kind in _SCALARS:
        declared.type = _SCALARS[kind]
    else:
        declared.type = _Field.TYPE_MESSAGE
        declared.type_name = f".{kind}" if kind == _STRUCT else f".{_PACKAGE}.{kind}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file().SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _TYPES}


_CLASSES: Final = _classes()
_Request: Final = _CLASSES["ProcessingRequest"]
_HeaderMap: Final = _CLASSES["HeaderMap"]
_HeaderValue: Final = _CLASSES["HeaderValue"]


# ── Envoy → us ───────────────────────────────────────────────────────────────────────────────────────────────────────


_NOTHING_ELSE: Final = frozenset((b"", b"\x42\x00", b"\x42\x00\x5a\x02\x08\x02"))
"""What may follow: an empty `metadata_context`, which Envoy sends with every message when metadata was asked for, and
the `protocol_config` of the first message (request bodies are buffered)."""


_FIRST_MEMBER: Final = 0x0A
"""tag of `HttpBody.body` and of `HttpHeaders.headers`"""


def decode(data: bytes) -> Message:
    """One ProcessingRequest. Raises CodecError for bytes that are none, or of a kind that we do not know.

    A message with a body or headers and nothing else, in the order in which Envoy writes it, is cut by hand: that
    spares the message objects, and one of two copies of a body (1 µs for a body in place of 3).
    """
    form = _PLAIN_FORMS.get(data[0]) if data else None
    if form is None:
        return _parse(data)
    make, end_mark = form
    try:
        size, at = read_length(data, 1)
        end = at + size
        if end > len(data) or data[end:] not in _NOTHING_ELSE or data[at] != _FIRST_MEMBER:
            return _parse(data)
        size, at = read_length(data, at + 1)
    except IndexError:
        return _parse(data)
    rest = at + size
    last = data[rest:end]
    if rest > end or (last and last != end_mark):
        return _parse(data)
    return make(data[at:rest], last == end_mark)


def _parse(data: bytes) -> Message:
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
    return RequestHeaders(_headers(headers.headers), headers.end_of_stream, attributes, metadata)


def _response_headers(request: Any) -> ResponseHeaders:
    headers = request.response_headers
    return ResponseHeaders(_headers(headers.headers), headers.end_of_stream)


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


def _header_map(data: bytes) -> Headers:
    try:
        return _headers(_HeaderMap.FromString(data))
    except message.DecodeError as exc:
        raise CodecError("not a HeaderMap") from exc


_PLAIN_FORMS: Final[Mapping[int, tuple[Callable[[bytes, bool], Message], bytes]]] = {
    0x12: (lambda data, end: RequestHeaders(_header_map(data), end), b"\x18\x01"),
    0x1A: (lambda data, end: ResponseHeaders(_header_map(data), end), b"\x18\x01"),
    0x22: (RequestBody, b"\x10\x01"),
    0x2A: (ResponseBody, b"\x10\x01"),
}
"""tag of the message → what makes it of its first member and the flag, and how `end_of_stream: true` is written"""

_known_headers: Final[dict[bytes, tuple[str, str]]] = {}
"""Headers that many requests share, as they stand in a message → (name, value). Found by one look-up in place of a
parser's object, two texts and a decoding (0.1 µs, not 0.6)."""
_KNOWN_HEADERS: Final = 4096
_MAX_KNOWN: Final = 256
"""Bytes of a header that is worth remembering."""
_REPEATED: Final = frozenset(
    {
        *(":authority", ":method", ":path", ":scheme", ":status"),
        *("accept", "accept-encoding", "accept-language", "connection", "content-type", "server", "user-agent"),
        *("x-envoy-external-address", "x-envoy-internal", "x-forwarded-for", "x-forwarded-proto"),
        *("x-stainless-arch", "x-stainless-async", "x-stainless-lang", "x-stainless-os"),
        *("x-stainless-package-version", "x-stainless-runtime", "x-stainless-runtime-version"),
    }
)
"""Names whose headers are remembered: values repeat, and no credential is among them."""


def _headers(block: Any) -> Headers:
    known = _known_headers.get
    return Headers([known(header) or _header(header) for header in block.headers])


def _header(data: bytes) -> tuple[str, str]:
    """One HeaderValue. Raises CodecError."""
    size = len(data)
    value_at = data[1] + 4 if size > 1 else size
    if value_at < size < 128 and data[0] == 0x0A and data[value_at - 2 : value_at] == bytes((0x1A, size - value_at)):
        # As Envoy writes it, with one byte per length; the parser's object would cost half a microsecond more.
        value = data[value_at:]
        try:
            name = data[2 : value_at - 2].decode()
        except UnicodeDecodeError as exc:
            raise CodecError("a header name that is not UTF-8") from exc
    else:
        try:
            header = _HeaderValue.FromString(data)
        except message.DecodeError as exc:
            raise CodecError("not a HeaderValue") from exc
        # `raw_value` is what Envoy fills; `value` is read for the test clients and old Envoys that fill it instead.
        name, value = header.key, header.raw_value or header.value.encode()
    pair = (name, value.decode("latin-1"))
    if name in _REPEATED and size <= _MAX_KNOWN and b"?" not in data:  # a query can hold a key
        if len(_known_headers) >= _KNOWN_HEADERS:
            _known_headers.clear()
        _known_headers[data] = pair
    return pair


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
    ready = _READY.get(id(reply))
    if ready is not None:
        return ready
    encoder = _ENCODERS.get(type(reply))
    if encoder is None:
        raise CodecError(f"{type(reply).__name__} is not for Envoy")
    return encoder(reply)


# ProcessingResponse
_HEADERS_TAGS: Final[Mapping[str, bytes]] = {"request": b"\x0a", "response": b"\x12"}
_BODY_TAGS: Final[Mapping[str, bytes]] = {"request": b"\x1a", "response": b"\x22"}
_TRAILERS: Final[Mapping[str, bytes]] = {"request": b"\x2a\x00", "response": b"\x32\x00"}
_IMMEDIATE: Final = b"\x3a"
_DYNAMIC_METADATA: Final = b"\x42"
_MODE_OVERRIDE: Final[Mapping[str | None, bytes]] = {
    None: b"",
    # All other modes are 0: Envoy has passed the request phases by then, and header modes read 0 as "as before".
    "NONE": b"\x4a\x00",
    "STREAMED": b"\x4a\x02\x20\x01",
    "BUFFERED": b"\x4a\x02\x20\x02",
}
# HeadersResponse, BodyResponse, and the CommonResponse in them
_RESPONSE: Final = b"\x0a"
_CONTINUE_AND_REPLACE: Final = b"\x08\x01"
_HEADER_MUTATION: Final = b"\x12"
_BODY_MUTATION: Final = b"\x1a"
_CLEAR_ROUTE_CACHE: Final = b"\x28\x01"
# BodyMutation
_BODY: Final = b"\x0a"
_CLEAR_BODY: Final = b"\x10\x01"
# HeaderMutation, HeaderValueOption, HeaderValue
_SET: Final = b"\x0a"
_REMOVE: Final = b"\x12"
_HEADER: Final = b"\x0a"
_OVERWRITE_IF_EXISTS_OR_ADD: Final = b"\x18\x02"
_KEEP_EMPTY_VALUE: Final = b"\x20\x01"
_KEY: Final = b"\x0a"
_RAW_VALUE: Final = b"\x1a"


def _encode_headers(reply: HeadersReply) -> bytes:
    status = _CONTINUE_AND_REPLACE if reply.replace else b""
    return _common(_HEADERS_TAGS[reply.phase], status, reply) + _MODE_OVERRIDE[reply.response_body]


def _encode_body(reply: BodyReply) -> bytes:
    return _common(_BODY_TAGS[reply.phase], b"", reply)


def _common(tag: bytes, status: bytes, reply: HeadersReply | BodyReply) -> bytes:
    """The phase's member with a CommonResponse in it, and metadata. A body, which may be large, is copied once."""
    head = status
    if reply.set or reply.remove:
        head += field(_HEADER_MUTATION, _mutation(reply.set, reply.remove))
    body = reply.body
    if body is None:
        body = b""
    elif body:
        inner = _BODY + varint(len(body))
        head += _BODY_MUTATION + varint(len(inner) + len(body)) + inner
    else:
        head += field(_BODY_MUTATION, _CLEAR_BODY)
    tail = _CLEAR_ROUTE_CACHE if reply.clear_route_cache else b""
    size = len(head) + len(body) + len(tail)
    response = _RESPONSE + varint(size)
    metadata = _metadata(reply.metadata) if reply.metadata else b""
    return b"".join((tag, varint(len(response) + size), response, head, body, tail, metadata))


def _encode_trailers(reply: TrailersReply) -> bytes:
    return _TRAILERS[reply.phase]


def _encode_immediate(reply: ImmediateReply) -> bytes:
    members = field(b"\x0a", b"\x08" + varint(reply.status))
    if reply.headers:
        members += field(b"\x12", _mutation(reply.headers, ()))
    if reply.body:
        members += field(b"\x1a", reply.body)
    if reply.grpc_status is not None:
        members += field(b"\x22", b"\x08" + varint(reply.grpc_status))
    if reply.details:
        members += field(b"\x2a", reply.details.encode())
    return field(_IMMEDIATE, members) + (_metadata(reply.metadata) if reply.metadata else b"")


_ENCODERS: Final[Mapping[type, Callable[[Any], bytes]]] = {
    HeadersReply: _encode_headers,
    BodyReply: _encode_body,
    TrailersReply: _encode_trailers,
    ImmediateReply: _encode_immediate,
}


def _mutation(pairs: Pairs, remove: Iterable[str]) -> bytes:
    """A HeaderMutation."""
    written = [_routing_option(name, value) if name in _ROUTING else _option(name, value) for name, value in pairs]
    if remove:
        written += [field(_REMOVE, _header_name(name)) for name in remove]
    return b"".join(written)


def _option(name: str, value: str) -> bytes:
    """HeaderMutation.set_headers: a HeaderValueOption."""
    raw_name, raw = _header_name(name), _wire(value)
    size = len(raw_name) + len(raw)
    if raw and size < _SHORT:
        # The same as below: one formatting in place of nine concatenations.
        return b"\n%c\n%c\n%c%b\x1a%c%b\x18\x02" % (size + 8, size + 4, len(raw_name), raw_name, len(raw), raw)
    header = field(_KEY, raw_name)
    action = _OVERWRITE_IF_EXISTS_OR_ADD
    if raw:
        header += field(_RAW_VALUE, raw)
    else:
        action += _KEEP_EMPTY_VALUE
    return field(_SET, field(_HEADER, header) + action)


_SHORT: Final = 120
"""Bytes of name and value; each length then takes one byte."""
_ROUTING: Final = frozenset((MODEL_HEADER, RULE_HEADER, ORIGINAL_PATH_HEADER, "x-envoy-original-path"))
"""Set on every request, with few values, and never a credential."""
_routing_option: Final = lru_cache(maxsize=1024)(_option)


@lru_cache(maxsize=1024)
def _header_name(name: str) -> bytes:
    if not name.isascii():
        raise CodecError("a header name that is not ASCII")
    return name.encode()


def _wire(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        # Not read from a header but made from other text (a model name): UTF-8, as every HTTP library sends it.
        return value.encode("utf-8", "replace")


# google.protobuf.Struct and Value
_MEMBER: Final = b"\x0a"
_MEMBER_NAME: Final = b"\x0a"
_MEMBER_VALUE: Final = b"\x12"
_NUMBER: Final = b"\x11"
_TEXT: Final = b"\x1a"
_BOOL: Final = (b"\x20\x00", b"\x20\x01")
_NESTED: Final = b"\x2a"


def _metadata(metadata: messages.Metadata) -> bytes:
    """The `dynamic_metadata` of a ProcessingResponse: a Struct of one Struct per namespace."""
    namespaces = b"".join(
        [
            _member(
                namespace, field(_NESTED, b"".join([_written_member(name, value) for name, value in members.items()]))
            )
            for namespace, members in metadata.items()
        ]
    )
    return field(_DYNAMIC_METADATA, namespaces)


@lru_cache(maxsize=4096, typed=True)
def _written_member(name: str, value: MetadataValue) -> bytes:
    """Names of models, routes and backends, and token counts: the same again and again (1.5 µs each otherwise)."""
    if isinstance(value, str):
        return _member(name, field(_TEXT, value.encode("utf-8", "replace")))
    if isinstance(value, bool):
        return _member(name, _BOOL[value])
    return _member(name, double(_NUMBER, value))


def _member(name: str, value: bytes) -> bytes:
    """Struct.fields: name → a Value."""
    return field(_MEMBER, field(_MEMBER_NAME, name.encode("utf-8", "replace")) + field(_MEMBER_VALUE, value))


_FREQUENT: Final = (
    messages.CONTINUE_REQUEST_HEADERS,
    messages.CONTINUE_RESPONSE_HEADERS,
    messages.CONTINUE_RESPONSE_BODY,
    messages.CONTINUE_REQUEST_BODY,
)
_READY: Final[Mapping[int, bytes]] = {id(reply): _ENCODERS[type(reply)](reply) for reply in _FREQUENT}
"""Constants that live as long as the process, by identity: said several times per request, written once."""


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
