"""YAML text with `${VAR}` in it → plain documents. Knows nothing of resources.

Scalars are read by YAML 1.2's core schema, as Kubernetes tools do in effect: `yes` and `2026-01-02` stay text
(and so do exponents: `1e3` is likelier a piece of a key than a number).
Variables are put into scalars after the text has been parsed, so a value can never change the structure of the
document; a plain (unquoted) scalar is then read for its type, so `port: ${PORT}` is a number.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

_VARIABLE: Final = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)([^}]*))?\}|\$\{")
_NULLS: Final = ("", "~", "null", "Null", "NULL")
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+")
_TAGS: Final = "tag:yaml.org,2002:"
_MAX_NODES: Final = 1_000_000
"""two thousand routes with everything are a tenth of it"""
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FLOAT: Final = re.compile(r"[-+]?[0-9]*\.[0-9]+")


class BadYaml(ValueError):
    """The syntax is broken; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Document:
    number: int
    """from 1, counting every document of the file"""
    content: Any
    """None, bool, int, float, str, list, dict"""
    errors: tuple[str, ...] = ()
    """why the content cannot be used, although the syntax is sound: variables not set, keys that stand twice"""


def read(text: str, environment: Mapping[str, str] | None) -> Iterator[Document]:
    """Every document that holds something. Without an environment `${VAR}` stays as it is written.

    Raises BadYaml when the syntax is broken.
    """
    loader = _Loader(text)
    try:
        number = 0
        while loader.check_node():
            number += 1
            node = loader.get_node()
            assert node is not None  # check_node said so
            reader = _Reader(environment)
            content = reader.value(node, "")
            if content is not None or reader.errors:
                yield Document(number, content, tuple(reader.errors))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        reason = "; ".join(part for part in (exc.context, exc.problem) if part)
        raise BadYaml(f"{where}not valid YAML: {reason}") from exc
    except yaml.YAMLError as exc:
        raise BadYaml(f"not valid YAML: {exc}") from exc
    finally:
        loader.dispose()


class _Reader:
    """Reads the nodes of one document. A defect goes to `errors`; what it concerns reads as null."""

    def __init__(self, environment: Mapping[str, str] | None) -> None:
        self.environment = environment
        self.errors: list[str] = []
        self.open: set[int] = set()
        """nodes being read: an anchor that contains itself would never end"""
        self.count = 0

    def value(self, node: yaml.Node, path: str) -> Any:
        self.count += 1
        if self.count == _MAX_NODES:
            self._error(node, path, f"more than {_MAX_NODES} values; is an alias repeated over and over?")
        if self.count >= _MAX_NODES:
            return None
        if not node.tag.startswith(_TAGS):
            return self._error(node, path, f"tag {node.tag} is not known")
        if id(node) in self.open:
            return self._error(node, path, "an alias refers to what contains it")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(node, path)
        finally:
            self.open.remove(id(node))

    def _error(self, node: yaml.Node, path: str, message: str) -> None:
        where = f"{path}: " if path else ""
        self.errors.append(f"{where}{message} (line {node.start_mark.line + 1})")

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        members: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._error(key_node, path, "keys must be text")
                continue
            key = self._substituted(key_node, path)
            where = f"{path}.{key}" if path else key
            if key == "<<":
                merged |= self._merged(value_node, where)
            elif key in members:
                self._error(key_node, where, "stands twice")
            else:
                members[key] = self.value(value_node, where)
        return {**merged, **members}

    def _merged(self, node: yaml.Node, path: str) -> dict[str, Any]:
        value = self.value(node, path)
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            self._error(node, path, "must be given mappings")
            return {}
        return {key: member for part in reversed(parts) for key, member in part.items()}

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Any:
        text = self._substituted(node, path)
        quoted = node.style not in (None, "")
        return text if quoted or _is_text(node) else _plain(text)

    def _substituted(self, node: yaml.ScalarNode, path: str) -> str:
        environment = self.environment
        if environment is None:
            return str(node.value)

        def replacement(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            name, operator, default = found[1], found[2], found[3]
            if name is None:
                self._error(node, path, "not a variable: write ${NAME}, ${NAME:-default}, or $$ for a dollar sign")
                return ""
            value = environment.get(name)
            if value is not None and (value or operator != ":-"):
                return value
            if operator is not None:
                return str(default)
            self._error(node, path, f"environment variable {name} is not set; set it, or write ${{{name}:-default}}")
            return ""

        return _VARIABLE.sub(replacement, node.value)


def _is_text(node: yaml.ScalarNode) -> bool:
    """`!!str 123`: the tag says text although the characters would not."""
    return node.tag == f"{_TAGS}str" and _plain(node.value) != node.value


def _plain(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
