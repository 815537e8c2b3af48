"""Logging of the controller process: one line per event on stderr, as text or JSON (`--logFormat`)."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

from extension_server.options import LogFormat
from filters.contract import jsonlib

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_QUIET: Final = ("aiohttp", "asyncio", "grpc", "kubernetes_asyncio")
"""libraries whose debug lines nobody reads"""


class Formatter(logging.Formatter):
    def __init__(self, format_: LogFormat) -> None:
        super().__init__()
        self._json = format_ == "json"

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = record.getMessage()
        if self._json:
            fields = {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": message}
            if record.exc_info:
                fields["trace"] = self.formatException(record.exc_info)
            return jsonlib.encode(fields).decode()
        line = f"{time} {record.levelname.lower():7} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up(level: str, format_: LogFormat) -> None:
    """Everything that is logged goes to stderr from now on. Levels above `error` are `critical`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(format_))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS.get(level, logging.CRITICAL))
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
