"""Every conformance case through a real Envoy Gateway, as objects of a cluster; verdicts are those of standalone."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from conformance import report, resources, through_envoy
from conformance.case import CASES, Plan, case_directories, load
from tests.gateway.live.conftest import Live
from tests.support import isolation
from tests.support.controller import condition
from tests.support.envoy_gateway import Proxy
from tests.support.waiting import wait_until

PORT = 8990
OUT = "CONFORMANCE_OUT"
"""environment variable: folder whose report gets the verdicts too"""
GATEWAY = f"{resources.NAMESPACE}/gateway"
RUNS = [
    (case.name, plan)
    for case in (load(directory) for directory in case_directories())
    if "envoy" in case.via
    for plan in case.plans
]
Verdicts = dict[tuple[str, Plan], tuple[str, ...]]


@pytest.fixture(scope="module")
def verdicts(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """One Gateway serves all cases; what it showed, by case and plan."""
    found = asyncio.run(_run(live, tmp_path_factory.mktemp("conformance") / "access.jsonl"))
    if folder := os.environ.get(OUT):
        made = [report.verdict(each.case, report.IN_CLUSTER[each.plan], each.differences) for each in found]
        report.write(report.added(made, Path(folder)), Path(folder))
    return {(each.case.name, each.plan): each.differences for each in found}


async def _run(live: Live, access_log: Path) -> list[through_envoy.Verdict]:
    cases = [load(CASES / name) for name in dict.fromkeys(name for name, _ in RUNS)]
    async with through_envoy.replayed(cases, isolation.ADDRESS) as replays:
        for each in resources.objects(replays.runs, port=PORT, access_log=str(access_log), address=isolation.ADDRESS):
            live.api.apply(each)
        proxy = live.proxy(GATEWAY)
        keys = [f'"{run.key}"' for run in replays.runs]
        wait_until(lambda: _serves(proxy, keys), live.controller.log, limit=180)
        wait_until(lambda: _programmed(live), live.controller.log, limit=180)

        def check() -> None:
            assert live.processes.alive(f"{proxy.name}-envoy"), live.processes.log(f"{proxy.name}-envoy")[-3000:]

        seen = await replays.observe(f"http://127.0.0.1:{PORT}", check)
    # Envoy writes its log in its own time, and all of it when it stops.
    proxy.stop()
    return through_envoy.verdicts(seen, access_log)


def _serves(proxy: Proxy, keys: list[str]) -> bool:
    """Whether Envoy has a rule for every run."""
    try:
        dump = proxy.admin("/config_dump?resource=dynamic_route_configs")
    except httpx.HTTPError:
        return False
    return all(key in dump for key in keys)


def _programmed(live: Live) -> bool:
    """Whether the filter has them too."""
    path = f"/apis/aigateway.envoyproxy.io/v1beta1/namespaces/{resources.NAMESPACE}/aigatewayroutes"
    routes = live.api.http.get(path).json()["items"]
    return all(condition(route, "Programmed").get("status") == "True" for route in routes)


@pytest.mark.parametrize(("name", "plan"), RUNS)
def test_envoy_gateway_does_what_the_case_says(verdicts: Verdicts, name: str, plan: Plan) -> None:
    assert verdicts[name, plan] == ()
