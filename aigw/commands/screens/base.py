"""What all screens share: the console, marks, colours, indented text."""

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Final, TypeVar

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aigw.commands.report import Problem, worst

T = TypeVar("T")

PIPE_WIDTH: Final = 10_000
"""Columns where nobody looks at them: `grep` wants whole lines."""
MAX_WIDTH: Final = 110
"""Longer lines are hard to read, however wide the terminal is."""
STYLES: Final[Mapping[str, str]] = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}
_MARKS: Final[Mapping[str, str]] = {"ok": "✓", "note": "·", "warning": "!", "error": "✗"}
_PLAIN_MARKS: Final[Mapping[str, str]] = {"ok": "+", "note": "-", "warning": "!", "error": "x"}


def show(draw: Callable[[Console, T], None], result: T) -> None:
    """On standard output: in colour and folded for a terminal, as plain lines for a pipe."""
    if sys.stdout.isatty():
        terminal = _console(sys.stdout)
        terminal.width = min(terminal.width, MAX_WIDTH)
        draw(terminal, result)
    else:
        sys.stdout.write(plain(draw, result, encoding=sys.stdout.encoding))
        sys.stdout.flush()


def plain(
    draw: Callable[[Console, T], None], result: T, *, width: int = PIPE_WIDTH, encoding: str | None = "utf-8"
) -> str:
    """The screen as text; no line ends with a blank. What the encoding does not have becomes a question mark."""
    encoding = encoding or "utf-8"
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="")
    console = _console(buffer, width=width)
    draw(console, result)
    buffer.seek(0)
    return "".join(f"{line.rstrip()}\n" for line in buffer.read().split("\n")[:-1])


def _console(file: IO[str], *, width: int | None = None) -> Console:
    """Without colour with NO_COLOR."""
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def mark(console: Console, severity: str) -> Text:
    """A sign that can be told apart without colour."""
    unicode = (console.encoding or "").lower().startswith("utf")
    return Text((_MARKS if unicode else _PLAIN_MARKS)[severity], style=STYLES[severity])


def problem(console: Console, each: Problem, *, indent: int = 4, named: bool = True) -> None:
    """What is wrong with an object; `named`: it was named just before."""
    place = (each.field,) if named else (each.object, each.field)
    text = Text("".join(f"{part}: " for part in place if part), style=STYLES[each.severity])
    text.append(each.message, style="default")
    pairs(console, [(each.severity, text)], indent=indent, width=7)


def objects(console: Console, problems: Iterable[Problem]) -> None:
    """Each object with everything that is wrong with it."""
    grouped: dict[tuple[int | None, str], list[Problem]] = {}
    for each in problems:
        grouped.setdefault((each.document, each.object), []).append(each)
    for (document, name), found in grouped.items():
        if not name:
            for each in found:
                marked(console, each.severity, each.message)
            continue
        title = Text(name)
        if document is not None:
            title.append(f"  document {document}", style="dim")
        marked(console, worst(each.severity for each in found), title)
        for each in found:
            problem(console, each)


def conclusion(console: Console, severity: str, text: str) -> None:
    """The last line."""
    marked(console, severity, Text(text, style=STYLES[severity]), indent=0)


def heading(console: Console, text: str, more: str = "") -> None:
    line = Text(text, style="bold")
    if more:
        line.append(f"  {more}", style="dim")
    console.print(line, soft_wrap=True)


def marked(console: Console, severity: str, text: Text | str, *, indent: int = 2) -> None:
    """A mark and a text that wraps beside it."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(mark(console, severity), text)
    console.print(Padding(grid, (0, 0, 0, indent)))


def pairs(console: Console, rows: Iterable[tuple[str, Text | str]], *, indent: int = 2, width: int = 11) -> None:
    """Names and what belongs to them; empty ones are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=width, style="dim")
    grid.add_column(overflow="fold")
    for name, value in rows:
        if value:
            grid.add_row(name, value if isinstance(value, Text) else Text(value))
    if grid.row_count:
        console.print(Padding(grid, (0, 0, 0, indent)))
