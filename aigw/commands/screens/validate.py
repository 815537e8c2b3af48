"""The screen of `aigw validate`."""

from typing import Final

from rich.console import Console
from rich.text import Text

from aigw.commands.report import counted
from aigw.commands.screens import base
from aigw.commands.validate import NOT_JUDGED, FileVerdict, Result

_MARKS: Final = {NOT_JUDGED: "note"}


def draw(console: Console, result: Result) -> None:
    for number, file in enumerate(result.files):
        if number:
            console.print()
        _file(console, file)


def _file(console: Console, file: FileVerdict) -> None:
    base.heading(console, file.file, counted(len(file.objects), "object") if file.objects else "")
    for object_ in file.objects:
        title = Text(object_.object)
        more = f", {NOT_JUDGED}" if object_.verdict == NOT_JUDGED else ""
        title.append(f"  document {object_.document}{more}", style="dim")
        base.marked(console, _MARKS.get(object_.verdict, object_.verdict), title)
        for problem in object_.problems:
            base.problem(console, problem)
    base.objects(console, file.problems)
    base.conclusion(console, file.verdict, f"{file.file}: {_said(file)}")


def _said(file: FileVerdict) -> str:
    counts = file.count
    found = [counted(counts[severity], severity) for severity in ("error", "warning") if counts[severity]]
    words = {"note": ["nothing in it is judged"], "error": found}.get(file.verdict, ["ok", *found])
    return f"{', '.join(words)}{f' ({file.note})' if file.note else ''}"
