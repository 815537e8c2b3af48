"""`aigw explain`: one request, and every rule. tests/standalone compares it with a running gateway."""

from pathlib import Path
from typing import Any

import pytest

from filters.contract import jsonlib
from tests.unit.aigw.commands.world import invoke, written

HOST = "ai.example.com"


def explained(tmp_path: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    result = invoke("explain", written(tmp_path), "--output", "json", *arguments)
    assert result.exit_code == code, result.output
    return jsonlib.decode(result.stdout.encode(), dict[str, Any])


def test_without_a_request_every_rule_is_listed(tmp_path: Path) -> None:
    found = explained(tmp_path)
    assert [(rule["rule"], rule["plan"]) for rule in found["rules"]] == [
        ("default/llm/rule/0", "single"),
        ("default/llm/rule/1", "attempt"),
        ("default/llm/rule/2", "single"),
        ("default/llm/rule/3", "single"),
        ("default/llm/rule/4", "single"),
    ]
    assert found["requests"] == []


@pytest.mark.parametrize(
    ("arguments", "rule", "backends"),
    [
        (["-m", "gpt-4o", "--host", HOST], "default/llm/rule/0", ["default/openai"]),
        (
            ["-m", "shared", "--host", "eu.models.example.com"],
            "default/llm/rule/1",
            ["default/openai", "default/anthropic"],
        ),
        (["-m", "claude-x", "--host", HOST, "-H", "x-team: blue"], "default/llm/rule/2", ["default/anthropic"]),
        (["-m", "claude-x", "--host", HOST, "-H", "x-team: red"], "default/llm/rule/3", ["default/bedrock"]),
        (["-m", "alias", "--host", HOST], "default/llm/rule/4", ["default/openai"]),
        (["-m", "gpt-4o"], "default/llm/rule/0", ["default/openai"]),
    ],
)
def test_a_request_is_followed_to_its_rule(
    tmp_path: Path, arguments: list[str], rule: str, backends: list[str]
) -> None:
    (one,) = explained(tmp_path, *arguments)["requests"]
    assert one["rule"]["rule"] == rule
    assert [sent["backend"] for sent in one["sent"]] == backends


def test_rules_that_do_not_match_say_what_does_not_hold(tmp_path: Path) -> None:
    (one,) = explained(tmp_path, "-m", "claude-x", "--host", HOST)["requests"]
    tried = {each["rule"]: each["why"] for each in one["tried"]}
    assert tried["default/llm/rule/0"] == "model is claude-x, not gpt-4o"
    assert tried["default/llm/rule/2"] == "header x-team is absent"
    assert tried["default/llm/rule/3"] == ""


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["-m", "unknown", "--host", HOST], 404, "model_not_found"),
        (["-m", "gpt-4o", "--host", "elsewhere.example.com"], 404, "model_not_found"),
        (["-m", "gpt-4o", "--host", HOST, "--path", "/v1/nothing"], 404, "unknown_path"),
    ],
)
def test_a_request_that_reaches_nobody_has_exit_code_1(
    tmp_path: Path, arguments: list[str], status: int, code: str
) -> None:
    (one,) = explained(tmp_path, *arguments, code=1)["requests"]
    assert (one["answer"]["status"], one["answer"]["code"], one["sent"]) == (status, code, [])


def test_a_body_is_sent_as_the_provider_would_get_it(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"model":"alias","seed":1,"messages":[{"role":"user","content":"hi"}]}')
    (one,) = explained(tmp_path, "--host", HOST, "--body", str(body))["requests"]
    (sent,) = one["sent"]
    assert sent["body"]["model"] == "real"
    assert "seed" not in sent["body"]
    assert one["sample"] is False


def test_what_a_provider_has_nothing_for_is_named(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"model":"claude-x","seed":1,"messages":[{"role":"user","content":"hi"}]}')
    (one,) = explained(tmp_path, "--host", HOST, "--body", str(body))["requests"]
    assert one["sent"][0]["dropped"] == ["seed"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-H", "nonsense"], "--header: write it as 'name: value'"),
        (["--body", "/no/such/file"], "cannot be read"),
    ],
)
def test_a_question_that_is_no_request_is_unusable(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = invoke("explain", written(tmp_path), *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
