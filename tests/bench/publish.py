"""How long a changed route takes into Envoy, and where the time goes: `make bench-publish`.

A real API server holds the AIGatewayRoutes of one Gateway, a real controller and a real Envoy Gateway translate them
for a real Envoy and filter. A route is given another model name, again and again, with nothing else going on. From its
write on:

* `filter`: until the filter serves with the new configuration, which needs nothing of Envoy Gateway;
* `HTTPRoute`: until the controller has written the HTTPRoute of the rule, which is what Envoy Gateway sees;
* `Envoy`: until the provider is asked for the new model name;
* `hooks`: what Envoy Gateway waited for us meanwhile. The rest of the time after `HTTPRoute` is Envoy Gateway's own.

A provider with an address instead of a host name (`--host address`) gets its endpoints by EDS: Envoy Gateway then calls
the Endpoints hook once per rule and translation, and waits for each.

Prints a table and writes out/bench-publish.json. All processes share the machine. No target: this is the part that the
push of configuration does not depend on. Needs namespaces of its own (tests.support.isolation).
"""

import argparse
import concurrent.futures
import contextlib
import re
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from rich.console import Console
from rich.table import Table

from filters.contract import jsonlib
from tests.gateway.live import conftest, worlds
from tests.gateway.live.conftest import Live
from tests.support import isolation
from tests.support.controller import condition
from tests.support.controller_world import AIGW, EG
from tests.support.envoy_gateway import METRICS_PORT, Proxy
from tests.support.waiting import wait_until

ROUTES: Final = 2_000
ROUNDS: Final = 9
LIMIT: Final = 1800.0
"""seconds that a load may take to be served"""
QUIET: Final = 3.0
"""seconds without a translation that mean that nothing is left to do"""
PORT: Final = 8888
NAME: Final = "bench"
OUTPUT: Final = Path("out/bench-publish.json")
_LOADED: Final = re.compile(r"^(\S+Z) .* configuration [0-9a-f]+ loaded", re.MULTILINE)
_HOOK: Final = re.compile(r'^aigw_hook_duration_seconds_(sum|count)\{hook="([^"]+)"\} (\S+)$', re.MULTILINE)


def route(number: int, override: str = "") -> dict[str, Any]:
    override = f", modelNameOverride: {override}" if override else ""
    made: dict[str, Any] = yaml.safe_load(
        worlds.route(f"route-{number}", NAME, {f"model-{number}": f"[{{name: {NAME}{override}}}]"})
    )
    made["metadata"]["namespace"] = "default"
    return made


def hooks() -> tuple[float, int]:
    """Seconds and calls that all hooks took so far."""
    text = httpx.get(f"http://127.0.0.1:{METRICS_PORT}/metrics", timeout=60, trust_env=False).text
    found = _HOOK.findall(text)
    seconds = sum(float(value) for what, _, value in found if what == "sum")
    return seconds, int(sum(float(value) for what, _, value in found if what == "count"))


def settle() -> None:
    """Until Envoy Gateway translates no more."""
    since, before = time.monotonic(), (-1.0, -1)
    while time.monotonic() - since < QUIET:
        time.sleep(0.2)
        if (now := hooks()) != before:
            since, before = time.monotonic(), now


def load(live: Live, routes: int, host: str) -> None:
    live.apply("---".join((worlds.gateway(NAME, PORT), worlds.backend(NAME))))
    endpoint = {"ip": {"address": isolation.ADDRESS, "port": worlds.PROVIDER_PORT}}
    if host == "name":
        endpoint = {"fqdn": {"hostname": "provider.example", "port": worlds.PROVIDER_PORT}}
    metadata = {"name": NAME, "namespace": "default"}
    live.api.apply({"apiVersion": EG, "kind": "Backend", "metadata": metadata, "spec": {"endpoints": [endpoint]}})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: live.api.create(route(number)), range(routes)))


def asked(live: Live, number: int) -> str:
    """The model that the provider is asked for when a client asks for that route's; empty when it is not served."""
    live.provider.forget()
    body = {**worlds.CHAT, "model": f"model-{number}"}
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(f"http://127.0.0.1:{PORT}/v1/chat/completions", json=body, timeout=30, trust_env=False)
    return next((str(jsonlib.decode(each["body"].encode(), dict)["model"]) for each in live.provider.recorded()), "")


def changed(live: Live, proxy: Proxy, number: int, override: str) -> dict[str, float]:
    """Milliseconds from the write of one route."""
    log = live.processes.log(f"{proxy.name}-filter")
    already, (seconds, calls) = len(_LOADED.findall(log)), hooks()
    path = f"/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/route-{number}"
    version = live.api.http.get(path).json()["metadata"]["resourceVersion"]
    begun = time.time()
    live.api.apply(route(number, override))

    def written() -> bool:
        return str(live.api.http.get(path).json()["metadata"]["resourceVersion"]) != version

    wait_until(written, "the HTTPRoute is written", every=0.002)
    http_route = time.time()
    wait_until(lambda: asked(live, number) == override, "the provider is asked for the new model", every=0.002)
    end = time.time()
    loaded = _LOADED.findall(live.processes.log(f"{proxy.name}-filter"))[already]
    settle()
    seconds_after, calls_after = hooks()
    return {
        "filter": (datetime.fromisoformat(loaded).timestamp() - begun) * 1000,
        "HTTPRoute": (http_route - begun) * 1000,
        "Envoy": (end - begun) * 1000,
        "hooks": (seconds_after - seconds) * 1000,
        "calls of hooks": calls_after - calls,
    }


def run(live: Live, routes: int, rounds: int, host: str, console: Console) -> dict[str, Any]:
    begun = time.monotonic()
    load(live, routes, host)
    console.print(f"{routes:,} routes created in {time.monotonic() - begun:.0f} s")
    proxy = live.proxy(f"default/{NAME}")

    def served() -> bool:
        last = live.api.get(AIGW, "AIGatewayRoute", f"route-{routes - 1}")
        return condition(last, "Programmed").get("status") == "True" and asked(live, routes - 1) != ""

    wait_until(served, "the last route is served", every=0.5, limit=LIMIT)
    settle()
    console.print(f"everything is served {time.monotonic() - begun:.0f} s after the first write")
    taken = [changed(live, proxy, routes // 2, f"other-{number}") for number in range(rounds)]
    medians = {name: statistics.median(each[name] for each in taken) for name in taken[0]}
    return {"routes": routes, "rounds": rounds, "median_ms": medians, "all_ms": taken}


def show(result: dict[str, Any], console: Console) -> None:
    table = Table(title=f"Write of one of {result['routes']:,} routes → …, {result['rounds']} rounds")
    for column in ("until", "median ms", "min ms", "max ms"):
        table.add_column(column, justify="left" if column == "until" else "right")
    for name, median in result["median_ms"].items():
        all_ = [each[name] for each in result["all_ms"]]
        table.add_row(name, f"{median:.0f}", f"{min(all_):.0f}", f"{max(all_):.0f}")
    console.print(table)
    own = result["median_ms"]["Envoy"] - result["median_ms"]["HTTPRoute"] - result["median_ms"]["hooks"]
    console.print(f"of that in Envoy Gateway and Envoy themselves: about {max(own, 0):.0f} ms")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench-publish", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--routes", type=int, default=ROUTES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--host", choices=("name", "address"), default="name", help="what the provider's Backend has")
    parser.add_argument("--envoy-gateway", choices=("1.8", "1.9"), default="1.8")
    arguments = parser.parse_args()
    console = Console()
    if reason := conftest.why_not():
        console.print(f"bench-publish: NOT RUN, {reason}")
        return 1
    with (
        tempfile.TemporaryDirectory(prefix="aigw-bench-", ignore_cleanup_errors=True) as folder,
        conftest.running(Path(folder), f"envoy-gateway-{arguments.envoy_gateway}") as live,
    ):
        result = run(live, arguments.routes, arguments.rounds, arguments.host, console)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_bytes(jsonlib.encode(result))
    show(result, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
