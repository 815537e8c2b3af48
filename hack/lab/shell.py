"""kubectl and helm against a cluster, for the steps of an installation."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hack.tools import build


class Place(Protocol):
    """Where a cluster is reached from: the lab's inside, or this host."""

    @property
    def kubeconfig(self) -> Path:
        """of the cluster's administrator"""

    def command(self, command: Sequence[str]) -> list[str]:
        """What to run here so that `command` runs there."""


class Failed(RuntimeError):
    """A step failed; `log` has more."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message + (f"\n{_end(log)}\n(whole log: {log})" if log is not None else ""))


def _end(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    except OSError:
        return "(no log)"


def kubectl(place: Place, arguments: Sequence[str], given: str | None = None) -> str:
    """Standard output. Raises Failed with what kubectl said."""
    return _run(place, [str(build.place("kubectl")), *arguments], given)


def helm(place: Place, arguments: Sequence[str]) -> str:
    """As `kubectl`."""
    return _run(place, [str(build.place("helm")), *arguments], None)


def succeeds(place: Place, arguments: Sequence[str]) -> bool:
    """Whether kubectl has exit code 0."""
    try:
        kubectl(place, arguments)
    except Failed:
        return False
    return True


def _run(place: Place, command: Sequence[str], given: str | None) -> str:
    done = subprocess.run(
        place.command(["env", f"KUBECONFIG={place.kubeconfig}", *command]),
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        what = " ".join([Path(command[0]).name, *command[1:]])
        raise Failed(f"{what} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
