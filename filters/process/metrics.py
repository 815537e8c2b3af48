"""Adds up the Prometheus texts of several workers into one."""

from collections.abc import Iterable


def added_up(texts: Iterable[bytes]) -> bytes:
    """One exposition: every series once, with the sum of its values (counters, histograms, and gauges that count).

    Families keep the order in which they are first seen; a line that is no sample is left out.
    """
    families: dict[str, dict[str, float]] = {}
    comments: dict[str, list[str]] = {}
    for text in texts:
        family = ""
        for line in text.decode("utf-8", "replace").splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                family = line.split(" ", 3)[2]
                known = comments.setdefault(family, [])
                if line not in known and len(known) < 2:
                    known.append(line)
                continue
            series, _, number = line.rpartition(" ")
            try:
                value = float(number)
            except ValueError:
                continue
            members = families.setdefault(family, {})
            members[series] = members.get(series, 0.0) + value
    lines: list[str] = []
    for family, members in families.items():
        lines += comments.get(family, [])
        lines += [f"{series} {value!r}" for series, value in members.items()]
    return ("\n".join(lines) + "\n").encode() if lines else b""
