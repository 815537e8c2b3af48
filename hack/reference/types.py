"""Resource models → what a reference page says about them: fields with type, default and limits in words. Pure.

The walk is over the models, so that a type which occurs many times is told once; constraints are those that
hack/crd_schema.py puts into the CustomResourceDefinitions, so the page says what the API server does.
"""

import re
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from extension_server.api import base
from extension_server.api.base import Model
from filters.contract import jsonlib
from hack import crd_schema

_PATTERNS: Final = {
    base.GROUP_PATTERN: "an API group, or empty",
    base.KIND_PATTERN: "a kind",
    base.KIND_OR_EMPTY_PATTERN: "a kind, or empty",
    base.DNS_LABEL_PATTERN: "lower-case letters, digits and `-`",
    base.DNS_NAME_PATTERN: "a DNS name in lower case",
    base.HOSTNAME_PATTERN: "a DNS name in lower case; `*.` may stand before it",
    base.DURATION_PATTERN: "a duration: whole numbers with `h`, `m`, `s`, `ms`, such as `1m30s`",
    base.HEADER_NAME_PATTERN: "characters of header names",
    base.QUANTITY_PATTERN: "a quantity, such as `50Mi`",
    base.BINARY_SI_PATTERN: "a whole number with `Ki`, `Mi`, `Gi`, … or `k`, `M`, `G`, …",
}
_PRIMITIVES: Final[dict[Any, str]] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    Any: "any",
    AwareDatetime: "string (date-time)",
}


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    type: str
    """in Markdown, with links to models that have a section"""
    required: bool
    default: str
    limits: tuple[str, ...]
    """sentences without a full stop"""
    says: str
    since: str = ""
    """the only version that has it, if not all do"""


@dataclass(frozen=True, slots=True)
class Section:
    """One model."""

    name: str
    says: str
    fields: tuple[Field, ...]
    rules: tuple[str, ...]
    """messages of the rules over the object as a whole"""


@dataclass(frozen=True, slots=True)
class Shape:
    """An annotation, taken apart: the constraints of each level, and the model at the end, if any."""

    text: str
    limits: tuple[str, ...]
    model: type[Model] | None


def title(model: type[Model]) -> str:
    """The name that people know: without what tells our versions apart."""
    return model.__name__.removeprefix("_")


def referred(model: type[Model]) -> tuple[type[Model], ...]:
    """Models of its fields, each once, in order."""
    shapes = (shape(each.annotation, each.metadata) for each in model.model_fields.values())
    return tuple(dict.fromkeys(each.model for each in shapes if each.model is not None))


def section(
    model: type[Model], page_of: "dict[type[Model], str]", page: str, old: type[Model] | None = None
) -> Section:
    """`page_of`: file of every model. `page`: the file that this section is for. `old`: the same in v1alpha1."""
    documents = crd_schema.documents(model)
    return Section(
        name=title(model),
        says=crd_schema.document(model),
        fields=tuple(_field(model, name, documents.get(name, ""), page_of, page, old) for name in model.model_fields),
        rules=(*_size(model), *(rule.message for rule in model.cel_rules)),
    )


def _size(model: type[Model]) -> Iterator[str]:
    if model.min_properties and model.min_properties == model.max_properties:
        yield f"exactly {model.min_properties} of the fields must be set"
    elif model.min_properties:
        yield f"at least {model.min_properties} of the fields must be set"
    elif model.max_properties is not None:
        yield f"at most {model.max_properties} of the fields may be set"


def _field(
    model: type[Model],
    name: str,
    says: str,
    page_of: "dict[type[Model], str]",
    page: str,
    old: type[Model] | None,
) -> Field:
    info = model.model_fields[name]
    found = shape(info.annotation, info.metadata)
    text = found.text
    if found.model is not None:
        where = page_of[found.model]
        anchor = title(found.model).lower()
        link = f"#{anchor}" if where == page else f"{where}#{anchor}"
        text = text.replace("\0", f"[{title(found.model)}]({link})")
    return Field(
        name=info.alias or name,
        type=text,
        required=info.is_required(),
        default=_default(info),
        limits=found.limits,
        says=says,
        since="v1beta1" if old is not None and name not in old.model_fields else "",
    )


def _default(info: FieldInfo) -> str:
    if info.is_required() or info.default_factory is not None or info.default in (None, (), ""):
        return ""
    value = info.default.dump() if isinstance(info.default, Model) else info.default
    return f"`{jsonlib.encode(value).decode()}`"


def shape(annotation: Any, metadata: Iterable[Any] = ()) -> Shape:
    """Raises TypeError for what a CRD cannot say either."""
    metadata = list(metadata)
    for quantity in (base.Quantity, base.BufferSize):
        if annotation == quantity:
            return Shape("integer or string", _limits(crd_schema.of_type(annotation)), None)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape(arguments[0], [*arguments[1:], *metadata])
    if origin in (Union, types.UnionType):
        present = [each for each in arguments if each is not type(None)]
        return shape(present[0] if len(present) == 1 else Union[tuple(present)], metadata)  # noqa: UP007
    if origin is Literal:
        schema = crd_schema.of_type(annotation, metadata)
        return Shape(schema["type"], _limits(schema), None)
    if origin is tuple:
        return _of_many("list", arguments[0], crd_schema.of_type(tuple[Any, ...], metadata), "each")
    if origin is dict:
        return _of_many("map", arguments[1], crd_schema.of_type(dict[str, Any], metadata), "each value")
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return Shape("\0", _limits(crd_schema.of_type(Any, metadata)), annotation)
    if annotation in _PRIMITIVES:
        schema = crd_schema.of_type(annotation, metadata)
        kind = f"string ({schema['format']})" if schema.get("type") == "string" and "format" in schema else ""
        return Shape(kind or _PRIMITIVES[annotation], _limits(schema), None)
    raise TypeError(f"no words for {annotation!r}")


def _of_many(what: str, item: Any, schema: crd_schema.Schema, each: str) -> Shape:
    inner = shape(item)
    limits = (*_limits(schema), *(f"{each}: {limit}" for limit in inner.limits))
    return Shape(f"{what} of {inner.text}", limits, inner.model)


def _limits(schema: crd_schema.Schema) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_sentences(schema)))


def _sentences(schema: crd_schema.Schema) -> Iterator[str]:
    if "enum" in schema:
        yield "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    yield from _range(schema, "minimum", "maximum", "")
    yield from _range(schema, "minLength", "maxLength", " characters")
    yield from _range(schema, "minItems", "maxItems", " items")
    for each in (schema, *schema.get("allOf", ())):
        if "pattern" in each:
            yield _PATTERNS.get(each["pattern"]) or f"matches `{each['pattern']}`"
    match schema.get("x-kubernetes-list-type"):
        case "set":
            yield "no item twice"
        case "map":
            yield f"no `{schema['x-kubernetes-list-map-keys'][0]}` twice"
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule["message"]


def _range(schema: crd_schema.Schema, least: str, most: str, unit: str) -> Iterator[str]:
    low, high = schema.get(least), schema.get(most)
    if high is not None and high >= 2**31 - 1:
        high = None if low is not None else high  # the width of the number, not a limit of its own
    if low is not None and low <= -(2**31):
        return
    if low is not None and high is not None:
        yield f"{low} to {high}{unit}"
    elif low == 1 and unit:
        yield "not empty"
    elif low is not None:
        yield f"at least {low}{unit}"
    elif high is not None:
        yield f"at most {high}{unit}"


def cell(text: str) -> str:
    """For a table of Markdown."""
    parts = re.sub(r"\s+", " ", text).replace("|", "\\|").split("`")
    return "`".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))
