"""Where a run keeps its files: directories of mode 0700, files of mode 0600, all gone when the run ends.

    <state home>/runs/<run id>/    xDS files and Envoy's bootstrap
    <runtime dir>/<short id>/      sockets (whose paths must be short), and the files that hold secrets

A run that was killed leaves them behind; the next start removes what no living process holds the lock of.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

SOCKET_PATH_LIMIT: Final = 100
"""Unix sockets have at most 107 bytes for their path (unix(7)); workers append a number."""
_LOCK: Final = "lock"


class StateError(OSError):
    """A directory cannot be used; the text names it and says what to do."""


@dataclass(frozen=True, slots=True)
class RunDirectories:
    """Both directories of one run."""

    state: Path
    runtime: Path

    @property
    def filter_socket(self) -> Path:
        return self.runtime / "uds.sock"

    @property
    def envoy_admin_socket(self) -> Path:
        return self.runtime / "envoy.sock"


@dataclass(frozen=True, slots=True)
class Homes:
    state: Path
    runtime: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Homes":
        """AIGW_STATE_HOME and AIGW_RUNTIME_DIR, or their defaults."""
        home = environment.get("HOME") or "~"
        state = environment.get("AIGW_STATE_HOME") or f"{home}/.local/state/aigw"
        runtime = environment.get("AIGW_RUNTIME_DIR") or f"{tempfile.gettempdir()}/aigw-{os.getuid()}"
        return cls(_absolute(state, environment), _absolute(runtime, environment))


def _absolute(text: str, environment: Mapping[str, str]) -> Path:
    if text.startswith("~/") and environment.get("HOME"):
        text = environment["HOME"] + text[1:]
    return Path(os.path.expandvars(text)).expanduser().absolute()


@contextlib.contextmanager
def run_directories(homes: Homes) -> Iterator[RunDirectories]:
    """Makes the directories of a new run and removes them at the end. Raises StateError."""
    unique = secrets.token_hex(4)
    run_id = f"{datetime.now(UTC):%Y%m%d_%H%M%S}_{unique}"
    runs = homes.state / "runs"
    directories = RunDirectories(runs / run_id, homes.runtime / unique)
    if len(str(directories.filter_socket)) > SOCKET_PATH_LIMIT:
        raise StateError(f"{homes.runtime}: too long for unix sockets; set AIGW_RUNTIME_DIR to a shorter path")
    for parent in (runs, homes.runtime):
        _make_private(parent)
        _sweep(parent)
    made: dict[Path, int] = {}
    try:
        for directory in (directories.state, directories.runtime):
            directory.mkdir(mode=0o700)
            made[directory] = _lock(directory)
        yield directories
    finally:
        for directory, lock in made.items():
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
    except OSError as exc:
        raise StateError(f"{directory}: {exc.strerror}; set AIGW_STATE_HOME and AIGW_RUNTIME_DIR elsewhere") from exc
    # Whoever owns the directory could read the credentials in it.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StateError(f"{directory}: not a directory of this user; set AIGW_RUNTIME_DIR elsewhere")
    if stat.S_IMODE(found.st_mode) & 0o077:
        directory.chmod(0o700)


def _lock(directory: Path) -> int:
    """A lock that ends with this process, however it ends."""
    descriptor = os.open(directory / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _sweep(parent: Path) -> None:
    """Removes the directories of runs that are no more."""
    for directory in parent.iterdir():
        with contextlib.suppress(OSError):
            descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file in one step; mode 0600 from its first byte on."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
