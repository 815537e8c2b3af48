"""What the controller process counts, for Prometheus. Knows nothing of those who count here; nothing is global.

Names are stable. Labels have few values: hooks, kinds and Gateways, never routes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BYTES: Final = (1_000, 10_000, 100_000, 1_000_000, 4_000_000, 16_000_000, 64_000_000, 256_000_000)


class Metrics:
    """One per process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._hooks = Counter(
            "aigw_hook_requests", "Calls of Envoy Gateway's hooks", ("hook", "result"), registry=self._registry
        )
        self._hook_seconds = Histogram(
            "aigw_hook_duration_seconds",
            "Time that a hook took to answer",
            ("hook",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._hook_bytes = Histogram(
            "aigw_hook_message_bytes",
            "Size of hook messages",
            ("hook", "message"),
            buckets=_BYTES,
            registry=self._registry,
        )
        self._pass_seconds = Histogram(
            "aigw_reconcile_duration_seconds",
            "Time from the first look at a batch of changes to its published configurations",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._compiled = Counter("aigw_reconcile_objects", "Objects that were compiled", registry=self._registry)
        self._requests = Counter(
            "aigw_apiserver_requests",
            "Requests to the API server by this process, watches left out",
            ("verb", "kind", "result"),
            registry=self._registry,
        )

    def hook_called(self, hook: str, result: str, seconds: float, received: int, sent: int) -> None:
        """`result`: answered, refused or cold."""
        self._hooks.labels(hook, result).inc()
        self._hook_seconds.labels(hook).observe(seconds)
        self._hook_bytes.labels(hook, "request").observe(received)
        self._hook_bytes.labels(hook, "response").observe(sent)

    def reconciled(self, seconds: float, objects: int) -> None:
        """One batch of changes."""
        self._pass_seconds.observe(seconds)
        self._compiled.inc(objects)

    def requested(self, verb: str, kind: str, result: str) -> None:
        """One request to the API server; `result`: `ok` or the reason that it was refused for."""
        self._requests.labels(verb, kind, result).inc()

    def watch(self, gauges: Iterable["Gauge"]) -> None:
        """Values that are asked for at each scrape."""
        self._registry.register(_Gauges(tuple(gauges)))

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self._registry)


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    says: str
    value: Callable[[], float | Mapping[str, float] | None]
    """a mapping has one value per value of `label`; None leaves the metric out"""
    label: str = ""


class _Gauges(Collector):
    def __init__(self, gauges: tuple[Gauge, ...]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for gauge in self._gauges:
            value = gauge.value()
            if isinstance(value, Mapping):
                family = GaugeMetricFamily(gauge.name, gauge.says, labels=(gauge.label,))
                for label, number in sorted(value.items()):
                    family.add_metric((label,), number)
                yield family
            elif value is not None:
                yield GaugeMetricFamily(gauge.name, gauge.says, value=value)
