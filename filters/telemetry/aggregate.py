"""Counts requests in plain dictionaries: a few microseconds on the request path, nothing that grows without bound.

Exporters (`filters.telemetry.prometheus`) read `families()` when they are asked to.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

import msgspec

from filters.telemetry.record import Labels, RequestRecord

MAX_SERIES: Final = 2_000
"""Label sets kept per process. Model names can be the client's words; beyond this many they count as `other`."""
_OTHER: Final = "other"

_TOKEN_BOUNDS: Final = tuple(float(4**power) for power in range(14))
_DURATION_BOUNDS: Final = tuple(0.01 * 2**power for power in range(14))
# fmt: off
_FIRST_TOKEN_BOUNDS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
)
_PER_TOKEN_BOUNDS: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
# fmt: on


class HistogramSpec(msgspec.Struct, frozen=True):
    name: str
    unit: str
    description: str
    bounds: tuple[float, ...]


# Names, units, texts and bounds: observability chapter §3.
TOKEN_USAGE: Final = HistogramSpec("gen_ai.client.token.usage", "token", "Number of tokens processed.", _TOKEN_BOUNDS)
REQUEST_DURATION: Final = HistogramSpec(
    "gen_ai.server.request.duration",
    "s",
    "Generative AI server request duration such as time-to-last byte or last output token.",
    _DURATION_BOUNDS,
)
FIRST_TOKEN: Final = HistogramSpec(
    "gen_ai.server.time_to_first_token",
    "s",
    "Time to receive first token in streaming responses.",
    _FIRST_TOKEN_BOUNDS,
)
PER_OUTPUT_TOKEN: Final = HistogramSpec(
    "gen_ai.server.time_per_output_token",
    "s",
    "Time per output token generated after the first token for successful responses.",
    _PER_TOKEN_BOUNDS,
)
COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "aigw.gateway.answers": ("error.type", "Requests that the gateway answered itself, by error code."),
    "aigw.cost.failures": ("metadata_key", "LLM request costs whose expression failed."),
    "aigw.request.dropped_members": ("schema", "Request members left out on purpose, by backend schema."),
}
"""name → (attribute, description)"""

_TOKEN_TYPES: Final = (
    ("input", attrgetter("input")),
    ("output", attrgetter("output")),
    ("cached_input", attrgetter("cached")),
    ("cache_creation_input", attrgetter("cache_creation")),
    ("reasoning", attrgetter("reasoning")),
)


@dataclass(slots=True)
class Distribution:
    """One series of one histogram."""

    bounds: tuple[float, ...]
    buckets: list[int] = field(default_factory=list)
    """one more than bounds; not cumulative"""
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.buckets = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.buckets[bisect_left(self.bounds, value)] += 1
        self.sum += value


Series = tuple[Labels, str]
"""labels, and the value of the histogram's own extra attribute (token type, error type)"""


class _Points:
    """All distributions of one label set: one look-up of five texts per request, not one per observation."""

    __slots__ = ("duration", "first_token", "per_output_token", "tokens")

    def __init__(self) -> None:
        self.duration: dict[str, Distribution] = {}
        self.tokens: dict[str, Distribution] = {}
        self.first_token: dict[str, Distribution] = {}
        self.per_output_token: dict[str, Distribution] = {}


_HISTOGRAMS: Final[tuple[tuple[HistogramSpec, Callable[[_Points], dict[str, Distribution]]], ...]] = (
    (TOKEN_USAGE, attrgetter("tokens")),
    (REQUEST_DURATION, attrgetter("duration")),
    (FIRST_TOKEN, attrgetter("first_token")),
    (PER_OUTPUT_TOKEN, attrgetter("per_output_token")),
)


class Aggregate:
    """See `filters.telemetry.record.Recorder`."""

    def __init__(self, max_series: int = MAX_SERIES) -> None:
        self._max_series = max_series
        self._points: dict[Labels, _Points] = {}
        self._counters: dict[str, dict[str, int]] = {name: {} for name in COUNTERS}

    def request(self, record: RequestRecord) -> None:
        points = self._points.get(record.labels) or self._new_points(record.labels)
        _observe(points.duration, REQUEST_DURATION, record.error, record.duration)
        usage = record.usage
        if usage is not None:
            for name, count in _TOKEN_TYPES:
                value = count(usage)
                if value is not None:
                    _observe(points.tokens, TOKEN_USAGE, name, value)
        if record.first_token is not None:
            _observe(points.first_token, FIRST_TOKEN, "", record.first_token)
        if record.per_output_token is not None:
            _observe(points.per_output_token, PER_OUTPUT_TOKEN, "", record.per_output_token)

    def answer(self, code: str) -> None:
        self._count("aigw.gateway.answers", code, 1)

    def cost_failure(self, key: str) -> None:
        self._count("aigw.cost.failures", key, 1)

    def dropped(self, schema: str, count: int) -> None:
        self._count("aigw.request.dropped_members", schema, count)

    def histograms(self) -> Iterator[tuple[HistogramSpec, Mapping[Series, Distribution]]]:
        for spec, of in _HISTOGRAMS:
            yield (
                spec,
                {
                    (labels, extra): distribution
                    for labels, points in self._points.items()
                    for extra, distribution in of(points).items()
                },
            )

    def counters(self) -> Iterator[tuple[str, Mapping[str, int]]]:
        yield from self._counters.items()

    def _count(self, name: str, value: str, by: int) -> None:
        counts = self._counters[name]
        counts[value] = counts.get(value, 0) + by

    def _new_points(self, labels: Labels) -> _Points:
        if len(self._points) >= self._max_series:
            labels = Labels(
                operation=labels.operation,
                provider=labels.provider,
                original_model=_OTHER,
                request_model=_OTHER,
                response_model=_OTHER,
            )
        return self._points.setdefault(labels, _Points())


def _observe(series: dict[str, Distribution], spec: HistogramSpec, extra: str, value: float) -> None:
    found = series.get(extra)
    if found is None:
        found = series[extra] = Distribution(spec.bounds)
    found.observe(value)
