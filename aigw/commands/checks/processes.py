"""Who listens where, and which gateways of this user run: read from /proc (proc(5)); empty where there is none."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_TABLES: Final = ("net/tcp", "net/tcp6")
_FILTER: Final = "filters.main"


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    command: tuple[str, ...]

    def argument(self, name: str) -> str:
        """What follows `name` on the command line; empty when it is not there."""
        if name not in self.command[:-1]:
            return ""
        return self.command[self.command.index(name) + 1]

    def __str__(self) -> str:
        shown = " ".join(self.command)
        return f"process {self.pid} ({shown if len(shown) <= 60 else shown[:57] + '…'})"


@dataclass(frozen=True, slots=True)
class Instance:
    """One running `aigw run`."""

    pid: int
    admin_port: int
    runtime: Path
    """directory of its sockets and its configuration"""


def listeners(port: int, proc: Path = Path("/proc")) -> list[Process]:
    """Processes that listen on the TCP port. Those of other users cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port, proc)}
    return [each for each in processes(proc) if sockets and not sockets.isdisjoint(_sockets(each.pid, proc))]


def instances(proc: Path = Path("/proc")) -> list[Instance]:
    """Gateways that run, each once, by admin port."""
    found: dict[Path, Instance] = {}
    own = _network("self", proc)
    for each in processes(proc):
        # The filter of a pod on this machine has the same words, and is none of a person's at this prompt.
        if _FILTER not in each.command or _network(str(each.pid), proc) != own:
            continue
        socket, port = each.argument("--socket"), each.argument("--admin-port")
        # Workers have the supervisor's socket with a number, and no admin port.
        if socket and port.isdecimal():
            found.setdefault(Path(socket).parent, Instance(_parent(each.pid, proc), int(port), Path(socket).parent))
    return sorted(found.values(), key=lambda instance: instance.admin_port)


def processes(proc: Path = Path("/proc")) -> Iterator[Process]:
    """Those whose command line can be read."""
    with contextlib.suppress(OSError):
        for directory in sorted(proc.iterdir()):
            if directory.name.isdecimal():
                with contextlib.suppress(OSError):
                    line = (directory / "cmdline").read_bytes().rstrip(b"\0")
                    if line:
                        words = tuple(word.decode(errors="replace") for word in line.split(b"\0"))
                        yield Process(int(directory.name), words)


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in (proc / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _sockets(pid: int, proc: Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in (proc / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(descriptor.readlink()))
    return found


def _network(pid: str, proc: Path) -> str:
    """Name of its network namespace; empty when that cannot be seen."""
    with contextlib.suppress(OSError):
        return str((proc / pid / "ns" / "net").readlink())
    return ""


def _parent(pid: int, proc: Path) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int((proc / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


def descends(pid: int, ancestor: int, proc: Path = Path("/proc")) -> bool:
    """Whether `pid` is `ancestor` or below it."""
    while pid > 1:
        if pid == ancestor:
            return True
        pid = _parent(pid, proc)
    return False
