"""Writes `docs/reference`: every kind, field, condition, reason, flag and value, from the code that decides about them.

python -m hack.generate_reference          # `make generate`
python -m hack.generate_reference --check  # `make check-generated`: exit code 1 and the names of stale files
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from extension_server import options
from extension_server.api import aigateway, status
from extension_server.api.base import Model, Object
from hack import crd_schema, generate_crds
from hack.generate_crds import KINDS, Kind
from hack.reference import facts, types, values

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "docs" / "reference"
VALUES: Final = ROOT / "manifests" / "charts" / "ai-gateway-helm" / "values.yaml"
TYPES: Final = "types.md"
_OLD: Final[dict[type[Model], type[Model]]] = {
    aigateway.BackendSecurityPolicySpec: aigateway.BackendSecurityPolicySpecV1alpha1,
    aigateway.GCPCredentials: aigateway.GCPCredentialsV1alpha1,
}
"""what v1alpha1 has in the place of a model"""


@dataclass(frozen=True, slots=True)
class Page:
    """One kind."""

    file: str
    kind: Kind
    says: str
    columns: tuple[Mapping[str, Any], ...]
    sections: tuple[types.Section, ...]


def pages() -> tuple[tuple[Page, ...], tuple[types.Section, ...]]:
    """Kinds, and the types that more than one of them has. A type is on its kind's page, or on the shared one."""
    reached = {kind.name: _reached(_specification(kind)) for kind in KINDS}
    users: dict[type[Model], list[str]] = {}
    for name, models in reached.items():
        for model in models:
            users.setdefault(model, []).append(name)
    files = {kind.name: f"{kind.name.lower()}.md" for kind in KINDS}
    page_of = {model: files[names[0]] if len(names) == 1 else TYPES for model, names in users.items()}

    def section(model: type[Model], page: str) -> types.Section:
        return types.section(model, page_of, page, _OLD.get(model))

    found = tuple(
        Page(
            file=files[kind.name],
            kind=kind,
            says=crd_schema.document(kind.versions[0].model),
            columns=tuple(generate_crds.columns(kind)),
            sections=tuple(
                section(model, files[kind.name]) for model in reached[kind.name] if page_of[model] == files[kind.name]
            ),
        )
        for kind in KINDS
    )
    shared = sorted((model for model, page in page_of.items() if page == TYPES), key=types.title)
    condition = types.section(status.Condition, {}, TYPES)
    return found, (*(section(model, TYPES) for model in shared), condition)


def _specification(kind: Kind) -> type[Model]:
    model: type[Object] = kind.versions[0].model
    found = types.shape(model.model_fields["spec"].annotation).model
    assert found is not None, kind.name
    return found


def _reached(model: type[Model]) -> tuple[type[Model], ...]:
    """It and everything below it, as a reader meets them."""
    found: dict[type[Model], None] = {}
    todo = [model]
    while todo:
        each = todo.pop(0)
        if each not in found:
            found[each] = None
            todo = [*types.referred(each), *todo]
    return tuple(found)


def files() -> Iterator[tuple[Path, str]]:
    kinds, shared = pages()
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "reference" / "templates"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters["cell"] = types.cell
    for page in kinds:
        missing = facts.NOT_SERVED.get(page.kind.name, ())
        text = templates.get_template("kind.md.jinja").render(page=page, group=aigateway.GROUP, missing=missing)
        yield FOLDER / page.file, text
    yield FOLDER / TYPES, templates.get_template("types.md.jinja").render(sections=shared)
    yield FOLDER / "status.md", templates.get_template("status.md.jinja").render(facts=facts)
    yield FOLDER / "objects.md", templates.get_template("objects.md.jinja").render(facts=facts)
    rows = tuple(values.rows(VALUES.read_text(encoding="utf-8")))
    configuration = templates.get_template("configuration.md.jinja")
    yield FOLDER / "configuration.md", configuration.render(flags=options.FLAGS, values=rows)
    yield FOLDER / "README.md", templates.get_template("index.md.jinja").render(pages=kinds, group=aigateway.GROUP)


def main() -> int:
    """Exit code 1: a generated file is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    wanted = dict(files())
    present = set(FOLDER.glob("*.md"))
    if parser.parse_args().check:
        stale = sorted(path for path, text in wanted.items() if path not in present or path.read_text() != text)
        stale += sorted(present - wanted.keys())
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path in present - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
