"""The aggregate as a Prometheus text page (`/metrics`). Costs nothing until somebody asks."""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from filters.telemetry import aggregate
from filters.telemetry.aggregate import COUNTERS, TOKEN_USAGE, Aggregate, Distribution, HistogramSpec
from filters.telemetry.record import Labels

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_SCOPE: Final = {"otel_scope_name": "envoyproxy/ai-gateway", "otel_scope_version": "", "otel_scope_schema_url": ""}
"""What an OpenTelemetry exporter adds to every series: dashboards select by it."""
_LABELS: Final = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_original_model",
    "gen_ai_request_model",
    "gen_ai_response_model",
)
_EXTRA: Final = {TOKEN_USAGE: "gen_ai_token_type", aggregate.REQUEST_DURATION: "error_type"}
_UNITS: Final = {"s": "_seconds", "token": ""}


def render(source: Aggregate) -> bytes:
    """The page, in the text format that CONTENT_TYPE names."""
    return generate_latest(_Source(source))


class _Source(Collector):
    def __init__(self, source: Aggregate) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        yield from _histograms(self._source)
        yield from _counters(self._source)


def _name(name: str) -> str:
    return name.replace(".", "_")


def _histograms(source: Aggregate) -> Iterator[Metric]:
    for spec, series in source.histograms():
        family = HistogramMetricFamily(_name(spec.name) + _UNITS[spec.unit], spec.description)
        for (labels, extra), distribution in sorted(series.items(), key=lambda item: (repr(item[0][0]), item[0][1])):
            _add(family, {**_pairs(labels), **_extra(spec, extra), **_SCOPE}, distribution)
        yield family


def _pairs(labels: Labels) -> dict[str, str]:
    values = (
        labels.operation,
        labels.provider,
        labels.original_model,
        labels.request_model,
        labels.response_model,
    )
    return dict(zip(_LABELS, values, strict=True))


def _extra(spec: HistogramSpec, value: str) -> dict[str, str]:
    name = _EXTRA.get(spec)
    # No error, no label: a dashboard counts failures by its presence.
    return {name: value} if name is not None and value else {}


def _add(family: HistogramMetricFamily, labels: dict[str, str], distribution: Distribution) -> None:
    counts = tuple(accumulate(distribution.buckets))
    for bound, count in zip((*map(_bound, distribution.bounds), "+Inf"), counts, strict=True):
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    family.add_sample(f"{family.name}_count", labels, counts[-1])
    family.add_sample(f"{family.name}_sum", labels, distribution.sum)


def _bound(bound: float) -> str:
    return f"{bound:.12g}" if bound != int(bound) else f"{bound:.1f}"


def _counters(source: Aggregate) -> Iterator[Metric]:
    for name, counts in source.counters():
        attribute, description = COUNTERS[name]
        family = CounterMetricFamily(_name(name), description, labels=(_name(attribute),))
        for value, count in sorted(counts.items()):
            family.add_metric((value,), count)
        yield family
