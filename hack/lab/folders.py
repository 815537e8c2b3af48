"""Where the lab keeps things: a cache that survives it, and the state of the one that runs."""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hack.tools import build


def cache() -> Path:
    """What takes long to make and can be made again: Debian packages, images."""
    return build.cache().parent / "lab"


@dataclass(frozen=True, slots=True)
class State:
    """One lab's files. Everything here is the lab's own and goes with `down`, but the node's unpacked images."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def pids(self) -> Path:
        return self.root / "pids"

    @property
    def containerd(self) -> Path:
        return self.root / "containerd"

    @property
    def ready(self) -> Path:
        """exists when everything of the cluster was started"""
        return self.root / "ready"

    @property
    def programs(self) -> Path:
        """kubectl and helm"""
        return self.root / "bin"

    @property
    def host_kubeconfig(self) -> Path:
        """of the cluster's administrator, for processes on the host"""
        return self.root / "kubeconfig"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """For who starts or ends the lab: one at a time, others wait."""
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("another command is starting or ending this lab: waiting for it", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @property
    def forwards(self) -> Path:
        """JSON: `<namespace>/<service>:<port>` of the lab → `127.0.0.1:<port>` of the host"""
        return self.root / "forwards.json"


def state() -> State:
    """`$AIGW_LAB`, else below `$XDG_STATE_HOME`."""
    named = os.environ.get("AIGW_LAB")
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return State(Path(named).absolute() if named else base / "aigw" / "lab")
