"""What every resource model is built from: strictness, defaults, and rules that stand beside the fields.

The offline verdict on an object equals the API server's: unknown fields are errors (strict field validation), null
members are dropped before defaulting, schema constraints come first, and the CEL rules of an object are evaluated only
when its own schema holds. Models are frozen; field names are snake_case here and camelCase on the wire.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from filters.contract import jsonlib

GROUP_PATTERN: Final = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
KIND_PATTERN: Final = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
KIND_OR_EMPTY_PATTERN: Final = r"^$|^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
DNS_LABEL_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
HOSTNAME_PATTERN: Final = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
HEADER_NAME_PATTERN: Final = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"
QUANTITY_PATTERN: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
BINARY_SI_PATTERN: Final = r"^[1-9]+[0-9]*([EPTGMK]i|[EPTGMk])?$"

Group = Annotated[str, Field(max_length=253, pattern=GROUP_PATTERN)]
Kind = Annotated[str, Field(min_length=1, max_length=63, pattern=KIND_PATTERN)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
Namespace = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL_PATTERN)]
SectionName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME_PATTERN)]
Hostname = Annotated[str, Field(min_length=1, max_length=253, pattern=HOSTNAME_PATTERN)]
PreciseHostname = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME_PATTERN)]
Duration = Annotated[str, Field(pattern=DURATION_PATTERN)]
HeaderName = Annotated[str, Field(min_length=1, max_length=256, pattern=HEADER_NAME_PATTERN)]
NonEmpty = Annotated[str, Field(min_length=1)]
HttpStatus = Annotated[int, Field(ge=100, le=599)]


@dataclass(frozen=True, slots=True)
class Format:
    """`format` of a field's schema. Numbers: bounds that it implies stand beside it. Texts: `test` is what the API
    server tests (its go-openapi formats)."""

    name: str
    test: Callable[[str], bool] | None = None
    read: Callable[[str], Any] = str

    def check(self, value: Any) -> Any:
        if self.test is None or not isinstance(value, str):
            return value
        try:
            if self.test(value):
                return self.read(value)
        except ValueError:
            pass
        raise PydanticCustomError("format", "must be of type {name}", {"name": self.name})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        return schema if self.test is None else core_schema.no_info_before_validator_function(self.check, schema)


@dataclass(frozen=True, slots=True)
class Unstated:
    """The default of this field is ours alone: the CRD states none, so that absent stays absent in stored objects."""


@dataclass(frozen=True, slots=True)
class Atomic:
    """A list that server-side apply replaces as a whole, said explicitly (`x-kubernetes-list-type: atomic`)."""


Int32 = Annotated[int, Format("int32"), Field(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Format("int64"), Field(ge=-(2**63), le=2**63 - 1)]
Port = Annotated[Int32, Field(ge=1, le=65535)]
Count = Annotated[Int32, Field(ge=0)]
Percent = Annotated[Int32, Field(ge=0, le=100)]
Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN)] | Int64
"""In a CRD: int-or-string."""
BufferSize = Annotated[str, Field(pattern=QUANTITY_PATTERN), Field(pattern=BINARY_SI_PATTERN)] | Int64
WholeNumber = Annotated[int, Field(ge=0, le=2**63 - 1)]

_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_BASE64: Final = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_AUTHORITY: Final = re.compile(
    r"([A-Za-z0-9._:~!$&'()*+,;=%@-]*@)?"
    r"(\[[0-9A-Fa-f:.]+(%25[^\]]+)?\]|([A-Za-z0-9._~!$&'()*+,;=\"<>-]|[^\x00-\x7f]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?"
)


def _is_request_uri(text: str) -> bool:
    """Go's url.ParseRequestURI: `scheme:…` or an absolute path, well formed."""
    if _CONTROL.search(text):
        return False
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    if not rest.startswith("/"):
        return scheme is not None and bool(rest or scheme)
    path, _, _ = rest.partition("?")
    if scheme is not None and path.startswith("//") and not path.startswith("///"):
        authority, slash, tail = path[2:].partition("/")
        if not _AUTHORITY.fullmatch(authority):
            return False
        path = slash + tail
    return _BAD_ESCAPE.search(path) is None


Uri = Annotated[str, Format("uri", _is_request_uri)]
Base64 = Annotated[str, Format("byte", lambda text: _BASE64.fullmatch(text) is not None)]
DateTime = Annotated[
    AwareDatetime,
    Format(
        "date-time",
        lambda text: _DATE_TIME.fullmatch(text) is not None,
        lambda text: datetime.fromisoformat(text.upper()),
    ),
]

_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|h|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_QUANTITY_PARTS: Final = re.compile(r"^([+-]?[0-9.]+)(.*)$")
_MULTIPLIERS: Final = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}


def seconds(duration: str) -> float:
    """`1h30m` as seconds. `duration` matches DURATION_PATTERN already."""
    return sum(int(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(duration))


def quantity(text: str | int) -> int:
    """`50Mi` as a whole number. Raises ValueError for fractions of a unit and exponents (no field here wants them)."""
    if isinstance(text, int):
        return text
    parts = _QUANTITY_PARTS.match(text)
    if parts is None or parts[2] not in _MULTIPLIERS:
        raise ValueError(f"{text!r} is not a quantity such as 50Mi")
    return int(float(parts[1]) * _MULTIPLIERS[parts[2]])


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule: the text that goes into the CRD, the message, and the same test in Python for offline use.

    As `Annotated` metadata it applies to one field (`x-kubernetes-validations` of that field's schema); in a model's
    `cel_rules` it applies to the object.
    """

    id: str
    cel: str
    message: str
    holds: Callable[[Any], bool]

    def accepts(self, value: Any) -> bool:
        return self.holds(value)

    def check(self, value: Any) -> Any:
        if not self.accepts(value):
            raise PydanticCustomError("cel", "{text}", {"text": self.message})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


@dataclass(frozen=True, slots=True)
class ListKey:
    """A list whose items are unique: by one member (map list, `key`), or as they are (set list, no key)."""

    key: str = ""

    def check(self, items: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        seen = set()
        for item in items or ():
            value = getattr(item, self.key) if self.key else item
            if value in seen:
                raise PydanticCustomError("duplicate", "Duplicate value: {value}", {"value": f'"{value}"'})
            seen.add(value)
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


class Model(BaseModel):
    """Any part of a resource."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
        defer_build=True,  # kinds that a file does not use cost nothing at start (measured: 45 ms of CPU)
    )

    cel_rules: ClassVar[tuple[Rule, ...]] = ()
    min_properties: ClassVar[int] = 0
    max_properties: ClassVar[int | None] = None
    atomic: ClassVar[bool] = False
    """server-side apply replaces such an object as a whole"""

    @model_validator(mode="after")
    def _own_rules(self) -> Self:
        size = len(self.model_fields_set)
        if size < self.min_properties:
            raise PydanticCustomError(
                "properties", "should have at least {limit} properties", {"limit": self.min_properties}
            )
        if self.max_properties is not None and size > self.max_properties:
            raise PydanticCustomError(
                "properties",
                "Too many: {size}: must have at most {limit} {items}",
                {"size": size, "limit": self.max_properties, "items": "item" if self.max_properties == 1 else "items"},
            )
        broken = [rule.message for rule in self.cel_rules if not rule.accepts(self)]
        if broken:
            raise PydanticCustomError("cel", "{text}", {"text": "; ".join(broken)})
        return self

    def dump(self) -> dict[str, Any]:
        """The object as it is written: camelCase; absent and empty members left out."""
        members: dict[str, Any] = _without_empty(self.model_dump(mode="json", by_alias=True, exclude_none=True))
        return members


def _without_empty(value: Any) -> Any:
    match value:
        case dict():
            members = ((name, _without_empty(member)) for name, member in value.items())
            return {name: member for name, member in members if member not in ({}, [])}
        case list():
            return [_without_empty(item) for item in value]
        case _:
            return value


class OwnerReference(Model):
    api_version: str
    kind: str
    name: str
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_ALPHANUMERIC: Final = "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_STANDALONE_ONLY: Final = "substitution.aigw.run/"
_MAX_ANNOTATIONS: Final = 256 * 1024


def _object_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise PydanticCustomError(
        "name",
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com')",
    )


def _check_key(key: str) -> None:
    """A qualified name: `name`, or `dns.subdomain/name`."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        raise PydanticCustomError("key", "a valid label key must consist of {text}", {"text": _ALPHANUMERIC})
    if slash and (len(prefix) > 253 or not _NAME.fullmatch(prefix)):
        raise PydanticCustomError(
            "key", "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters"
        )
    if len(name) > 63:
        raise PydanticCustomError("key", "name part must be no more than 63 bytes")
    if not _QUALIFIED.fullmatch(name):
        raise PydanticCustomError("key", "name part must consist of {text}", {"text": _ALPHANUMERIC})


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for key, value in labels.items():
        _check_key(key)
        if len(value) > 63:
            raise PydanticCustomError("label", "must be no more than 63 bytes")
        if value and not _QUALIFIED.fullmatch(value):
            raise PydanticCustomError(
                "label", "a valid label must be an empty string or consist of {text}", {"text": _ALPHANUMERIC}
            )
    return labels


def _annotations(annotations: dict[str, str]) -> dict[str, str]:
    for key in annotations:
        # Files for `aigw run` fill Secrets by `…/env/<key>`, which no API server would take.
        if not key.startswith(_STANDALONE_ONLY):
            _check_key(key.lower())
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
        raise PydanticCustomError(
            "annotations", "Too long: may not be more than {limit} bytes", {"limit": _MAX_ANNOTATIONS}
        )
    return annotations


class ObjectMeta(Model):
    """Of the server's own members, the ones that a dumped object may carry are accepted and mostly ignored."""

    name: Annotated[str, Field(max_length=253), AfterValidator(_object_name)]
    namespace: Namespace = "default"
    labels: Annotated[dict[str, str], AfterValidator(_labels)] = Field(default_factory=dict)
    annotations: Annotated[dict[str, str], AfterValidator(_annotations)] = Field(default_factory=dict)
    creation_timestamp: DateTime | None = None
    deletion_timestamp: DateTime | None = None
    deletion_grace_period_seconds: int | None = None
    generation: int | None = None
    resource_version: str | None = None
    uid: str | None = None
    self_link: str | None = None
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()
    managed_fields: tuple[dict[str, Any], ...] = ()


class Object(Model):
    """A whole resource. Subclasses fix `api_version` and `kind` and add `spec`."""

    namespaced: ClassVar[bool] = True

    api_version: str
    kind: str
    metadata: ObjectMeta

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """Empty for kinds without one."""
        return self.metadata.namespace if self.namespaced else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a document is not an object of its kind."""

    field: str
    """`spec.rules[0].backendRefs[1].name`"""
    message: str
    unknown_field: bool = False


class InvalidObject(ValueError):
    """The document does not fit its kind; `problems` are in the order of the fields."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


def parse(model: type[Object], document: Mapping[str, Any]) -> Object:
    """The object in `document`, defaulted and checked as the API server would. `status` is ignored.

    Problems are told in the API server's words where it has any: people look for them. Raises InvalidObject with
    everything that is wrong.
    """
    wanted = {key: value for key, value in document.items() if key != "status"}
    stored = _as_stored(wanted)
    # Through JSON: strict mode then knows arrays and date texts, and YAML's own types cannot slip in.
    text = jsonlib.encode(stored)
    try:
        result = model.model_validate_json(text)
    except ValidationError as exc:
        raise InvalidObject(_problems(exc.errors(include_url=False))) from exc
    written = jsonlib.encode(wanted)
    if len(written) != len(text):
        _refuse_unknown_nulls(model, written)
    return result


def parse_stored(model: type[Object], document: Mapping[str, Any]) -> Object:
    """The object in `document`, which an API server has accepted. Members that the model does not know are left out:
    they are of another release, or none of our business. `status` is ignored. Raises InvalidObject."""
    wanted = {key: value for key, value in document.items() if key != "status"}
    try:
        return model.model_validate_json(jsonlib.encode(_as_stored(wanted)), extra="ignore")
    except ValidationError as exc:
        raise InvalidObject(_problems(exc.errors(include_url=False))) from exc


def parse_part(model: type[Model], value: object) -> Model:
    """One member of an object that an API server has accepted, as `parse_stored` reads whole ones. Raises
    InvalidObject."""
    try:
        return model.model_validate_json(jsonlib.encode(_as_stored(value)), extra="ignore")
    except ValidationError as exc:
        raise InvalidObject(_problems(exc.errors(include_url=False))) from exc


def _refuse_unknown_nulls(model: type[Object], text: bytes) -> None:
    """A field that does not exist is an error although it holds nothing: it is misspelt."""
    try:
        model.model_validate_json(text)
    except ValidationError as exc:
        # Nulls of fields that do exist are no errors.
        unknown = [error for error in exc.errors(include_url=False) if error["type"] == "extra_forbidden"]
        if unknown:
            raise InvalidObject(_problems(unknown)) from exc


def _as_stored(value: Any) -> Any:
    """Without nulls, and 1.0 is the whole number 1."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**63:
            return int(value)
        case Mapping():
            return {str(key): _as_stored(member) for key, member in value.items() if member is not None}
        case list():
            return [_as_stored(item) for item in value]
        case _:
            return value


_TEXTS: Final[dict[str, str]] = {
    "missing": "Required value",
    "extra_forbidden": "unknown field",
    "string_type": "must be of type string",
    "string_too_short": "should be at least {min_length} chars long",
    "string_too_long": "Too long: may not be more than {max_length} bytes",
    "string_pattern_mismatch": "should match '{pattern}'",
    "int_type": "must be of type integer",
    "int_from_float": "must be of type integer",
    "bool_type": "must be of type boolean",
    "tuple_type": "must be of type array",
    "dict_type": "must be of type object",
    "model_type": "must be of type object",
    "model_attributes_type": "must be of type object",
    "greater_than_equal": "should be greater than or equal to {ge}",
    "less_than_equal": "should be less than or equal to {le}",
    "too_short": "should have at least {min_length} items",
    "too_long": "Too many: {actual_length}: must have at most {max_length} items",
    "json_invalid": "cannot be read: {error}",
    "datetime_type": "must be of type string",
}


_LITERAL: Final = re.compile(r"'([^']*)'|([0-9]+)")
"""the values in pydantic's `'A', 'B' or 'C'`"""


def _problems(errors: list[ErrorDetails]) -> tuple[Problem, ...]:
    # A list with a bad item is also reported as too short, because the item does not count.
    # Of "text or number" only the objection to the text is told, if there is one.
    paths = [error["loc"] for error in errors]
    real = (
        error
        for error in errors
        if not (error["type"] == "too_short" and _any_below(error["loc"], paths))
        and not (error["loc"][-1:] == ("constrained-int",) and _any_below(error["loc"][:-1], paths, but=error["loc"]))
    )
    return tuple(dict.fromkeys(_problem(error) for error in real))


_Path = tuple[int | str, ...]


def _any_below(path: _Path, paths: list[_Path], but: _Path = ()) -> bool:
    return any(len(each) > len(path) and each[: len(path)] == path for each in paths if each != but)


def _problem(error: ErrorDetails) -> Problem:
    path = ""
    for step in error["loc"]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith(("constrained-", "function-")) and step not in ("str", "int"):
            path += f".{step}" if path else step
    return Problem(path, _text(error), unknown_field=error["type"] == "extra_forbidden")


def _text(error: ErrorDetails) -> str:
    """The API server's words where it has any."""
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        values = ", ".join(f'"{text or number}"' for text, number in _LITERAL.findall(context["expected"]))
        given = error["input"]
        shown = f'"{given}"' if isinstance(given, str) else given
        return f"Unsupported value: {shown}: supported values: {values}"
    text = _TEXTS.get(error["type"])
    return text.format(**context) if text else error["msg"]
