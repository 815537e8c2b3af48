"""Lines of a log."""

import logging
from datetime import UTC, datetime

from filters.contract import jsonlib, loglines


def record() -> logging.LogRecord:
    made = logging.LogRecord("aigw.x", logging.WARNING, __file__, 1, "", (), None)
    made.created = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC).timestamp()
    return made


def test_a_message_of_several_lines_is_one_line() -> None:
    assert loglines.line(record(), "two\nlines", "text") == "2026-01-02T03:04:05.678Z warning aigw.x: two lines"


def test_the_process_is_named_before_the_logger_where_there_are_several() -> None:
    line = loglines.line(record(), "said", "text", process="filter-1")
    assert line == "2026-01-02T03:04:05.678Z warning filter-1 aigw.x: said"


def test_a_trace_stands_below_its_line() -> None:
    assert loglines.line(record(), "said", "text", trace="a\nb").splitlines()[1:] == ["a", "b"]


def test_json_has_the_fields_that_are_known() -> None:
    known = {"time": "2026-01-02T03:04:05.678Z", "level": "warning", "logger": "aigw.x", "message": 'two\n"lines"'}
    for more in ({}, {"process": "filter-1"}, {"trace": "a\nb"}):
        line = loglines.line(record(), 'two\n"lines"', "json", **more)
        assert jsonlib.decode(line.encode(), dict[str, str]) == {**known, **more}
