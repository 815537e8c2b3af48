"""What a command is given: a file, or `-` for standard input, as text."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aigw.commands.report import Problem, Severity, problem
from aigw.standalone import resources
from aigw.standalone.resources import BadResources
from aigw.standalone.validate import Served, Verdict, validate_text

STDIN: Final = "-"
STDIN_NAME: Final = "<stdin>"


class UnusableInput(Exception):
    """The command cannot do what it was asked to; `messages` are complete sentences, `warnings` came before them."""

    def __init__(self, *messages: str, warnings: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages
        self.warnings = warnings


@dataclass(frozen=True, slots=True)
class Source:
    """One input."""

    name: str
    text: str


def read(path: str) -> Source:
    """Raises UnusableInput."""
    try:
        if path != STDIN:
            return Source(path, resources.text_of(Path(path)))
        return Source(STDIN_NAME, sys.stdin.buffer.read().decode())
    except BadResources as exc:
        raise UnusableInput(*exc.messages) from exc
    except UnicodeDecodeError as exc:
        raise UnusableInput(f"{STDIN_NAME}: not UTF-8 text (byte {exc.start})") from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is right of a file, and what is to be said beside it."""

    served: Served
    problems: tuple[Problem, ...]
    """An error is what a cluster would not serve either, and left out of `served`. What only Envoy Gateway knows is a
    warning."""
    warnings: tuple[str, ...]
    """the warnings once more, as sentences"""
    not_looked_at: tuple[str, ...]
    """objects of kinds that have no part in it"""


def judged(source: Source, environment: Mapping[str, str], gateway: str = "") -> Judged:
    """Of several Gateways, `gateway` names one. Raises UnusableInput, with every reason, when there is nothing to work
    with."""
    verdict = validate_text(source.text, source.name, environment, gateway=gateway)
    served = verdict.served
    if served is None:
        raise UnusableInput(*(_unusable(source, verdict, gateway)), warnings=verdict.warnings)
    others = tuple(map(str, served.loaded.others))
    known = (problem(source.name, each, _severity(each, verdict)) for each in (*verdict.errors, *verdict.consequences))
    return Judged(
        served=served,
        problems=(
            *(each for each in known if each.object not in others),
            *(problem(source.name, each, "warning") for each in verdict.warnings),
        ),
        warnings=verdict.warnings,
        not_looked_at=others,
    )


def _severity(sentence: str, verdict: Verdict) -> Severity:
    return "warning" if sentence in verdict.elsewhere else "error"


def _unusable(source: Source, verdict: Verdict, gateway: str) -> tuple[str, ...]:
    names = [each.title.removeprefix("Gateway ") for each in verdict.objects if each.kind == "Gateway"]
    if not names and verdict.objects:
        missing = f"{source.name}: has no Gateway; add the one that its routes name, with a listener"
        return (*verdict.errors, missing)
    if len(names) > 1 and not gateway:
        return (f"{source.name}: has {len(names)} Gateways ({', '.join(names)}); choose one with --gateway",)
    return verdict.errors
