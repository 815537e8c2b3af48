"""The screen of `aigw validate`."""

from rich.console import Console
from rich.text import Text

from aigw.commands.output import counted
from aigw.commands.screens.base import STYLES, heading, mark, marked, pairs
from aigw.commands.sentences import Problem
from aigw.commands.validate import FileVerdict, Result


def draw(console: Console, result: Result) -> None:
    for number, file in enumerate(result.files):
        if number:
            console.print()
        _file(console, file)


def _file(console: Console, file: FileVerdict) -> None:
    heading(console, file.file, counted(len(file.objects), "document") if file.objects else "")
    for object_ in file.objects:
        title = Text(object_.object)
        title.append(f"  document {object_.document}", style="dim")
        marked(console, object_.verdict, title)
        for problem in object_.problems:
            _problem(console, problem)
    for problem in file.problems:
        where = f"{problem.object}: " if problem.object else ""
        field = f"{problem.field}: " if problem.field else ""
        marked(console, problem.severity, Text(f"{where}{field}{problem.message}"))
    counts = file.count
    found = [counted(counts[severity], severity) for severity in ("error", "warning") if counts[severity]]
    note = f" ({file.note})" if file.note else ""
    verdict = f"{file.file}: {', '.join(found if counts['error'] else ['ok', *found])}{note}"
    line = mark(console, file.verdict)
    line.append(f" {verdict}", style=STYLES[file.verdict])
    console.print(line, soft_wrap=True)


def _problem(console: Console, problem: Problem) -> None:
    text = Text(f"{problem.field}: " if problem.field else "", style=STYLES[problem.severity])
    text.append(problem.message, style="default")
    pairs(console, [(problem.severity, text)], indent=4, width=7)
