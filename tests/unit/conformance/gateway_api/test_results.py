"""The suite's report beside what passes without us."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from conformance.gateway_api import results
from conformance.gateway_api.results import Passed, Report

REPORT = """
apiVersion: gateway.networking.k8s.io/v1
kind: ConformanceReport
gatewayAPIVersion: v1.5.1
profiles:
  - name: GATEWAY-HTTP
    summary: Core tests succeeded.
    core:
      result: success
      statistics: {Failed: 0, Passed: 33, Skipped: 0}
    extended:
      result: failure
      statistics: {Failed: 1, Passed: 49, Skipped: 1}
      failedTests: [HTTPRouteRetry]
      skippedTests: [HTTPRouteCORS]
      supportedFeatures: [GatewayPort8080]
"""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    (tmp_path / "report.yaml").write_text(REPORT)
    return results.read(tmp_path / "report.yaml")


@pytest.mark.parametrize(
    ("without", "found"),
    [
        ({"GATEWAY-HTTP": Passed(33, 50)}, ["GATEWAY-HTTP, extended: HTTPRouteRetry fails"]),
        ({"GATEWAY-HTTP": Passed(33, 49, ("HTTPRouteRetry",))}, []),
        (
            {"GATEWAY-HTTP": Passed(34, 50, ("HTTPRouteRetry",))},
            [
                "GATEWAY-HTTP, core: 33 passed, without us 34",
                "GATEWAY-HTTP, extended: 49 passed, without us 50",
            ],
        ),
        ({"GATEWAY-TLS": Passed(1)}, ["GATEWAY-TLS: the report does not have it"]),
        ({}, []),
    ],
)
def test_what_is_worse_than_without_us_is_named(report: Report, without: results.Baseline, found: list[str]) -> None:
    assert results.regressions(report, without) == found


def test_the_table_has_both_figures(report: Report) -> None:
    text = io.StringIO()
    results.show(report, {"GATEWAY-HTTP": Passed(33, 50)}, Console(file=text, width=110))
    (line,) = [line for line in text.getvalue().splitlines() if "GATEWAY-HTTP" in line]
    assert [word for word in line.split() if word.isdigit()] == ["33", "33", "49", "50", "1", "1"]


def test_the_stored_baseline_can_be_read() -> None:
    found = results.baseline("1.8")["GATEWAY-HTTP"]
    assert (found.core, found.extended) == (33, 50)
    assert results.baseline("0.1") == {}
