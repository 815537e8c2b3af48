"""JSON schemas of clients → what Claude and Bedrock take. Read by the mappings of tools and of structured output.

`object_schema` is for the parameters of tools, where any schema goes as long as it describes an object. `closed` is for
schemas that the provider enforces (structured output, strict tools), where only a subset goes: what is not in it is
told to the model in prose, as Anthropic's own SDKs do.
Sources: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (JSON Schema limitations, "How SDK
transformation works"), https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw

ANY_OBJECT: Final = Raw(b'{"type":"object","properties":{}}')

_OBJECT: Final = Raw(b'"object"')
_read_object: Final = jsonlib.decoder(dict[str, Raw])
_read_any_list: Final = jsonlib.decoder(list[object])
_read_schema: Final = jsonlib.decoder(dict[str, object])


def object_schema(parameters: Raw) -> Raw | None:
    """`parameters`, byte for byte when they can be taken as they are.

    Null and `{}` become a schema of any object; a `type` that is no text becomes `object`; `properties` and `required`
    of a wrong type are left out (OpenAI does not mind them). None when it is no schema at all. Raises JsonError for
    nesting that is too deep.
    """
    if jsonlib.is_null(parameters):
        return ANY_OBJECT
    if not _starts(parameters, b"{"):
        return None
    members = _read_object(parameters)
    if not members:
        return ANY_OBJECT
    fixed = members if _starts(members.get("type"), b'"') else {"type": _OBJECT} | members | {"type": _OBJECT}
    changed = fixed is not members
    if "properties" in fixed and not _starts(fixed["properties"], b"{"):
        del fixed["properties"]
        changed = True
    if (required := fixed.get("required")) is not None:
        names = _read_any_list(required) if _starts(required, b"[") else None
        if names is None:
            del fixed["required"]
            changed = True
        elif not all(isinstance(name, str) for name in names):
            fixed["required"] = Raw(jsonlib.encode([name for name in names if isinstance(name, str)]))
            changed = True
    return Raw(jsonlib.encode(fixed)) if changed else parameters


def _starts(raw: Raw | None, first: bytes) -> bool:
    return raw is not None and bytes(memoryview(raw)[:1]) == first


class Closed(Struct, frozen=True):
    schema: Raw
    """the client's own text when it is in the subset already"""
    loosened: tuple[str, ...] = ()
    """keywords that are not enforced any more, in the order in which they were met"""


def closed(schema: Raw) -> Closed | None:
    """`schema` in the subset that is enforced; None when that would be another schema (maps, recursion, conditions).

    Every object is closed (`additionalProperties: false`): an answer to the result is an answer to `schema`.
    """
    try:
        root = _read_schema(schema)
    except JsonError:
        return None
    walk = _Walk()
    try:
        made = walk.schema(root)
    except (_Inexpressible, RecursionError):
        return None
    if walk.is_recursive():
        return None
    return Closed(Raw(jsonlib.encode(made)), tuple(walk.loosened)) if walk.changed else Closed(schema)


class _Inexpressible(Exception):
    pass


_PROSE: Final = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
        *("maxItems", "uniqueItems", "minProperties", "maxProperties", "discriminator"),
    }
)
"""Keywords that are refused, and that only narrow what the rest of the schema says."""
_REFUSED: Final = frozenset(
    {
        *("not", "if", "then", "else", "patternProperties", "propertyNames", "dependentSchemas", "dependentRequired"),
        *("contains", "minContains", "maxContains", "unevaluatedProperties", "unevaluatedItems", "prefixItems"),
    }
)
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf"})
_NAMED: Final = frozenset({"properties", "$defs", "definitions"})


class _Walk:
    """One pass over one schema."""

    __slots__ = ("_inside", "_references", "changed", "loosened")

    def __init__(self) -> None:
        self.changed = False
        self.loosened: dict[str, None] = {}
        self._inside = "#"
        self._references: dict[str, set[str]] = {}

    def schema(self, node: object) -> object:
        if not isinstance(node, Mapping):
            return node  # true, false
        made: dict[str, object] = {}
        prose: dict[str, object] = {}
        for name, value in node.items():
            if name in _REFUSED:
                raise _Inexpressible
            if _is_prose(name, value):
                prose[name] = value
            elif name in _NAMED and isinstance(value, Mapping):
                made[name] = {key: self._named(name, key, inner) for key, inner in value.items()}
            elif name in _LISTS and isinstance(value, list):
                made["anyOf" if name == "oneOf" else name] = [self.schema(inner) for inner in value]
                self.changed = self.changed or name == "oneOf"
            elif name == "items":
                made[name] = self.schema(value)
            else:
                made[name] = value
        if isinstance(reference := node.get("$ref"), str):
            self._references.setdefault(self._inside, set()).add(reference)
        if _describes_object(node):
            self._close(made)
        if prose:
            self.changed = True
            self.loosened.update(dict.fromkeys(prose))
            said = jsonlib.encode(prose).decode()
            before = made.get("description")
            made["description"] = f"{before}\n\n{said}" if isinstance(before, str) and before else said
        return made

    def _named(self, group: str, key: str, node: object) -> object:
        if group == "properties":
            return self.schema(node)
        outer, self._inside = self._inside, f"#/{group}/{key}"
        try:
            return self.schema(node)
        finally:
            self._inside = outer

    def _close(self, made: dict[str, object]) -> None:
        extra = made.get("additionalProperties", True)
        if extra is False:
            return
        given = "additionalProperties" in made
        properties = made.get("properties")
        if not (extra is True or extra == {}) or not isinstance(properties, Mapping) or (given and not properties):
            raise _Inexpressible  # a map: closed it would be empty for ever
        if given:
            self.loosened["additionalProperties"] = None
        made["additionalProperties"] = False
        self.changed = True

    def is_recursive(self) -> bool:
        """Some definition refers to itself, by however many steps."""
        done: set[str] = set()

        def visit(name: str, path: frozenset[str]) -> bool:
            if name in path:
                return True
            if name in done:
                return False
            found = any(visit(target, path | {name}) for target in self._references.get(name, ()))
            done.add(name)
            return found

        return any(visit(name, frozenset()) for name in self._references)


def _is_prose(name: str, value: object) -> bool:
    if name == "minItems":
        return value not in (0, 1)
    if name == "format":
        return not isinstance(value, str) or value not in _FORMATS
    return name in _PROSE


def _describes_object(node: Mapping[str, object]) -> bool:
    kind = node.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in node
