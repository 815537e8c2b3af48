"""Logging of the filter process: one line per event on stderr, as text or JSON.

What is logged never holds user content or credentials; that is the duty of whoever logs. Tracebacks are printed by
frames only, because the text of an exception may quote what a person typed.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final, Literal

from filters.contract import jsonlib

LogFormat = Literal["text", "json"]
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class _Formatter(logging.Formatter):
    def __init__(self, process: str, *, as_json: bool) -> None:
        super().__init__()
        self._process = process
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            place = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
            message = f"{message}: {record.exc_info[0].__name__} at {place}"
        if self._as_json:
            fields = {
                "time": time,
                "level": record.levelname.lower(),
                "logger": record.name,
                "process": self._process,
                "message": message,
            }
            return jsonlib.encode(fields).decode()
        line = message.replace("\n", " ")
        return f"{time} {record.levelname.lower():7} {self._process} {record.name}: {line}"


def set_up(level: str, format_: LogFormat, process: str) -> None:
    """Everything that is logged goes to stderr from now on. `process` names this process in each line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(process, as_json=format_ == "json"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
