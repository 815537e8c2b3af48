"""One measurement window, and what several of them say together."""

import statistics
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from tests.bench.answers import answer
from tests.bench.client import Generator
from tests.bench.processes import machine_seconds, own_seconds
from tests.bench.scenarios import Kind, Scenario
from tests.bench.stack import Measured

WARM_UP: Final = 0.25
AT_LEAST: Final = 8
"""requests per window, however long they take"""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What one window saw. CPU is per request, in µs."""

    requests: int
    per_second: float
    p50: float
    """ms"""
    p99: float
    envoy: float
    filter: float
    envoy_rss: int
    filter_rss: int
    others: float
    """cores that processes of other people used meanwhile: they make everything here dearer"""

    @property
    def cpu(self) -> float:
        return self.envoy + self.filter


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of the windows of one scenario."""

    name: str
    group: str
    kind: Kind
    kilobytes: int
    connections: int
    chunks: int
    gzip: bool
    routes: int
    rate: int
    rounds: int
    per_second: float
    p50_ms: float
    p99_ms: float
    envoy_us: float
    filter_us: float
    envoy_rss_mib: float
    filter_rss_mib: float
    others: float
    ratio: float | None = None
    """(Envoy + filter) CPU to that of the bare Envoy in the same rounds"""
    chunk_us: float | None = None
    """µs of CPU per chunk, Envoy + filter, over bare Envoy in the same rounds"""

    @property
    def cpu_us(self) -> float:
        return self.envoy_us + self.filter_us


async def window(system: Measured, scenario: Scenario, seconds: float) -> Window:
    """Loads `system` for about `seconds`. Raises UnexpectedAnswer.

    Streams are measured from the first request to the last byte, so that every chunk is paid for inside the window;
    other requests after a warm-up.
    """
    return await (_streams if scenario.chunks else _requests)(system, scenario, seconds)


async def _requests(system: Measured, scenario: Scenario, seconds: float) -> Window:
    generator = Generator(system.target(scenario), scenario.connections, rate=scenario.rate)
    await generator.open()
    try:
        await generator.run(WARM_UP, scenario.connections)
        generator.reset()
        meter = _Meter(system)
        await generator.run(seconds, max(AT_LEAST, scenario.connections))
        return meter.window(generator.load.seconds)
    finally:
        await generator.close()


async def _streams(system: Measured, scenario: Scenario, seconds: float) -> Window:
    length = scenario.chunks * answer(scenario.backends[-1].answer).pace
    generator = Generator(system.target(scenario), scenario.connections, each=max(1, round(seconds / length)))
    meter = _Meter(system)
    try:
        await generator.open()
        await generator.run_each()
        return meter.window(generator.load.seconds)
    finally:
        await generator.close()


class _Meter:
    """Reads the clocks when it is made and again in `window`."""

    def __init__(self, system: Measured) -> None:
        self._system = system
        self._envoy, self._filter = system.envoy.cpu_seconds(), system.filter.cpu_seconds()
        self._machine, self._own = machine_seconds(), own_seconds()
        self._began = time.perf_counter()

    def window(self, seconds: Sequence[float]) -> Window:
        took = time.perf_counter() - self._began
        envoy = self._system.envoy.cpu_seconds() - self._envoy
        filter_ = self._system.filter.cpu_seconds() - self._filter
        times = sorted(seconds)
        count = len(times)
        return Window(
            requests=count,
            per_second=count / took,
            p50=1000 * times[count // 2],
            p99=1000 * times[min(count - 1, count * 99 // 100)],
            envoy=1e6 * envoy / count,
            filter=1e6 * filter_ / count,
            envoy_rss=self._system.envoy.rss_bytes(),
            filter_rss=self._system.filter.rss_bytes(),
            others=max(0.0, machine_seconds() - self._machine - (own_seconds() - self._own)) / took,
        )


def summarize(scenario: Scenario, windows: Sequence[Window], bare: Sequence[Window]) -> Result:
    """Medians; ratios are taken round by round, against the bare Envoy of the same round."""

    def median(name: str) -> float:
        return statistics.median(getattr(each, name) for each in windows)

    pairs = list(zip(windows, bare, strict=bool(bare)))
    chunks = scenario.chunks
    return Result(
        name=scenario.name,
        group=scenario.group,
        kind=scenario.kind,
        kilobytes=scenario.kilobytes,
        connections=scenario.connections,
        chunks=chunks,
        gzip=scenario.gzip,
        routes=scenario.routes,
        rate=scenario.rate,
        rounds=len(windows),
        per_second=round(median("per_second"), 1),
        p50_ms=round(median("p50"), 3),
        p99_ms=round(median("p99"), 3),
        envoy_us=round(median("envoy"), 1),
        filter_us=round(median("filter"), 1),
        envoy_rss_mib=round(median("envoy_rss") / 2**20, 1),
        filter_rss_mib=round(median("filter_rss") / 2**20, 1),
        others=round(median("others"), 2),
        ratio=round(statistics.median(mine.cpu / other.cpu for mine, other in pairs), 2) if pairs else None,
        chunk_us=round(statistics.median((mine.cpu - other.cpu) / chunks for mine, other in pairs), 2)
        if pairs and chunks
        else None,
    )
