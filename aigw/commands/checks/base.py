"""The seam between `aigw doctor` and its checks. A check is one coroutine function: context in, findings out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aigw.commands.inputs import Source
from aigw.commands.report import Severity
from aigw.standalone.validate import Verdict

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    severity: Severity
    title: str
    """one line: what was found"""
    meaning: str = ""
    """what it means for requests"""
    fix: str = ""
    """what to do; every warning and error has one"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the checks look at."""

    source: Source | None
    """None: no file"""
    verdict: Verdict | None
    """on the file"""
    environment: Mapping[str, str]
    admin_port: int
    admin_port_given: bool
    """a gateway is expected to answer there"""
    connect: bool
    """providers may be connected to"""


Check = Callable[[C], Awaitable[Sequence[Finding]]]
