"""`python -m tests.bench [--quick] [--only TEXT]`: the command behind `make bench`.

Rounds are interleaved: each round measures every row once, so that a busy minute of the machine falls on all rows.
"""

import argparse
import contextlib
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench import scenarios, stack, targets
from tests.bench.measure import Result, Window, summarize, window
from tests.bench.scenarios import KINDS, Scenario
from tests.bench.stack import Measured

BUSY: Final = 0.1
"""Cores that other processes may use without a warning."""


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
    route_rows = [] if options.quick else scenarios.routes()
    if options.only:
        rows = _only(rows, options.only)
        route_rows = [row for row in route_rows if options.only in row.name]
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    document = uvloop.run(run(rows, route_rows, options.rounds, options.seconds, console))
    show(document, console)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    console.print(f"machine-readable copy: {options.out}", highlight=False)


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


def show(document: Document, console: Console) -> None:
    """Prints the rows, then the promises."""
    table = Table(title="CPU in µs per request, medians; ratio to bare Envoy in the same rounds", title_justify="left")
    table.add_column("what")
    for title in ("KB", "conns", "chunks", "req/s", "p50 ms", "p99 ms", "Envoy", "filter", "sum", "×bare", "µs/chunk"):
        table.add_column(title, justify="right")
    table.add_column("RSS MiB", justify="right")
    group = ""
    for result in document.results:
        if group and result.group != group:
            table.add_section()
        group = result.group
        table.add_row(*_cells(result))
    console.print(table)
    idle = ", ".join(f"{name} {value:.0f}" for name, value in document.idle_rss_mib.items())
    console.print(
        f"first answer {document.start_seconds} s after process start; idle RSS in MiB: {idle}", highlight=False
    )
    others = max(result.others for result in document.results)
    if others > BUSY:
        console.print(f"[yellow]other processes used up to {others:.1f} cores: the numbers are too high[/yellow]")
    promises = Table(title="Targets", title_justify="left")
    for title in ("what", "limit", "measured", ""):
        promises.add_column(title, justify="left" if title in ("what", "") else "right")
    for check in document.checks:
        verdict = "[green]kept[/green]" if check.kept else "[red]missed[/red]"
        promises.add_row(check.what, f"{check.limit:g}", f"{check.value:g}", verdict)
    console.print(promises)


def _cells(result: Result) -> list[str]:
    chunks = f"{result.chunks}{' gzip' if result.gzip else ''}" if result.chunks else ""
    routes = f", {result.routes} routes" if result.group == "routes" else ""
    pace = f" at {result.rate}/s" if result.rate else ""
    return [
        KINDS[result.kind] + routes + pace,  # type: ignore[index]  # the name of a Kind
        str(result.kilobytes),
        str(result.connections),
        chunks,
        f"{result.per_second:.0f}" if result.per_second >= 10 else f"{result.per_second:.1f}",
        f"{result.p50_ms:.2f}",
        f"{result.p99_ms:.2f}",
        f"{result.envoy_us:.0f}",
        f"{result.filter_us:.0f}",
        f"{result.cpu_us:.0f}",
        "" if result.ratio is None else f"{result.ratio:.2f}",
        "" if result.chunk_us is None else f"{result.chunk_us:.1f}",
        f"{result.envoy_rss_mib:.0f}, {result.filter_rss_mib:.0f}",
    ]


if __name__ == "__main__":
    main()
