"""kubectl and helm against the lab's API server, for the steps of `up`."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from hack.lab.machine import Machine
from hack.tools import build


class Failed(RuntimeError):
    """A step failed; `log` has more."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message + (f"\n{_end(log)}\n(whole log: {log})" if log is not None else ""))


def _end(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    except OSError:
        return "(no log)"


def kubectl(machine: Machine, arguments: Sequence[str], given: str | None = None) -> str:
    """Standard output. Raises Failed with what kubectl said."""
    return _run(machine, [str(build.place("kubectl")), *arguments], given)


def helm(machine: Machine, arguments: Sequence[str]) -> str:
    """As `kubectl`."""
    return _run(machine, [str(build.place("helm")), *arguments], None)


def succeeds(machine: Machine, arguments: Sequence[str]) -> bool:
    """Whether kubectl has exit code 0."""
    try:
        kubectl(machine, arguments)
    except Failed:
        return False
    return True


def _run(machine: Machine, command: Sequence[str], given: str | None) -> str:
    done = subprocess.run(
        machine.command(["env", f"KUBECONFIG={machine.state.kubeconfig}", *command]),
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
