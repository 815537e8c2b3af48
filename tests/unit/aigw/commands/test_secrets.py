"""No command prints a credential, in any form of its output."""

from pathlib import Path

import pytest

from tests.unit.aigw.commands.world import KEYS, PLANTED, example, invoke, written

REQUEST = ("--model", "alias", "--host", "ai.example.com")
COMMANDS = (
    ("validate",),
    ("validate", "--output", "json"),
    ("validate", "--kubernetes", "--output", "json"),
    ("translate",),
    ("translate", "--output", "json"),
    ("translate", "--xds"),
    ("translate", "--filter-config", "--output", "json"),
    ("explain",),
    ("explain", "--output", "json"),
    ("explain", *REQUEST),
    ("explain", *REQUEST, "--output", "json"),
    ("explain", "--model", "claude-x", "--host", "ai.example.com", "-H", "x-team: blue", "--output", "json"),
    ("explain", "--model", "claude-x", "--host", "ai.example.com", "--output", "json"),
    ("explain", "--model", "shared", "--host", "ai.example.com", "-H", f"authorization: Bearer {KEYS['client']}"),
)


def leaks(text: str) -> list[str]:
    return [name for name, value in KEYS.items() if value in text]


def test_the_file_of_these_tests_has_secrets_in_it() -> None:
    assert set(leaks(example())) >= {"openai", "anthropic", "header", "body", "aws_id", "aws_secret"}
    assert len(PLANTED) == len(KEYS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_output_holds_a_secret(tmp_path: Path, command: tuple[str, ...]) -> None:
    file = written(tmp_path)
    result = invoke(command[0], file, *command[1:], environment={"OPENAI_API_KEY": KEYS["environment"]})
    assert result.exit_code == 0, result.output
    assert result.stdout
    assert leaks(result.stdout + result.stderr) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_doctor_prints_none_either(tmp_path: Path, form: str) -> None:
    result = invoke("doctor", written(tmp_path), "--output", form)
    assert result.exit_code in (0, 1), result.output
    assert leaks(result.output) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("apiKey: sk-planted-openai-key", "apiKey: [sk-planted-openai-key]"),
        ("stringData:\n  apiKey: sk-planted-openai-key", "data:\n  apiKey: sk-planted-openai-key"),
        ("stringData:\n  apiKey: sk-planted-openai-key", "stringData: sk-planted-openai-key"),
        ("value: planted-header-secret", "value: [planted-header-secret]"),
    ],
)
@pytest.mark.parametrize("command", ["validate", "translate", "explain", "doctor"])
def test_what_is_wrong_with_a_secret_is_said_without_it(tmp_path: Path, command: str, old: str, new: str) -> None:
    text = example()
    assert old in text
    result = invoke(command, written(tmp_path, text.replace(old, new)))
    assert result.exit_code in (1, 2)
    assert leaks(result.output) == []


def test_a_key_that_was_put_into_another_field_by_substitution_is_not_shown(tmp_path: Path) -> None:
    text = example().replace("value: shown", 'value: "${SOME_API_KEY}"')
    environment = {"SOME_API_KEY": KEYS["environment"]}
    for command in (("translate",), ("explain",), ("explain", *REQUEST, "--output", "json")):
        result = invoke(command[0], written(tmp_path, text), *command[1:], environment=environment)
        assert result.exit_code == 0, result.output
        assert leaks(result.output) == []
