"""`aigw validate`: each object of each file with a verdict, and everything that is to be said about it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aigw.commands.inputs import Source
from aigw.commands.sentences import Problem, problem
from aigw.standalone import yaml_documents
from aigw.standalone.validate import validate_text
from aigw.standalone.yaml_documents import BadYaml


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVerdict:
    document: int
    object: str
    """`Kind namespace/name`"""
    verdict: str
    """`ok`, `warning`, `error`"""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVerdict:
    file: str
    verdict: str
    """`ok`, `warning`, `error`; with an error `aigw run` would not serve the file"""
    note: str
    objects: tuple[ObjectVerdict, ...]
    problems: tuple[Problem, ...]
    """those of the whole file"""

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
    return Result(_worst(each.verdict for each in files), tuple(files))


def validate(source: Source, environment: Mapping[str, str], *, kubernetes: bool = False) -> FileVerdict:
    """`kubernetes`: our objects as a cluster would take them, and nothing else."""
    found = validate_text(source.text, source.name, environment, kubernetes=kubernetes)
    problems = [problem(source.name, sentence, "error") for sentence in found.errors]
    problems += (problem(source.name, sentence, "warning") for sentence in found.warnings)
    titles = _titles(source.text)
    objects = []
    for number, title in titles.items():
        own = tuple(each for each in problems if each.document == number)
        objects.append(
            ObjectVerdict(document=number, object=title, verdict=_worst(each.severity for each in own), problems=own)
        )
    return FileVerdict(
        file=source.name,
        verdict=_worst(each.severity for each in problems),
        note=found.note,
        objects=tuple(objects),
        problems=tuple(each for each in problems if each.document not in titles),
    )


def _worst(verdicts: Iterable[str]) -> str:
    return max(verdicts, key=("ok", "warning", "error").index, default="ok")


def _titles(text: str) -> dict[int, str]:
    """Number of each document that holds something → its kind and name as far as they can be read."""
    titles: dict[int, str] = {}
    try:
        for document in yaml_documents.read(text, None):
            titles[document.number] = _title(document.content)
    except BadYaml:
        pass  # the verdict says so
    return titles


def _title(content: Any) -> str:
    if not isinstance(content, dict):
        return "not an object"
    metadata = content.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = str(metadata.get("name") or "?")
    namespace = "" if content.get("kind") == "GatewayClass" else f"{metadata.get('namespace') or 'default'}/"
    return f"{content.get('kind') or '?'} {namespace}{name}"
