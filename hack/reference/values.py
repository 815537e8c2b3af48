"""values.yaml of the chart → rows: path, default, and the comment that stands above it. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

_LINE: Final = re.compile(r"^( *)(?:#\s?(.*)|([A-Za-z][A-Za-z0-9]*):(.*))$")
MAX_DEFAULT: Final = 60


@dataclass(frozen=True, slots=True)
class Value:
    path: str
    default: str
    says: str


def rows(text: str) -> Iterator[Value]:
    """Leaves in the order of the file. A comment is for what follows it; that of a section is for its first leaf."""
    comments: list[str] = []
    parents: list[tuple[int, str]] = []
    lines = text.splitlines()
    tree = yaml.safe_load(text)
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            comments = [] if not line.strip() else comments
            continue
        indent, comment, name = len(found[1]), found[2], found[3]
        if comment is not None:
            comments.append(comment)
            continue
        parents = [(depth, each) for depth, each in parents if depth < indent]
        path = [each for _, each in (*parents, (indent, name))]
        parents.append((indent, name))
        value = _at(tree, path)
        says = " ".join(comments)
        comments = []
        if isinstance(value, dict) and value and not says:
            continue
        inner = isinstance(value, dict) and bool(value)
        yield Value(".".join(path), "" if inner else _shown(value), says)


def _at(tree: Any, path: list[str]) -> Any:
    for name in path:
        tree = tree[name] if isinstance(tree, dict) else None
    return tree


def _shown(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
    return text if len(text) <= MAX_DEFAULT else "see values.yaml"
