"""How long a change takes to the running filter: `make bench-push`.

A real API server holds 10,000 AIGatewayRoutes, a real controller watches, compiles and writes, a real filter process
follows. Measured is the time from the API write to the moment when the filter serves with the change, which it reports
at once: a new value of the Secret that all routes share, a changed route, a new route. What Envoy Gateway needs to
bring a new route into Envoy is not in it; a new value of a Secret needs nothing of Envoy.

Requests go to the filter all the while, to see whether a change makes them wait. Prints a table, writes
out/bench-push.json, and ends with exit code 1 when a target is missed. All processes share the machine.
"""

import argparse
import concurrent.futures
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
from rich.console import Console
from rich.table import Table

from filters.contract import jsonlib
from tests.support import apiserver, envoy_gateway_crds
from tests.support import push_processes as processes
from tests.support.apiserver import ApiServer
from tests.support.controller import CLASS_CONTROLLER
from tests.support.controller_world import AIGW, FOREIGN, GW, by_kind
from tests.support.push_processes import Asking, ControllerProcess, FilterProcess
from tests.support.waiting import wait_until

ROUTES: Final = 10_000
ROUNDS: Final = 9
TARGET: Final = 300.0
"""milliseconds, median"""
PAUSE: Final = 0.02
"""seconds between two requests of the one client"""
QUIET: Final = 3.0
"""Seconds without a write that mean that the controller has nothing left to do."""
LOAD_LIMIT: Final = 1800.0
_READS: Final = ('verb="get"', 'verb="list"')
NAMESPACE: Final = "bench"
OUTPUT: Final = Path("out/bench-push.json")


def route(number: int, override: str = "") -> dict[str, Any]:
    reference = {"name": "provider", **({"modelNameOverride": override} if override else {})}
    match = {"headers": [{"name": "x-ai-eg-model", "value": f"model-{number}"}]}
    return {
        "apiVersion": AIGW,
        "kind": "AIGatewayRoute",
        "metadata": {"name": f"route-{number}", "namespace": NAMESPACE},
        "spec": {"parentRefs": [{"name": "edge"}], "rules": [{"matches": [match], "backendRefs": [reference]}]},
    }


def load(api: ApiServer, directory: Path, routes: int) -> None:
    api.install(envoy_gateway_crds.write(directory / "foreign.yaml", *FOREIGN))
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    gateway_class = {"apiVersion": GW, "kind": "GatewayClass", "metadata": {"name": "envoy"}}
    api.create({**gateway_class, "spec": {"controllerName": CLASS_CONTROLLER}})
    world = by_kind(NAMESPACE)
    for kind in ("Gateway", "Backend", "Secret", "AIServiceBackend", "BackendSecurityPolicy"):
        api.create(world[kind])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: api.create(route(number)), range(routes)))


class Latencies:
    """One client that asks the filter all the time."""

    def __init__(self, filter_: FilterProcess) -> None:
        self._filter = filter_
        self._stop = threading.Event()
        self.seen: list[tuple[float, float]] = []
        """(Unix time of the answer, milliseconds)"""
        self.failures: list[str] = []

    def run(self) -> None:
        with grpc.insecure_channel(f"unix:{self._filter.socket}") as channel:
            asking = Asking(channel)
            while not self._stop.wait(PAUSE):
                begun = time.perf_counter()
                status, text = asking.ask("model-1")
                self.seen.append((time.time(), (time.perf_counter() - begun) * 1000))
                if status != 200:
                    self.failures.append(text)

    @contextlib.contextmanager
    def measured(self) -> Iterator["Latencies"]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def within(self, windows: list[tuple[float, float]]) -> list[float]:
        return [took for when, took in self.seen if any(begin <= when <= end for begin, end in windows)]


def written(controller: ControllerProcess) -> float:
    """Requests to the API server that write."""
    text = httpx.get(f"http://127.0.0.1:{controller.metrics_port}/metrics", timeout=60).text
    lines = [each for each in text.splitlines() if each.startswith("aigw_apiserver_requests_total{")]
    return sum(
        float(each.rpartition(" ")[2]) for each in lines if 'verb="get"' not in each and 'verb="list"' not in each
    )


def settle(controller: ControllerProcess) -> None:
    """Until the controller writes no more."""
    since, before = time.monotonic(), -1.0
    deadline = since + LOAD_LIMIT
    while time.monotonic() - since < QUIET:
        assert time.monotonic() < deadline, "the controller does not come to rest"
        time.sleep(0.25)
        now = written(controller)
        if now != before:
            since, before = time.monotonic(), now


def measure(filter_: FilterProcess, change: Callable[[], object]) -> tuple[float, float]:
    """Unix times of the write and of the moment when the filter serves with it."""
    before = len(filter_.loaded())
    begun = time.time()
    change()
    wait_until(lambda: len(filter_.loaded()) > before, "the filter serves with the change", every=0.01)
    return begun, filter_.loaded()[before][0]


def changes(api: ApiServer, routes: int) -> dict[str, Callable[[int], object]]:
    secret = by_kind(NAMESPACE)["Secret"]
    return {
        "Secret of all routes": lambda number: api.apply({**secret, "stringData": {"apiKey": f"sk-{number}"}}),
        "one route": lambda number: api.apply(route(routes // 2 + number, f"other-{number}")),
        "a new route": lambda number: api.create(route(routes + number)),
    }


def run(routes: int, rounds: int, console: Console) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aigw-bench-")))
        api = stack.enter_context(apiserver.running_apiserver(crds=[apiserver.CRDS]))
        begun = time.monotonic()
        load(api, directory, routes)
        console.print(f"{routes:,} routes created in {time.monotonic() - begun:.0f} s")
        begun = time.monotonic()
        controller = stack.enter_context(processes.controller(api, NAMESPACE, directory)).ready()
        proof = processes.proxy(api, NAMESPACE, (NAMESPACE, "edge"))
        authorities = processes.authorities(api, NAMESPACE)
        filter_ = stack.enter_context(
            processes.filter_process(controller.config_port, authorities, proof, directory / "state")
        )
        wait_until(lambda: filter_.health() == 200, "the filter serves", every=0.1, limit=LOAD_LIMIT)
        console.print(f"the filter serves {time.monotonic() - begun:.0f} s after the controller's start")
        settle(controller)
        console.print(f"everything is written {time.monotonic() - begun:.0f} s after it")
        result: dict[str, Any] = {"routes": routes, "rounds": rounds, "target_ms": TARGET, "changes": {}}
        latencies = stack.enter_context(Latencies(filter_).measured())
        idle = (time.time(), time.time() + QUIET)
        settle(controller)
        windows: list[tuple[float, float]] = []
        for name, change in changes(api, routes).items():
            took = []
            for number in range(rounds):
                begin, end = measure(filter_, lambda change=change, number=number: change(number))
                windows.append((begin, end + 0.2))
                took.append((end - begin) * 1000)
                settle(controller)
            result["changes"][name] = {"median_ms": statistics.median(took), "max_ms": max(took), "all_ms": took}
        assert filter_.ask("model-1") == (200, f"Bearer sk-{rounds - 1}")
        assert filter_.ask(f"model-{routes + rounds - 1}")[0] == 200
        assert not latencies.failures, latencies.failures[0]
        result["requests_idle_ms"] = summary(latencies.within([idle]))
        result["requests_during_changes_ms"] = summary(latencies.within(windows))
        return result


def summary(took: list[float]) -> dict[str, float]:
    return {"count": len(took), "median": statistics.median(took), "max": max(took)}


def show(result: dict[str, Any], console: Console) -> bool:
    """Whether the target is met."""
    table = Table(title=f"API write → filter serves with it, {result['routes']:,} routes, {result['rounds']} rounds")
    for column in ("change", "median ms", "max ms", f"target {TARGET:.0f}"):
        table.add_column(column, justify="left" if column == "change" else "right")
    good = True
    for name, each in result["changes"].items():
        met = each["median_ms"] <= TARGET
        good &= met
        table.add_row(name, f"{each['median_ms']:.0f}", f"{each['max_ms']:.0f}", "met" if met else "MISSED")
    console.print(table)
    for name, key in (("without a change", "requests_idle_ms"), ("while changes arrive", "requests_during_changes_ms")):
        each = result[key]
        console.print(f"a request {name}: median {each['median']:.1f} ms, longest {each['max']:.1f} ms")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-push", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--routes", type=int, default=ROUTES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    console = Console()
    if names := apiserver.missing():
        console.print(f"bench-push: NOT RUN, {', '.join(names)} not built; run `make tools`")
        return 1
    result = run(arguments.routes, arguments.rounds, console)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_bytes(jsonlib.encode(result))
    return 0 if show(result, console) else 1


if __name__ == "__main__":
    sys.exit(main())
