"""Log lines of the filter (their look: `filters/contract/loglines.py`)."""

import logging
import sys

from filters.process.logs import Formatter


def test_tracebacks_show_places_not_texts() -> None:
    try:
        raise ValueError("a person's words")
    except ValueError:
        failed = logging.LogRecord("filters.x", logging.WARNING, __file__, 1, "failed", (), sys.exc_info())
    line = Formatter("text", "filter").format(failed)
    assert line.count("\n") == 0
    assert "filter filters.x: failed: ValueError at" in line
    assert "test_logs.py:" in line
    assert "person" not in line
