"""The suite's report, compared with what the same Envoy Gateway passes without us (baseline.yaml)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import yaml
from rich.console import Console
from rich.table import Table

BASELINE: Final = Path(__file__).parent / "baseline.yaml"


class Statistics(msgspec.Struct, frozen=True, rename={"passed": "Passed", "failed": "Failed", "skipped": "Skipped"}):
    passed: int = 0
    failed: int = 0
    skipped: int = 0


class Level(msgspec.Struct, frozen=True, rename="camel"):
    """Core or extended features of a profile."""

    result: str = ""
    statistics: Statistics = Statistics()
    failed_tests: tuple[str, ...] = ()
    skipped_tests: tuple[str, ...] = ()


class Profile(msgspec.Struct, frozen=True):
    name: str
    core: Level
    extended: Level = Level()


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of a ConformanceReport (gateway.networking.k8s.io/v1)."""

    gateway_api_version: str = msgspec.field(name="gatewayAPIVersion")
    profiles: tuple[Profile, ...] = ()


class Passed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tests that pass without us, and the names of those that do not."""

    core: int
    extended: int = 0
    failing: tuple[str, ...] = ()


Baseline = Mapping[str, Passed]
"""profile → what passes"""


def read(path: Path) -> Report:
    """Raises msgspec.ValidationError, yaml.YAMLError, OSError."""
    return msgspec.convert(yaml.safe_load(path.read_bytes()), Report)


def baseline(release: str, path: Path = BASELINE) -> Baseline:
    """Of a release of Envoy Gateway, empty when none was measured. Raises as `read`."""
    return msgspec.convert(yaml.safe_load(path.read_bytes()), dict[str, dict[str, Passed]]).get(release, {})


def regressions(report: Report, without: Baseline) -> list[str]:
    """One sentence per test or figure that is worse than without us."""
    found = list[str]()
    profiles = {profile.name: profile for profile in report.profiles}
    for name, passed in without.items():
        profile = profiles.get(name)
        if profile is None:
            found.append(f"{name}: the report does not have it")
            continue
        for title, level, wanted in _levels(profile, passed):
            failed = [test for test in level.failed_tests if test not in passed.failing]
            found.extend(f"{name}, {title}: {test} fails" for test in failed)
            if level.statistics.passed < wanted and not failed:
                found.append(f"{name}, {title}: {level.statistics.passed} passed, without us {wanted}")
    return found


def _levels(profile: Profile, passed: Passed) -> Sequence[tuple[str, Level, int]]:
    return (("core", profile.core, passed.core), ("extended", profile.extended, passed.extended))


def show(report: Report, without: Baseline, console: Console) -> None:
    """One line per profile."""
    table = Table(title=f"Gateway API {report.gateway_api_version}", title_justify="left")
    table.add_column("profile")
    for title in ("core", "without us", "extended", "without us", "failed", "skipped"):
        table.add_column(title, justify="right")
    for profile in report.profiles:
        levels = (profile.core, profile.extended)
        before = without.get(profile.name)
        table.add_row(
            profile.name,
            str(profile.core.statistics.passed),
            "?" if before is None else str(before.core),
            str(profile.extended.statistics.passed),
            "?" if before is None else str(before.extended),
            str(sum(level.statistics.failed for level in levels)),
            str(sum(level.statistics.skipped for level in levels)),
        )
    console.print(table)
