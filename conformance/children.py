"""Processes that a run starts: they end with it, however that ends."""

import shutil
import signal
import subprocess
from typing import Final

STOP_LIMIT: Final = 20.0
"""Seconds that a process has to end of its own accord; requests that it is in the middle of are part of that."""


def guard() -> tuple[str, ...]:
    """What a command is started with to be killed when this process ends. Nothing where there is no `setpriv`."""
    found = shutil.which("setpriv")
    return (found, "--pdeathsig", "KILL") if found else ()


def end(
    process: subprocess.Popen[bytes], limit: float = STOP_LIMIT, with_signal: signal.Signals = signal.SIGTERM
) -> None:
    """Asks it to, waits `limit` seconds, and then makes it. It may have ended before."""
    process.send_signal(with_signal)
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
