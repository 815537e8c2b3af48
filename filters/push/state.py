"""The last good configuration on disk: what a new process serves with while no controller answers.

One file per state, named by its hashes, written whole or not at all, mode 0600: it holds credentials. Blocking; call it
in a thread.
"""

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from filters.contract import push
from filters.contract.push import BadMessage
from filters.contract.sections import Sections

logger = logging.getLogger(__name__)

_PREFIX: Final = "config-"
_SUFFIX: Final = ".bin"
_KEPT: Final = 2
"""A worker that starts may still read the one before the newest."""


class StateFolder:
    """`path` is made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Path, Sections] | None:
        """The newest state that is whole and understood. Others are passed over with a line in the log."""
        for file in self._files():
            try:
                return file, push.apply(push.decode_update(file.read_bytes()), None)
            except (OSError, BadMessage) as exc:
                reason = exc.strerror if isinstance(exc, OSError) else exc
                logger.warning("last good configuration %s ignored: %s", file, reason)
        return None

    def write(self, whole: Sections) -> Path:
        """Raises OSError."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._path / f"{_PREFIX}{whole.config_hash}-{whole.credentials_hash}{_SUFFIX}"
        temporary = self._path / f".{file.name}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                stream.write(push.encode(push.update(whole)))
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        for old in self._files()[_KEPT:]:
            old.unlink(missing_ok=True)
        return file

    def discard(self, file: Path) -> None:
        """It turned out that nothing can be served with it."""
        file.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """Newest first."""
        found = [(file.stat().st_mtime_ns, file) for file in self._path.glob(f"{_PREFIX}*{_SUFFIX}") if file.is_file()]
        return [file for _, file in sorted(found, reverse=True)]
