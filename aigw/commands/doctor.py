"""`aigw doctor`: every link of the chain, each finding with what it means and what to do.

A check is one entry of a table; a cluster's table is in `aigw.commands.cluster.checks`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from aigw.commands.checks import file, instance, ports, programs, providers
from aigw.commands.checks.base import Check, Context, Finding
from aigw.commands.report import Severity, worst

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Entry(Generic[C]):
    name: str
    """stable, for machines"""
    title: str
    check: Check[C]


STANDALONE: Final[tuple[Entry[Context], ...]] = (
    Entry("file", "Configuration file", file.check),
    Entry("names", "Host names of providers", providers.names),
    Entry("connections", "Connections to providers", providers.connections),
    Entry("envoy", "Envoy program", programs.envoy),
    Entry("filter", "Filter process", programs.filter_process),
    Entry("packages", "Python packages", programs.packages),
    Entry("ports", "Ports", ports.check),
    Entry("instance", "Running gateway", instance.check),
)
"""along the chain: what must hold before the next can"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    check: str
    title: str
    severity: Severity
    """the worst of its findings"""
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    subject: str
    """what was looked at: a file, or the address of an API server; empty: neither"""
    verdict: Severity
    checks: tuple[Checked, ...]

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for each in self.checks for finding in each.findings)


async def examine(context: C, table: Sequence[Entry[C]], *, subject: str = "") -> Report:
    """All checks at the same time; one that fails is a finding and no reason to leave out the others."""
    found = await asyncio.gather(*(_checked(entry, context) for entry in table))
    return Report(
        subject=subject,
        verdict=worst(each.severity for each in found),
        checks=tuple(found),
    )


async def _checked(entry: Entry[C], context: C) -> Checked:
    try:
        findings = tuple(await entry.check(context))
    except Exception as exc:  # the other checks go on
        defect = Finding(
            severity="error",
            title=f"the check itself failed: {type(exc).__name__}",
            meaning="nothing is known about this link",
            fix="report it, with the command line",
        )
        findings = (defect,)
    severity = worst(each.severity for each in findings)
    return Checked(check=entry.name, title=entry.title, severity=severity, findings=findings)
