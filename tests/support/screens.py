"""The screens in docs/commands.md: `python -m tests.support.screens` writes them, a test compares.

A block of kind `console` begins with a command line; what follows is what the command prints, 100 columns wide. The
cluster of `aigw doctor --kubernetes` is made up, with one fault.
"""

import asyncio
import io
import re
import shlex
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from typer.testing import CliRunner

from aigw.cli import app
from aigw.commands.cluster.checks import CLUSTER
from aigw.commands.doctor import examine
from aigw.commands.screens import doctor
from tests.unit.aigw.commands import cluster_world as world

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "commands.md"
FAULT: Final = "no extension manager"
WIDTH: Final = 100
_ENVIRONMENT: Final = {"COLUMNS": str(WIDTH), "OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y", "NO_COLOR": "1"}
_BLOCK: Final = re.compile(r"```console\n\$ (?P<command>[^\n]+)\n(?P<screen>.*?)```", re.DOTALL)


def blocks(text: str) -> list[tuple[str, str]]:
    """(command line, screen) of each block."""
    return [(each["command"], each["screen"]) for each in _BLOCK.finditer(text)]


def rewritten(text: str) -> str:
    return _BLOCK.sub(lambda each: f"```console\n$ {each['command']}\n{screen(each['command'])}```", text)


def screen(command: str) -> str:
    """What a command of the page prints. Run it in the project's folder."""
    _, *arguments = shlex.split(command)
    if "--kubernetes" in arguments and "doctor" in arguments:
        return _cluster()
    printed = CliRunner().invoke(app, arguments, env=_ENVIRONMENT).output
    return "".join(f"{line.rstrip()}\n" for line in printed.splitlines())


def _cluster() -> str:
    every = [*world.definitions(), *world.documents(world.NOW)]
    next(fault for fault in world.FAULTS if fault.name == FAULT).change(every)
    report = asyncio.run(examine(world.cluster(every, world.NOW), CLUSTER))
    console = Console(file=io.StringIO(), width=WIDTH, no_color=True)
    doctor.draw(console, report)
    assert isinstance(console.file, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} written\n")
