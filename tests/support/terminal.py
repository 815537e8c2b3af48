"""A bash that is given one block of commands after the other, as a reader of a page pastes them.

Variables and jobs go on from block to block. The first command that fails ends it.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

_END: Final = "--- end of the block ---"
_SHELL: Final = ("bash", "-euo", "pipefail", "-s")
_LIMIT: Final = 300.0
"""seconds that a block may take: more than any command of the pages waits for"""


class Terminal:
    """`opened` makes one."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self._process = process
        self._errors = errors

    def run(self, block: str) -> str:
        """Its standard output. Raises AssertionError with what it said when a command fails, or takes too long."""
        given, taken = self._process.stdin, self._process.stdout
        assert given is not None
        assert taken is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already: reading says so, and why
            given.write(f"{{\n{block}\n}} </dev/null\nprintf '\\n%s\\n' '{_END}'\n")
            given.flush()
        limit = threading.Timer(_LIMIT, os.killpg, (self._process.pid, signal.SIGKILL))
        limit.start()
        try:
            lines = list[str]()
            for line in taken:
                if line.rstrip("\n") == _END:
                    return "".join(lines).removesuffix("\n")
                lines.append(line)
        finally:
            limit.cancel()
        self._errors.seek(0)
        raise AssertionError(f"{block}\nended with:\n{''.join(lines)}{self._errors.read()[-3000:]}")


@contextlib.contextmanager
def opened(folder: Path, environment: Mapping[str, str], inside: Sequence[str] = ()) -> Iterator[Terminal]:
    """`inside`: a command that runs another one where the cluster is. Jobs end with the block."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*inside, *_SHELL],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write("trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
        with process:
            try:
                yield Terminal(process, errors)
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
