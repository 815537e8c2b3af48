from pathlib import Path

import pytest

from conformance import coverage
from conformance.case import Case, CaseError, load, load_all
from conformance.coverage import Requirement
from tests.unit.conformance.test_case import folder


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return load(folder(tmp_path), tmp_path)


def requirement(id_: str, *, tests: tuple[str, ...] = (), deferred: str = "") -> Requirement:
    return Requirement(id=id_, source="chapter §1", text="It holds.", tests=tests, deferred=deferred)


def test_everything_in_this_repository_is_tied() -> None:
    assert coverage.problems(coverage.load(), load_all()) == []


def test_a_tie_holds(case: Case) -> None:
    assert coverage.problems([requirement("r-1")], [case]) == []


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ([], []),
        ([requirement("r-2")], ["r-2: no case and no test proves it (chapter §1)"]),
        ([requirement("r-2", deferred="later")], []),
        ([requirement("r-2", tests=("t.py::test_it",))], []),
        ([requirement("r-2", tests=("t.py::test_it[a-b]",))], []),
        ([requirement("r-2", tests=("t.py::test_other",))], ["r-2: t.py has no test 'test_other'"]),
        ([requirement("r-2", tests=("u.py::test_it",))], ["r-2: u.py does not exist"]),
        (
            [requirement("r-2", tests=("t.py::test_it",), deferred="later")],
            ["r-2: deferred, but t.py::test_it proves it: stale deferral"],
        ),
    ],
)
def test_a_broken_tie_is_told(tmp_path: Path, case: Case, more: list[Requirement], problem: list[str]) -> None:
    (tmp_path / "t.py").write_text("def test_it(): ...\n")
    assert coverage.problems([requirement("r-1"), *more], [case], tmp_path) == problem


def test_an_id_that_does_not_exist_is_told(case: Case) -> None:
    assert coverage.problems([], [case]) == ["bedrock/chat_completions/plain: requirement r-1 does not exist"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- {id: a, source: s, text: t}\n- {id: a, source: s, text: t}\n", "id a is given twice"),
        ("- {id: a, source: s}\n", "missing required field `text`"),
        ("- {id: a, source: s, text: t, why: x}\n", "unknown field `why`"),
        ("[", "while parsing"),
    ],
)
def test_a_defect_of_a_requirements_file_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "area.yaml").write_text(text)
    with pytest.raises(CaseError, match=rf"area\.yaml: .*{problem}"):
        coverage.load(tmp_path, tmp_path)


def test_a_provider_may_bring_its_own_requirements(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "requirements.yaml").write_text("- {id: a, source: s, text: t}\n")
    assert [found.id for found in coverage.load(tmp_path, tmp_path)] == ["a"]
