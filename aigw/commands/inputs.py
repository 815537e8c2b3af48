"""What a command is given: a file, or `-` for standard input, as text."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


def judged(source: Source, environment: Mapping[str, str]) -> tuple[Served, Verdict]:
    """A file that `aigw run` would serve. Raises UnusableInput with every reason why it would not."""
    verdict = validate_text(source.text, source.name, environment)
    if verdict.served is not None:
        return verdict.served, verdict
    if verdict.errors:
        raise UnusableInput(*verdict.errors, warnings=verdict.warnings)
    raise UnusableInput(f"{source.name}: has no Gateway; add the one that its routes name, with a listener")
