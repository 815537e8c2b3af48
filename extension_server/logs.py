"""Logging of the controller process: one line per event on stderr, as text or JSON (`--logFormat`)."""

import logging
import sys
from typing import Final

from filters.contract import loglines
from filters.contract.loglines import LEVELS, LogFormat

_QUIET: Final = ("aiohttp", "asyncio", "grpc", "kubernetes_asyncio")
"""libraries whose debug lines nobody reads"""


class Formatter(logging.Formatter):
    def __init__(self, format_: LogFormat) -> None:
        super().__init__()
        self._format = format_

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info else None
        return loglines.line(record, record.getMessage(), self._format, trace=trace)


def set_up(level: str, format_: LogFormat) -> None:
    """Everything that is logged goes to stderr from now on. Levels above `error` are `critical`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(format_))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS.get(level, logging.CRITICAL))
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
