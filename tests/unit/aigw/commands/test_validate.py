"""`aigw validate`: the verdicts are tested in tests/unit/aigw/standalone; this is how they are told."""

from pathlib import Path
from typing import Any

from filters.contract import jsonlib
from tests.unit.aigw.commands.world import example, invoke, written


def told(*arguments: str, code: int) -> dict[str, Any]:
    result = invoke("validate", "--output", "json", *arguments)
    assert result.exit_code == code, result.output
    return jsonlib.decode(result.stdout.encode(), dict[str, Any])


def test_every_object_gets_a_verdict(tmp_path: Path) -> None:
    (file,) = told(written(tmp_path), code=0)["files"]
    assert {each["verdict"] for each in file["objects"]} == {"ok"}
    assert file["objects"][2]["object"] == "AIGatewayRoute default/llm"


def test_a_problem_is_told_at_its_object_and_field(tmp_path: Path) -> None:
    (file,) = told(written(tmp_path, example().replace("name: AWSBedrock", "name: Nobody")), code=1)["files"]
    (bad,) = [each for each in file["objects"] if each["verdict"] == "error"]
    assert bad["object"] == "AIServiceBackend default/bedrock"
    assert bad["problems"][0]["field"] == "spec.schema.name"


def test_the_worst_file_decides(tmp_path: Path) -> None:
    good, bad = written(tmp_path), written(tmp_path, "kind: Gateway", "bad.yaml")
    assert [each["verdict"] for each in told(good, bad, code=1)["files"]] == ["ok", "error"]
    assert told(good, bad, str(tmp_path / "none.yaml"), code=2)["verdict"] == "error"


def test_standard_input_is_a_file_too() -> None:
    result = invoke("validate", "-", stdin=example())
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "✓ <stdin>: ok")
