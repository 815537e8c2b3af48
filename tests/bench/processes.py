"""Reads from /proc what processes cost."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Processes:
    """A group of processes that is accounted for together."""

    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """Time on a CPU of all threads, to the nanosecond (the scheduler's own count)."""
        total = 0
        for pid in self.pids:
            for task in Path(f"/proc/{pid}/task").glob("*"):
                try:
                    total += int((task / "schedstat").read_text().split()[0])
                except (OSError, IndexError):  # a thread that ended meanwhile
                    continue
        return total / 1e9

    def rss_bytes(self) -> int:
        """Resident memory, shared pages counted where they are used."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return sum(pages) * 4096


def machine_seconds() -> float:
    """CPU time that everything on this machine has used, in seconds (10 ms steps)."""
    user, nice, system, _, _, irq, softirq, steal, *_ = (int(x) for x in _stat().split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _stat() -> str:
    with Path("/proc/stat").open() as file:
        return file.readline()


def own_seconds() -> float:
    """CPU time of this process and everything below it."""
    return Processes((os.getpid(), *descendants(os.getpid()))).cpu_seconds()


def descendants(pid: int) -> list[int]:
    """All processes below `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):  # it ended meanwhile
                continue
    found: list[int] = []
    above = {pid}
    while above:
        above = {child for child, parent in parents.items() if parent in above}
        found += sorted(above)
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
