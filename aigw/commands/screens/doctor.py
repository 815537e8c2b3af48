"""The screen of `aigw doctor`."""

from itertools import zip_longest

from rich.console import Console
from rich.text import Text

from aigw.commands.checks.base import Finding
from aigw.commands.doctor import Report
from aigw.commands.report import counted
from aigw.commands.screens.base import conclusion, heading, marked


def draw(console: Console, report: Report) -> None:
    for checked in report.checks:
        heading(console, checked.title)
        for finding, following in zip_longest(checked.findings, checked.findings[1:]):
            # What several findings in a row mean, and what to do about all of them, is said once.
            same = following is not None and (finding.meaning, finding.fix) == (following.meaning, following.fix)
            marked(console, finding.severity, finding.title if same else _text(finding))
    console.print()
    counts = [counted(report.count(severity), severity) for severity in ("error", "warning")]
    conclusion(console, report.verdict, ", ".join(counts))


def _text(finding: Finding) -> Text:
    text = Text(finding.title)
    if finding.meaning:
        text.append(f"\n{finding.meaning}", style="dim")
    if finding.fix:
        text.append("\n→ ", style="bold")
        text.append(finding.fix)
    return text
