"""docs/commands.md shows what the commands really print."""

from pathlib import Path

import pytest

from tests.support import screens

PAGE = screens.PAGE.read_text()


@pytest.mark.parametrize(("command", "shown"), screens.blocks(PAGE), ids=lambda value: value.partition("\n")[0])
def test_a_screen_of_the_page_is_what_the_command_prints(
    command: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(screens.ROOT)
    assert screens.screen(command) == shown, "python -m tests.support.screens writes it anew"


def test_every_command_has_a_screen() -> None:
    shown = {command.split()[1] for command, _ in screens.blocks(PAGE)}
    assert shown == {"validate", "explain", "translate", "doctor"}
    assert Path(screens.ROOT, "examples", "failover.yaml").exists()
