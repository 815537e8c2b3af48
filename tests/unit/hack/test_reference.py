"""The generated reference: fresh, complete, and without dead links."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack import crd_schema, generate_crds, generate_reference
from hack.generate_crds import KINDS, Kind
from hack.reference import facts, values

SOURCE = generate_reference.ROOT / "extension_server"
CALLS = {
    "Condition", "CredentialProblem", "Finding", "_error", "_finding", "_of_gateway", "_of_rule", "_warning", "problem",
}  # fmt: skip
"""what takes the reason of a finding or a condition"""
TABLES = {"_NO_LISTENERS", "_SHARED", "_SUCCEEDED", "_UNMARKED"}
"""constants that hold reasons"""
NO_REASONS = {"Accepted", "Programmed", "ResolvedRefs", "NotAccepted", "True", "False", "Unknown"} | {
    kind.name for kind in KINDS
}
"""what else stands in those: types and states of conditions, kinds"""


def test_the_pages_are_those_of_the_code() -> None:
    wanted = dict(generate_reference.files())
    assert {path: path.read_text() for path in generate_reference.FOLDER.glob("*.md")} == wanted


def reasons_of_the_code() -> set[str]:
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found.update(_reasons(node))
    return found - NO_REASONS


def _reasons(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in CALLS:
            keywords = [each.value for each in node.keywords if each.arg == "reason"]
            places: list[ast.expr] = [*node.args, *keywords]
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if name in TABLES:
            places = [each for each in ast.walk(node.value or node) if isinstance(each, ast.Constant)]
        case _:
            return
    for place in places:
        if isinstance(place, ast.Constant) and re.fullmatch(r"([A-Z][a-z]+)+", str(place.value)):
            yield str(place.value)


def test_every_reason_of_the_code_is_explained_and_no_other() -> None:
    told = {reason.name for section in facts.reasons().values() for reason in section}
    assert told - {"Accepted", "Programmed", "ResolvedRefs", "NotAccepted"} == reasons_of_the_code()
    text = (generate_reference.FOLDER / "status.md").read_text()
    assert all(f"| `{name}` |" in text for name in told)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_a_kind_is_on_its_page_or_on_the_shared_one(kind: Kind) -> None:
    folder = generate_reference.FOLDER
    text = (folder / f"{kind.name.lower()}.md").read_text() + (folder / "types.md").read_text()
    names = {
        name for version in kind.versions for name in _names(generate_crds.schema(kind, version)["properties"]["spec"])
    }
    assert {name for name in names if f"\n| `{name}`" not in text} == set()


def _names(schema: crd_schema.Schema) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from _names(inner)
    for member in ("items", "additionalProperties"):
        if isinstance(schema.get(member), dict):
            yield from _names(schema[member])


def test_every_value_of_the_chart_has_a_row() -> None:
    text = generate_reference.VALUES.read_text()
    rows = {row.path for row in values.rows(text)}
    missing = {path for path in _leaves(yaml.safe_load(text), "") if path not in rows}
    assert {path for path in missing if not any(path.startswith(f"{row}.") for row in rows)} == set()


def _leaves(tree: object, path: str) -> Iterator[str]:
    if isinstance(tree, dict) and tree:
        for name, member in tree.items():
            yield from _leaves(member, f"{path}.{name}" if path else name)
    else:
        yield path


LINK = re.compile(r"\]\(([^)#:\s]*)(#[^)\s]*)?\)")


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


DOCUMENTS = sorted(
    [
        *(generate_reference.ROOT / "docs").glob("*.md"),
        *generate_reference.FOLDER.glob("*.md"),
        generate_reference.ROOT / "README.md",
    ]
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    dead = []
    for target, anchor in LINK.findall(re.sub(r"`[^`]*`", "", path.read_text())):
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            dead.append(target + anchor)
    assert dead == []
