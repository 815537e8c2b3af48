"""What the reports of all commands are made of: severities, problems of objects, numbers in words.

A problem is a sentence of the loader or the compiler, taken apart again: `FILE: document N (Kind ns/name): field:
message`. That form is what people see everywhere (aigw.standalone.resources), so screens and JSON are made from it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["ok", "note", "warning", "error"]

_ORDER: Final[tuple[Severity, ...]] = ("ok", "note", "warning", "error")

_DOCUMENT: Final = re.compile(r"document (?P<number>\d+)(?: \((?P<object>[^)]*)\))?: (?P<rest>.*)", re.DOTALL)
_OBJECT: Final = re.compile(r"(?P<object>[A-Z][A-Za-z]+ [^\s:]+): (?P<rest>.*)", re.DOTALL)
_FIELD: Final = re.compile(r"(?P<field>[A-Za-z_][^\s:]*(?:\[[^\]]*\][^\s:]*)*): (?P<message>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong."""

    severity: Severity
    document: int | None
    """number in the file, from 1; None: it concerns the whole file"""
    object: str
    """`Kind namespace/name`, or empty"""
    field: str
    """path in the object, or empty"""
    message: str


def worst(severities: Iterable[Severity]) -> Severity:
    return max(severities, key=_ORDER.index, default="ok")


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def problem(file: str, sentence: str, severity: Severity) -> Problem:
    """Never raises: what has another form is a message about the whole file."""
    rest = sentence.removeprefix(f"{file}: ")
    document: int | None = None
    object_ = field = ""
    if found := _DOCUMENT.fullmatch(rest):
        document, object_, rest = int(found["number"]), found["object"] or "", found["rest"]
    elif found := _OBJECT.fullmatch(rest):
        object_, rest = found["object"], found["rest"]
    if (document is not None or object_) and (found := _FIELD.fullmatch(rest)):
        field, rest = found["field"], found["message"]
    return Problem(severity=severity, document=document, object=object_, field=field, message=rest)
