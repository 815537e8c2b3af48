"""The lab's own control group, above those of its pods.

A kubelet ends processes in pod groups that it does not know. With a group of its own, a lab leaves alone the pods of
another lab, and of a kubelet that the host itself may run.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_LIMIT: Final = 10.0
"""seconds until the kernel must have taken dead processes out of their group"""
_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")
"""empty in a new group of version 1, which then takes no process"""


def make(name: str) -> None:
    """In every hierarchy of version 1, or in the one of version 2."""
    for hierarchy in _hierarchies():
        folder = hierarchy / name
        folder.mkdir(exist_ok=True)
        for setting in _INHERITED:
            if (folder / setting).exists() and not (folder / "cgroup.controllers").exists():
                (folder / setting).write_text((hierarchy / setting).read_text())


def remove(name: str) -> None:
    """With everything below. A group that still holds a process stays."""
    deadline = time.monotonic() + _LIMIT
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            while Path(folder).exists():
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
                    break
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)


def _hierarchies() -> Iterator[Path]:
    if (_ROOT / "cgroup.procs").exists():
        yield _ROOT
        return
    for folder in sorted(_ROOT.iterdir()):
        if not folder.is_symlink() and (folder / "cgroup.procs").exists():
            yield folder
