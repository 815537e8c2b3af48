"""What a line of a log looks like, the same in every process of ours. Pure: what may be said, and where it goes, is for
`filters/process/logs.py` and `extension_server/logs.py`.
"""

import logging
from datetime import UTC, datetime
from typing import Final, Literal

from filters.contract import jsonlib

LogFormat = Literal["text", "json"]
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def line(
    record: logging.LogRecord,
    message: str,
    format_: LogFormat,
    *,
    process: str | None = None,
    trace: str | None = None,
) -> str:
    """`process`: which of several. `trace`: in text it has lines of its own, below; nothing else has."""
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    level = record.levelname.lower()
    if format_ == "json":
        fields = {"time": time, "level": level, "logger": record.name, "process": process, "message": message}
        said = {name: value for name, value in {**fields, "trace": trace}.items() if value is not None}
        return jsonlib.encode(said).decode()
    who = record.name if process is None else f"{process} {record.name}"
    text = f"{time} {level:7} {who}: " + message.replace("\n", " ")
    return text if trace is None else f"{text}\n{trace}"
