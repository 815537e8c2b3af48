"""Is the file one that `aigw run` would serve?"""

from collections.abc import Sequence

from aigw.commands.checks.base import Context, Finding
from aigw.commands.inputs import Source
from aigw.commands.report import counted


async def check(context: Context) -> Sequence[Finding]:
    """Syntax, fields, references: as `aigw run` judges them."""
    if context.source is None or context.verdict is None:
        meaning = "aigw run would take API keys of the environment, or show its demo"
        return (Finding(severity="note", title="no file was given, and there is no default file", meaning=meaning),)
    verdict = context.verdict
    source = context.source
    found = [
        Finding(
            severity="error",
            title=_said(source, each),
            meaning="aigw run does not start with this file; a running one keeps what it has",
            fix="correct the field that is named",
        )
        for each in verdict.errors
    ]
    found += (
        Finding(
            severity="warning",
            title=_said(source, each),
            meaning="the file is served all the same",
            fix="see the message",
        )
        for each in verdict.warnings
    )
    if not verdict.errors and verdict.served is None:
        found.append(
            Finding(
                severity="error",
                title=f"{context.source.name}: has no Gateway",
                meaning="aigw run needs one to know where to listen",
                fix="add the Gateway that the routes name",
            )
        )
    if found:
        return found
    assert verdict.served is not None
    rules = len(verdict.served.world.compiled.filter_config.rules)
    title = f"{context.source.name}: valid, {counted(rules, 'rule')}, all references resolve"
    return (Finding(severity="ok", title=title),)


def _said(source: Source, sentence: str) -> str:
    """Without the name of the file, which is the same in all."""
    return sentence.removeprefix(f"{source.name}: ")
