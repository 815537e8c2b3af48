"""The numbers that the gateway promises, and whether a run keeps them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from tests.bench.measure import Result
from tests.bench.scenarios import KINDS, Kind

SUM_PASS: Final = 3.2
SUM_TRANSLATED: Final = 4.0
FILTER_PASS: Final = 90.0
FILTER_TRANSLATED: Final = 130.0
CHUNK_PASS: Final = 30.0
CHUNK_TRANSLATED: Final = 45.0
IDLE_RSS: Final = 60.0
LINEAR: Final = 1.6
"""cost per byte (per chunk) of the large row, in multiples of that of the small row: above it, work is not linear"""
FLAT: Final = 1.15
"""cost with 2,000 routes, in multiples of that with one"""


class Check(msgspec.Struct, frozen=True):
    """One promise."""

    what: str
    limit: float
    value: float

    @property
    def kept(self) -> bool:
        return self.value <= self.limit


def checks(results: Mapping[str, Result], idle_rss_mib: float) -> list[Check]:
    """Every promise about which this run says something."""
    return [
        *_unary(results),
        *_chunks(results),
        Check("filter RSS idle, MiB", IDLE_RSS, round(idle_rss_mib, 1)),
        *_scaling(results.values()),
    ]


_LIMITS: Final[tuple[tuple[Kind, float, float], ...]] = (
    ("pass", SUM_PASS, FILTER_PASS),
    ("anthropic", SUM_TRANSLATED, FILTER_TRANSLATED),
    ("bedrock", SUM_TRANSLATED, FILTER_TRANSLATED),
)


def _unary(results: Mapping[str, Result]) -> Iterator[Check]:
    for kind, ratio, filter_ in _LIMITS:
        for group, pace in (("unary", "closed loop"), ("paced", "equal pace")):
            result = results.get(f"{group}/{kind}/6KB/32c")
            if result is not None and result.ratio is not None:
                what = f"{KINDS[kind]}, 6 KB, 32 connections, {pace}"
                yield Check(f"{what}: CPU, × bare Envoy", ratio, result.ratio)
                yield Check(f"{what}: filter, µs per request", filter_, result.filter_us)


def _chunks(results: Mapping[str, Result]) -> Iterator[Check]:
    for result in results.values():
        if result.group == "stream" and result.chunks == 500 and result.chunk_us is not None and result.kind != "bare":
            limit = CHUNK_PASS if result.kind == "pass" else CHUNK_TRANSLATED
            suffix = ", gzip" if result.gzip else ""
            yield Check(
                f"{KINDS[result.kind]}, 500 chunks{suffix}: µs per chunk over bare Envoy", limit, result.chunk_us
            )


def _scaling(results: Iterable[Result]) -> Iterator[Check]:
    by_row: dict[tuple[str, Kind, bool], list[Result]] = {}
    for result in results:
        if result.group in ("bytes", "chunks", "routes") and result.kind != "bare":
            by_row.setdefault((result.group, result.kind, result.gzip), []).append(result)
    for (group, kind, gzip), row in by_row.items():
        if len(row) < 2:
            continue
        small, large = row[0], row[-1]
        suffix = ", gzip" if gzip else ""
        if group == "routes":
            what = f"{KINDS[kind]}: CPU with {large.routes} rules, × that with {small.routes}"
            yield Check(what, FLAT, round(large.cpu_us / small.cpu_us, 2))
        elif group == "bytes":
            what = f"{KINDS[kind]}: CPU per byte at {large.kilobytes} KB, × that at {small.kilobytes} KB"
            yield Check(what, LINEAR, round(large.cpu_us / large.kilobytes / (small.cpu_us / small.kilobytes), 2))
        else:
            what = f"{KINDS[kind]}{suffix}: CPU per chunk at {large.chunks}, × that at {small.chunks}"
            yield Check(what, LINEAR, round(large.cpu_us / large.chunks / (small.cpu_us / small.chunks), 2))
