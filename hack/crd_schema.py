"""Pydantic models of `extension_server.api` → structural OpenAPI v3 schemas, as CustomResourceDefinitions hold them.

Called by generate_crds.py and the tests. Knows types, constraints and rules, not kinds. What it cannot express is an
error: a model never means more than its CRD says, or the API server would take what `aigw validate` refuses.
"""

import ast
import functools
import inspect
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from extension_server.api.base import (
    BINARY_SI_PATTERN,
    QUANTITY_PATTERN,
    Atomic,
    BufferSize,
    Format,
    ListKey,
    Model,
    Quantity,
    Rule,
    Unstated,
)

Schema = dict[str, Any]

_INT64: Final = {"minimum": -(2**63), "maximum": 2**63 - 1}
_ORDER: Final = (
    "description", "type", "format", "enum", "default", "minimum", "maximum", "minLength", "maxLength", "pattern",
    "anyOf", "allOf", "minItems", "maxItems", "items", "minProperties", "maxProperties", "properties", "required",
    "additionalProperties", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type", "x-kubernetes-validations",
)  # fmt: skip
"""of the keywords in a schema: as people read it, whatever the order of the annotations"""
_SIZES: Final = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
_QUANTITIES: Final = (
    (Quantity, {"pattern": QUANTITY_PATTERN}),
    (BufferSize, {"allOf": [{"pattern": QUANTITY_PATTERN}, {"pattern": BINARY_SI_PATTERN}]}),
)
_SCALARS: Final[dict[Any, Schema]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    AwareDatetime: {"type": "string"},
    Any: {"x-kubernetes-preserve-unknown-fields": True},
}


def of_model(model: type[Model]) -> Schema:
    """The schema of an object."""
    texts = documents(model)
    properties: Schema = {}
    required: list[str] = []
    for name, field in model.model_fields.items():
        written = field.alias or name
        schema = of_type(field.annotation, field.metadata)
        if texts.get(name):
            schema["description"] = texts[name]
        if field.is_required():
            required.append(written)
        elif _stated(field):
            schema["default"] = field.default
        properties[written] = _in_order(schema)
    result: Schema = {"type": "object"}
    if own := document(model):
        result["description"] = own
    if properties:
        result["properties"] = dict(sorted(properties.items()))
    if required:
        result["required"] = sorted(required)
    if model.min_properties:
        result["minProperties"] = model.min_properties
    if model.max_properties is not None:
        result["maxProperties"] = model.max_properties
    if model.atomic:
        result["x-kubernetes-map-type"] = "atomic"
    return _with_rules(result, model.cel_rules)


def of_type(annotation: Any, metadata: Iterable[Any] = ()) -> Schema:
    """The schema of a value. Raises TypeError for what a CRD cannot say."""
    for quantity, constraints in _QUANTITIES:
        if annotation == quantity:
            either = [{"type": "integer"}, {"type": "string"}]
            return {"anyOf": either, "x-kubernetes-int-or-string": True, **constraints}
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return of_type(arguments[0], [*_flat(arguments[1:]), *metadata])
    if origin in (Union, types.UnionType):
        present = [argument for argument in arguments if argument is not type(None)]
        if len(present) == 1:
            return of_type(present[0], metadata)
        if len(present) == len(arguments):
            raise TypeError(f"no schema for {annotation!r}")
        # "text or number", with None beside it
        return of_type(Union[tuple(present)], metadata)  # noqa: UP007 - built at run time
    if origin is Literal:
        return _constrained(_enum(arguments), metadata)
    if origin is tuple:
        item, dots = arguments
        assert dots is ..., annotation
        return _constrained({"type": "array", "items": of_type(item)}, metadata)
    if origin is dict:
        key, value = arguments
        assert key is str, annotation
        return _constrained({"type": "object", "additionalProperties": of_type(value)}, metadata)
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return _constrained(of_model(annotation), metadata)
    if annotation in _SCALARS:
        return _constrained(dict(_SCALARS[annotation]), metadata)
    raise TypeError(f"no schema for {annotation!r}")


def _enum(values: tuple[Any, ...]) -> Schema:
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return {"type": "integer", "format": "int32", "enum": list(values)}
    if kinds != {str}:
        raise TypeError(f"no schema for the values {values!r}")
    return {"type": "string", "enum": list(values)}


def _flat(metadata: Iterable[Any]) -> list[Any]:
    result: list[Any] = []
    for each in metadata:
        result += each.metadata if isinstance(each, FieldInfo) else [each]
    return result


def _constrained(schema: Schema, metadata: Iterable[Any]) -> Schema:
    schema = dict(schema)
    rules: list[Rule] = []
    for each in _flat(metadata):
        match each:
            case Rule():
                rules.append(each)
            case Format():
                schema["format"] = each.name
            case MinLen():
                schema[_SIZES[schema["type"]][0]] = each.min_length
            case MaxLen():
                schema[_SIZES[schema["type"]][1]] = each.max_length
            case Ge():
                schema["minimum"] = max(each.ge, schema.get("minimum", each.ge))
            case Le():
                schema["maximum"] = min(each.le, schema.get("maximum", each.le))
            case ListKey(key=""):
                schema["x-kubernetes-list-type"] = "set"
            case ListKey():
                schema["x-kubernetes-list-type"] = "map"
                schema["x-kubernetes-list-map-keys"] = [_written(each.key)]
            case Atomic():
                schema["x-kubernetes-list-type"] = "atomic"
            case Unstated():
                pass
            case _ if (pattern := getattr(each, "pattern", None)) is not None:
                schema["pattern"] = pattern
            case _:
                raise TypeError(f"no schema for the constraint {each!r}")
    for bound, limit in _INT64.items():
        # Whole numbers of the API server are 64 bits wide anyway; those of 32 bits it does not check by their format.
        if schema.get(bound) == limit:
            del schema[bound]
    return _with_rules(schema, rules)


def _with_rules(schema: Schema, rules: Iterable[Rule]) -> Schema:
    if texts := [{"rule": rule.cel, "message": rule.message} for rule in rules]:
        schema["x-kubernetes-validations"] = texts
    return _in_order(schema)


def _in_order(schema: Schema) -> Schema:
    return {keyword: schema[keyword] for keyword in sorted(schema, key=_ORDER.index)}


def _written(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)


def _stated(field: FieldInfo) -> bool:
    """Does the CRD state the default of this field."""
    unstated = any(isinstance(each, Unstated) for each in (*field.metadata, *get_args(field.annotation)))
    return not unstated and field.default_factory is None and field.default is not None and field.default != ()


# ---- descriptions: what `kubectl explain` shows


def document(model: type[Model]) -> str:
    return _one_line(model.__doc__ or "")


def documents(model: type[Model]) -> dict[str, str]:
    """Field → the text that stands below it in the source, own fields and inherited ones."""
    result: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, Model) and base is not Model:
            result |= _texts_below(base)
    return result


@functools.cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}


def _texts_below(model: type[Model]) -> dict[str, str]:
    node = _classes(model.__module__)[model.__name__]
    found: dict[str, str] = {}
    for statement, below in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[statement.target.id] = _one_line(below.value.value)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


# ---- facts about a schema


def nodes(schema: Mapping[str, Any]) -> int:
    """How many values the schema describes, itself included."""
    inner = [*schema.get("properties", {}).values()]
    inner += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), Mapping)]
    return 1 + sum(nodes(each) for each in inner)


def rules(schema: Mapping[str, Any]) -> int:
    """How many CEL rules the schema holds."""
    inner = [*schema.get("properties", {}).values()]
    inner += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), Mapping)]
    return len(schema.get("x-kubernetes-validations", ())) + sum(rules(each) for each in inner)
