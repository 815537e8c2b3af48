"""`aigw validate`: each object of each file with a verdict, and everything that is to be said about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aigw.commands.inputs import Source
from aigw.commands.report import Problem, counted, problem, worst
from aigw.standalone.objects import Seen
from aigw.standalone.validate import Verdict, validate_text

NOT_JUDGED: Final = "not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVerdict:
    document: int
    object: str
    """`Kind namespace/name`"""
    verdict: str
    """`ok`, `warning`, `error`; `not judged`: the kind is not ours, and the file is for a cluster"""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerdict:
    file: str
    verdict: str
    """`ok`, `warning`, `error`; `note`: nothing in it was judged"""
    note: str
    objects: tuple[ObjectVerdict, ...]
    problems: tuple[Problem, ...]
    """those of the whole file"""
    not_judged: tuple[str, ...] = ()
    """kinds that were passed over, each once"""

    @property
    def count(self) -> Mapping[str, int]:
        every = [each for object_ in self.objects for each in object_.problems] + list(self.problems)
        return {severity: sum(each.severity == severity for each in every) for severity in ("error", "warning")}


@dataclass(frozen=True, slots=True)
class Result:
    verdict: str
    files: tuple[FileVerdict, ...]


def unreadable(file: str, messages: Sequence[str]) -> FileVerdict:
    """The verdict on a file of which nothing can be read."""
    problems = tuple(problem(file, message, "error") for message in messages)
    return FileVerdict(file=file, verdict="error", note="", objects=(), problems=problems)


def joined(files: Sequence[FileVerdict]) -> Result:
    return Result(max((each.verdict for each in files), key=_ORDER.index, default="ok"), tuple(files))


_ORDER: Final = ("note", "ok", "warning", "error")
"""of files: one of which nothing was judged changes nothing"""


def validate(source: Source, environment: Mapping[str, str], *, kubernetes: bool = False) -> FileVerdict:
    """`kubernetes`: our objects as a cluster would take them, and nothing else."""
    found = validate_text(source.text, source.name, environment, kubernetes=kubernetes)
    problems = [problem(source.name, sentence, "error") for sentence in found.errors]
    problems += (problem(source.name, sentence, "warning") for sentence in found.warnings)
    objects = tuple(_verdict(seen, problems, judged=found.whole or seen.ours) for seen in found.objects)
    told = {each for object_ in objects for each in object_.problems}
    passed_over = {seen.kind: None for seen in found.objects if not (found.whole or seen.ours)}
    nothing = not problems and bool(objects) and all(each.verdict == NOT_JUDGED for each in objects)
    return FileVerdict(
        file=source.name,
        verdict="note" if nothing else worst(each.severity for each in problems),
        note=_note(found, tuple(passed_over)),
        objects=objects,
        problems=tuple(each for each in problems if each not in told),
        not_judged=tuple(passed_over),
    )


def _verdict(seen: Seen, problems: Sequence[Problem], *, judged: bool) -> ObjectVerdict:
    own = tuple(each for each in problems if each.document == seen.document and each.object in ("", seen.title))
    verdict = worst(each.severity for each in own) if judged else NOT_JUDGED
    return ObjectVerdict(document=seen.document, object=seen.title, verdict=verdict, problems=own)


def _note(found: Verdict, passed_over: Sequence[str]) -> str:
    """What was looked at, if it is not everything."""
    if found.whole and found.elsewhere.intersection(found.errors):
        return "judged as aigw run takes it; for a cluster: --kubernetes"
    if found.whole or not found.objects:
        return ""
    number = sum(seen.ours for seen in found.objects)
    judged = f"{counted(number, 'object')} judged as Kubernetes would" if number else ""
    others = f"{NOT_JUDGED}: {', '.join(passed_over)}" if passed_over else ""
    return "; ".join(filter(None, (judged, others)))
