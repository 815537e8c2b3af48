"""Ties requirements to what proves them, both ways.

    conformance/requirements/<area>.yaml, conformance/cases/<provider>/requirements.yaml: a list of
        id: chat-bedrock-B22
        source: translation chapter §7.7 B22
        text: one sentence
        tests: [tests/unit/x/test_y.py::test_name]     # optional: proved by these besides, or instead of, cases
        deferred: why it is not built yet              # optional

Every requirement has a case, a named test or a deferral; every id in a case exists; a deferral of something that is
proved is stale. `problems` lists what does not hold.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import yaml

from conformance.case import CASES, Case, CaseError

REQUIREMENTS: Final = Path(__file__).parent / "requirements"
ROOT: Final = Path(__file__).parent.parent


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sentence that must hold."""

    id: str
    source: str
    text: str
    tests: tuple[str, ...] = ()
    deferred: str = ""


def load(folder: Path = REQUIREMENTS, cases: Path = CASES) -> list[Requirement]:
    """All requirements, in the order of the files. Raises CaseError naming file and key, also for an id given twice."""
    found: dict[str, Requirement] = {}
    for path in (*sorted(folder.glob("*.yaml")), *sorted(cases.glob("*/requirements.yaml"))):
        try:
            document = msgspec.convert(yaml.safe_load(path.read_bytes()) or [], tuple[Requirement, ...])
        except (msgspec.ValidationError, yaml.YAMLError) as exc:
            raise CaseError(f"{path}: {exc}") from exc
        for requirement in document:
            if requirement.id in found:
                raise CaseError(f"{path}: id {requirement.id} is given twice")
            found[requirement.id] = requirement
    return list(found.values())


def problems(requirements: Sequence[Requirement], cases: Iterable[Case], root: Path = ROOT) -> list[str]:
    """One sentence per broken tie; empty when everything holds."""
    cases_of: dict[str, list[str]] = {}
    for case in cases:
        for id_ in case.requirements:
            cases_of.setdefault(id_, []).append(case.name)
    known = {requirement.id for requirement in requirements}
    found = [f"{names[0]}: requirement {id_} does not exist" for id_, names in cases_of.items() if id_ not in known]
    for requirement in requirements:
        proofs = cases_of.get(requirement.id, [])
        found.extend(_test_problems(requirement, root))
        if requirement.deferred and (proofs or requirement.tests):
            found.append(
                f"{requirement.id}: deferred, but {(*proofs, *requirement.tests)[0]} proves it: stale deferral"
            )
        if not requirement.deferred and not proofs and not requirement.tests:
            found.append(f"{requirement.id}: no case and no test proves it ({requirement.source})")
    return found


def _test_problems(requirement: Requirement, root: Path) -> Iterator[str]:
    for test in requirement.tests:
        name, _, function = test.partition("::")
        path = root / name
        if not path.is_file():
            yield f"{requirement.id}: {name} does not exist"
        elif function.partition("[")[0] not in _functions(path):
            yield f"{requirement.id}: {name} has no test {function!r}"


def _functions(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
