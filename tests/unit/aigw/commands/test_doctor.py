"""`aigw doctor` on this machine, as far as it is about the file; tests/standalone looks at a running gateway."""

from pathlib import Path
from typing import Any

from filters.contract import jsonlib
from tests.unit.aigw.commands.world import example, invoke, written

TWO = example().replace("name: AWSBedrock", "name: Nobody").replace("name: Anthropic", "name: Somebody")


def test_what_is_right_of_a_file_with_errors_is_checked_all_the_same(tmp_path: Path) -> None:
    result = invoke("doctor", written(tmp_path, TWO), "--output", "json")
    assert result.exit_code == 1
    report = jsonlib.decode(result.stdout.encode(), dict[str, Any])
    checks = {each["check"]: each for each in report["checks"]}
    titles = [finding["title"] for finding in checks["file"]["findings"]]
    assert len(titles) == 2
    assert titles[0].startswith("document 7 (AIServiceBackend default/anthropic): spec.schema.name: Unsupported value")
    assert "listener http" in str(checks["ports"]["findings"])


def test_what_several_findings_mean_is_said_once(tmp_path: Path) -> None:
    screen = invoke("doctor", written(tmp_path, TWO)).stdout
    assert screen.count("aigw run does not start with this file") == 1
