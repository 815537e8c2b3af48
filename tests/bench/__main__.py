"""`python -m tests.bench [--quick] [--only TEXT]`: the command behind `make bench`.

Rounds are interleaved: each round measures every row once, so that a busy minute of the machine falls on all rows.
"""

import argparse
import contextlib
import os
import platform
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench import answers, scenarios, stack, targets
from tests.bench.measure import Result, Window, summarize, window
from tests.bench.processes import machine_seconds
from tests.bench.scenarios import KINDS, Scenario
from tests.bench.stack import Measured

BUSY: Final = 0.1
"""Cores that other processes may use without a warning."""
LOOK: Final = 1.0
"""Seconds for which the machine is watched before the measurement."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """out/bench.json"""

    machine: dict[str, str]
    start_seconds: float
    """from the start of the process to the first answer of `aigw run`"""
    idle_rss_mib: dict[str, float]
    results: tuple[Result, ...]
    checks: tuple[targets.Check, ...]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="only the rows that the targets are about")
    parser.add_argument("--only", default="", help="only rows whose name contains this text (and their bare row)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="per row and round")
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    options = parser.parse_args()
    rows = scenarios.quick() if options.quick else scenarios.full()
    route_rows = scenarios.routes(("pass",)) if options.quick else scenarios.routes()
    if options.only:
        rows = _only(rows, options.only)
        route_rows = [row for row in route_rows if options.only in row.name]
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    _show_load(console)
    document = uvloop.run(run(rows, route_rows, options.rounds, options.seconds, console))
    show(document, console)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    console.print(f"machine-readable copy: {options.out}", highlight=False)


def _show_load(console: Console) -> None:
    """Says beforehand when a measurement would be in vain."""
    before, began = machine_seconds(), time.perf_counter()
    time.sleep(LOOK)
    busy = (machine_seconds() - before) / (time.perf_counter() - began)
    if busy > BUSY:
        console.print(
            f"[yellow]other processes use {busy:.1f} of {os.cpu_count()} cores now; stop them for numbers that can be "
            "compared[/yellow]",
            highlight=False,
        )


def _only(rows: Sequence[Scenario], text: str) -> list[Scenario]:
    wanted = [row for row in rows if text in row.name]
    bare = {_bare_name(row) for row in wanted}
    return [row for row in rows if text in row.name or row.name in bare]


def _bare_name(row: Scenario) -> str:
    return row.name.replace(f"/{row.kind}/", "/bare/", 1)


async def run(
    rows: Sequence[Scenario], route_rows: Sequence[Scenario], rounds: int, seconds: float, console: Console
) -> Document:
    """Measures everything. Raises UnexpectedAnswer when a system answers anything but 200."""
    results: dict[str, Result] = {}
    start, idle = 0.0, {"envoy": 0.0, "filter": 0.0, "parent": 0.0}
    keys = sorted({backend.answer for row in (*rows, *route_rows) for backend in row.backends})
    with stack.upstreams(keys) as ports:
        if rows:
            with stack.bare_envoy(ports) as bare, stack.gateway(rows, ports) as gateway:
                start = gateway.ready_seconds
                idle = {
                    name: round(getattr(gateway, name).rss_bytes() / 2**20, 1) for name in ("envoy", "filter", "parent")
                }
                systems = {row.name: bare if row.kind == "bare" else gateway for row in rows}
                results |= await _rounds(rows, systems, rounds, seconds, console)
        if route_rows:
            with contextlib.ExitStack() as context:
                systems = {}
                for count in sorted({row.routes for row in route_rows}):
                    few = [row for row in route_rows if row.routes == count]
                    system = context.enter_context(stack.gateway(few, ports, count))
                    systems |= {row.name: system for row in few}
                results |= await _rounds(route_rows, systems, rounds, seconds, console)
    return Document(
        machine=_machine(),
        start_seconds=round(start, 2),
        idle_rss_mib=idle,
        results=tuple(results.values()),
        checks=tuple(targets.checks(results, idle["filter"])),
    )


async def _rounds(
    rows: Sequence[Scenario], systems: Mapping[str, Measured], rounds: int, seconds: float, console: Console
) -> dict[str, Result]:
    windows: dict[str, list[Window]] = {row.name: [] for row in rows}
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}: {len(rows)} rows", highlight=False)
        for row in rows:
            windows[row.name].append(await window(systems[row.name], row, seconds))
    return {row.name: summarize(row, windows[row.name], windows.get(_bare_name(row), [])) for row in rows}


def _machine() -> dict[str, str]:
    found = {"python": platform.python_version(), "kernel": platform.release(), "cpus": str(os.cpu_count())}
    with contextlib.suppress(OSError):
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        found["cpu"] = models[0].split(": ", 1)[1] if models else platform.machine()
    found["load"] = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return found


_TITLES: Final = {
    "unary": "Closed loop: each connection asks again as soon as it has its answer",
    "paced": "Equal pace: every system is asked equally often",
    "stream": f"Streams: a chunk every {answers.PACE * 1000:g} ms on each connection",
    "bytes": "Growth with the body (an answer of 1 KB)",
    "chunks": f"Growth with the stream: a chunk every {answers.FAST * 1000:g} ms on each connection",
    "routes": "Growth with the number of rules (closed loop)",
}
"""group of rows → title of its table"""
_GROWTH: Final = ("bytes", "chunks", "routes")
_UNITS: Final = """\
Medians of {rounds} rounds. KB: of the request. Envoy, filter, sum: CPU in µs per request. × bare: sum to that of bare
Envoy in the same rounds. µs/chunk: CPU over bare Envoy. RSS: Envoy, filter. others: cores that other processes took."""


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cell: Callable[[Result], str]
    groups: Collection[str] = tuple(_TITLES)
    """the tables that have it"""


def _count(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


_COLUMNS: Final = (
    _Column("KB", lambda row: str(row.kilobytes)),
    _Column("conns", lambda row: str(row.connections)),
    _Column("asked/s", lambda row: str(row.rate), ("paced",)),
    _Column("chunks", lambda row: f"{row.chunks}{' gzip' if row.gzip else ''}", ("stream", "chunks")),
    _Column("rules", lambda row: str(row.routes), ("routes",)),
    _Column("answers/s", lambda row: _count(row.per_second)),
    _Column("p50 ms", lambda row: f"{row.p50_ms:.2f}"),
    _Column("p99 ms", lambda row: f"{row.p99_ms:.2f}"),
    _Column("Envoy", lambda row: f"{row.envoy_us:.0f}"),
    _Column("filter", lambda row: f"{row.filter_us:.0f}" if row.filter_us else "–"),
    _Column("sum", lambda row: f"{row.cpu_us:.0f}"),
    _Column(
        "× bare",
        lambda row: "" if row.ratio is None else f"{row.ratio:.2f}",
        ("unary", "paced", "stream", "bytes", "chunks"),
    ),
    _Column("µs/chunk", lambda row: "" if row.chunk_us is None else f"{row.chunk_us:.1f}", ("stream", "chunks")),
    _Column("RSS MiB", lambda row: f"{row.envoy_rss_mib:.0f}, {row.filter_rss_mib:.0f}"),
    _Column("others", lambda row: f"[yellow]{row.others:.1f} ![/yellow]" if row.others > BUSY else ""),
)


def show(document: Document, console: Console) -> None:
    """Prints a table per group of rows, then the targets. docs/benchmarks.md tells how to read them."""
    console.print(_UNITS.format(rounds=max((row.rounds for row in document.results), default=0)), highlight=False)
    for group, title in _TITLES.items():
        rows = [row for row in document.results if row.group == group]
        if rows:
            console.print(_table(group, title, rows))
    idle = ", ".join(f"{name} {value:.0f}" for name, value in document.idle_rss_mib.items())
    console.print(
        f"first answer {document.start_seconds} s after process start; idle RSS in MiB: {idle}", highlight=False
    )
    promises = Table(title="Targets", title_justify="left")
    for title in ("what", "at most", "measured", ""):
        promises.add_column(title, justify="left" if title in ("what", "") else "right")
    for check in document.checks:
        verdict = "[green]met[/green]" if check.kept else "[red]missed[/red]"
        promises.add_row(check.what, f"{check.limit:g}", f"{check.value:g}", verdict)
    console.print(promises)
    _show_disturbance(document, console)


def _table(group: str, title: str, rows: Sequence[Result]) -> Table:
    columns = [column for column in _COLUMNS if group in column.groups]
    table = Table(title=title, title_justify="left")
    table.add_column("what", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="right")
    for index, row in enumerate(rows):
        # A block for rows that are to be compared: of one kind, or of one size.
        before = rows[index - 1]
        if index and (row.kind != before.kind if group in _GROWTH else row.kind == rows[0].kind):
            table.add_section()
        table.add_row(KINDS[row.kind], *(column.cell(row) for column in columns))
    return table


def _show_disturbance(document: Document, console: Console) -> None:
    console.print(
        f"{document.machine['cpus']} CPUs, load average {document.machine['load']} at the end", highlight=False
    )
    disturbed = [row.others for row in document.results if row.others > BUSY]
    if disturbed:
        console.print(
            f"[yellow]DISTURBED: in {len(disturbed)} of {len(document.results)} rows (marked !) other processes used "
            f"up to {max(disturbed):.1f} cores. CPU per request is too high there, ratios are less so; measure again "
            "on a quiet machine before you believe a missed target.[/yellow]",
            highlight=False,
        )
    else:
        console.print("no other process disturbed the measurement", highlight=False)


if __name__ == "__main__":
    main()
