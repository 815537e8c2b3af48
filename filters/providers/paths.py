"""Pieces of upstream paths, for every provider: joining a configured prefix, escaping what a client chose.

The client's own path and query never reach an upstream (translation chapter §4.4, §5.1).
"""

import re
from typing import Final
from urllib.parse import quote

_NOT_IN_SEGMENT: Final = re.compile(r"[^A-Za-z0-9\-_.~$&+:=@]+")


def join(prefix: str, path: str) -> str:
    """`/prefix/path`, however the prefix is written: doubled slashes collapse, `.` and `..` are resolved."""
    segments: list[str] = []
    for segment in f"{prefix}/{path}".split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return "/" + "/".join(segments)


def escape_segment(text: str) -> str:
    """`text` as one path segment, as Go's url.PathEscape writes it: `:` and `@` stay, `/`, `?`, `#` do not.

    `.` and `..` would be resolved away by servers, so their dots are escaped too.
    """
    if text in (".", ".."):
        return text.replace(".", "%2E")
    return _NOT_IN_SEGMENT.sub(lambda found: quote(found[0], safe=""), text)
