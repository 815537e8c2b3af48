"""xDS messages as plain values that people can read: typed configs unpacked, durations as `60s`, enums by name."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError

from extension_server.xds import pool
from extension_server.xds.pool import Message

_ANY: Final = "google.protobuf.Any"
_WRAPPER: Final = "google.protobuf."


def plain(message: Message) -> Any:
    """The message; members that are not set are left out."""
    name = str(message.DESCRIPTOR.full_name)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(message)
    if name.startswith(_WRAPPER) and name.endswith("Value"):
        return _scalar(message.DESCRIPTOR.fields_by_name["value"], message.value)
    return {field.name: _member(field, value) for field, value in message.ListFields()}


def _member(field: Any, value: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        of = kind.fields_by_name["value"]
        return {str(name): _single(of, value[name]) for name in sorted(value, key=str)}
    if _is_repeated(field):
        return [_single(field, each) for each in value]
    return _single(field, value)


def _is_repeated(field: Any) -> bool:
    return bool(field.is_repeated)


def _single(field: Any, value: Any) -> Any:
    return plain(value) if field.message_type is not None else _scalar(field, value)


def _scalar(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    if isinstance(value, bytes):
        return _bytes(value)
    return value


def _bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(value).decode()}"


def _any(message: Message) -> Any:
    type_ = pool.type_name(message)
    try:
        content = plain(pool.unpacked(message))
    except (KeyError, DecodeError):
        return {"@type": type_, "value": f"base64:{base64.b64encode(message.value).decode()}"}
    return {"@type": type_, **(content if isinstance(content, dict) else {"value": content})}


def _duration(message: Message) -> str:
    seconds = message.seconds + message.nanos / 1_000_000_000
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _struct(message: Message) -> dict[str, Any]:
    return {name: _value(message.fields[name]) for name in sorted(message.fields)}


def _value(message: Message) -> Any:
    kind = message.WhichOneof("kind")
    match kind:
        case "struct_value":
            return _struct(message.struct_value)
        case "list_value":
            return [_value(each) for each in message.list_value.values]
        case "null_value" | None:
            return None
        case "number_value":
            number = message.number_value
            return int(number) if number.is_integer() else number
        case _:
            return getattr(message, kind)


_SPECIAL: Final[Mapping[str, Callable[[Message], Any]]] = {
    _ANY: _any,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _value,
    "google.protobuf.ListValue": lambda message: [_value(each) for each in message.values],
}
