"""Logging of the filter process: one line per event on stderr, as text or JSON.

What is logged never holds user content or credentials; that is the duty of whoever logs. Tracebacks are printed by
frames only, because the text of an exception may quote what a person typed.
"""

import logging
import sys
import traceback

from filters.contract import loglines
from filters.contract.loglines import LEVELS, LogFormat


class Formatter(logging.Formatter):
    def __init__(self, format_: LogFormat, process: str) -> None:
        super().__init__()
        self._format = format_
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            place = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
            message = f"{message}: {record.exc_info[0].__name__} at {place}"
        return loglines.line(record, message, self._format, process=self._process)


def set_up(level: str, format_: LogFormat, process: str) -> None:
    """Everything that is logged goes to stderr from now on. `process` names this process in each line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(format_, process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
