"""Starts a filter process (the echo program, or the real one) and steers it as a parent would."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conformance import children
from filters.contract import jsonlib
from filters.process import control

ROOT = Path(__file__).parents[2]
LIMIT = 20.0
"""Seconds until a process that does not answer counts as broken."""


class FilterProcess:
    """One running process, its socket, and its control lines."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.socket = str(directory / "s")

    @property
    def pid(self) -> int:
        return self.process.pid

    def answer(self) -> control.Loaded:
        """The next line that the process says."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
        assert ready, f"no answer\n{self.log()}"
        line = self.process.stdout.readline()
        assert line, f"the process ended\n{self.log()}"
        return control.read_answer(line)

    def load(self, path: Path | str) -> control.Loaded:
        return self.tell(load=str(path))

    def tell(self, **command: str) -> control.Loaded:
        assert self.process.stdin is not None
        self.process.stdin.write(jsonlib.encode(command) + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def children(self) -> list[int]:
        """The workers, when this is their supervisor."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    def worker(self, number: int) -> int:
        """Process id of one worker."""
        for pid in self.children():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"--worker" in words and words[words.index(b"--worker") + 1] == str(number).encode():
                return pid
        raise LookupError(f"worker {number} does not run")

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def resident(self) -> int:
        """Bytes of memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT)


@contextlib.contextmanager
def running_filter(*arguments: str, module: str = "tests.support.echo", ready: bool = True) -> Iterator[FilterProcess]:
    """Yields when the process has said that it serves (`ready=False`: at once)."""
    with tempfile.TemporaryDirectory(prefix="aigw-") as name:
        directory = Path(name)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "--socket", str(directory / "s"), *arguments],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,  # `select` must see what is there
            )
        filter_ = FilterProcess(process, directory)
        try:
            if ready:
                assert filter_.answer().ready or "--config" in arguments, filter_.log()
            yield filter_
        finally:
            children.end(process)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()
