"""YAML text with `${VAR}` in it → plain documents. Knows nothing of resources.

Scalars are read by YAML 1.2's core schema, as Kubernetes tools do in effect: `yes` and `2026-01-02` stay text. Variables
are put into scalars after the text has been parsed, so a value can never change the structure of the document; a plain
(unquoted) scalar is then read for its type, so `port: ${PORT}` is a number.
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
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class BadYaml(ValueError):
    """The text cannot be read; `str` says where and why. `document` is its number, or None when the syntax is broken."""

    def __init__(self, message: str, document: int | None = None) -> None:
        super().__init__(message)
        self.document = document


@dataclass(frozen=True, slots=True)
class Document:
    number: int
    """from 1, counting every document of the file"""
    content: Any
    """None, bool, int, float, str, list, dict"""
    error: str = ""
    """why the content cannot be used (a variable that is not set, a key that stands twice); the syntax is sound"""


def read(text: str, environment: Mapping[str, str]) -> Iterator[Document]:
    """Every document that holds something. Raises BadYaml when the syntax is broken."""
    loader = yaml.SafeLoader(text)
    try:
        number = 0
        while loader.check_node():
            number += 1
            node = loader.get_node()
            try:
                content = _Reader(environment).value(node)
            except _Bad as exc:
                yield Document(number, None, str(exc))
            else:
                if content is not None:
                    yield Document(number, content)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        reason = "; ".join(part for part in (exc.context, exc.problem) if part)
        raise BadYaml(f"{where}not valid YAML: {reason}") from exc
    except yaml.YAMLError as exc:
        raise BadYaml(f"not valid YAML: {exc}") from exc
    finally:
        loader.dispose()


class _Bad(ValueError):
    pass


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.open: set[int] = set()
        """nodes being read: an anchor that contains itself would never end"""

    def value(self, node: yaml.Node) -> Any:
        if id(node) in self.open:
            raise _Bad(f"line {_line(node)}: an alias refers to what contains it")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item) for item in node.value]
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(node)
        finally:
            self.open.remove(id(node))

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Bad(f"line {_line(key_node)}: keys must be text")
            key = self._substituted(key_node)
            if key in members:
                raise _Bad(f"line {_line(key_node)}: key {key} stands twice")
            members[key] = self.value(value_node)
        return members

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = self._substituted(node)
        if node.style is not None or node.tag == "tag:yaml.org,2002:str" and node.value == text and _explicit(node):
            return text
        return _plain(text)

    def _substituted(self, node: yaml.ScalarNode) -> str:
        def replacement(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            name, operator, default = found[1], found[2], found[3]
            if name is None:
                raise _Bad(
                    f"line {_line(node)}: not a variable: write ${{NAME}}, ${{NAME:-default}}, or $$ for a dollar sign"
                )
            value = self.environment.get(name)
            if value is not None and (value or operator != ":-"):
                return value
            if operator is not None:
                return default
            raise _Bad(
                f"line {_line(node)}: environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )

        return _VARIABLE.sub(replacement, node.value)


def _explicit(node: yaml.ScalarNode) -> bool:
    """A plain scalar with an explicit `!!str`: only then does the tag differ from what the text resolves to."""
    return _plain(node.value) != node.value


def _plain(text: str) -> Any:
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1
