"""Log lines."""

import logging
import sys

from filters.contract import jsonlib
from filters.process.logs import _Formatter


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    info = None
    if failed:
        try:
            raise ValueError("a person's words")
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord("filters.x", logging.WARNING, __file__, 1, message, (), info)


def test_text_lines_stay_one_line() -> None:
    line = _Formatter("filter", as_json=False).format(record("two\nlines"))
    assert line.endswith("Z warning filter filters.x: two lines")


def test_json_lines_have_fixed_fields() -> None:
    fields = jsonlib.decode(_Formatter("filter-1", as_json=True).format(record('a "b"')).encode(), dict[str, str])
    assert fields.pop("time").endswith("Z")
    assert fields == {"level": "warning", "logger": "filters.x", "process": "filter-1", "message": 'a "b"'}


def test_tracebacks_show_places_not_texts() -> None:
    line = _Formatter("filter", as_json=False).format(record("failed", failed=True))
    assert "ValueError at" in line
    assert "test_logs.py:" in line
    assert "person" not in line
