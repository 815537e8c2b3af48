"""Every conformance case through `aigw run` and a real Envoy, by every plan that can serve it."""

import asyncio

import pytest

from conformance import through_envoy
from conformance.case import CASES, Plan, case_directories, load

pytestmark = pytest.mark.envoy

RUNS = [
    (case.name, plan)
    for case in (load(directory) for directory in case_directories())
    if "envoy" in case.via
    for plan in case.plans
]


@pytest.fixture(scope="module")
def verdicts() -> dict[tuple[str, Plan], tuple[str, ...]]:
    """One gateway serves all cases; what it showed, by case and plan."""
    cases = [load(CASES / name) for name in dict.fromkeys(name for name, _ in RUNS)]
    seen = asyncio.run(through_envoy.run_all(cases))
    return {(verdict.case.name, verdict.plan): verdict.differences for verdict in seen}


@pytest.mark.parametrize(("name", "plan"), RUNS)
def test_the_gateway_does_what_the_case_says(
    verdicts: dict[tuple[str, Plan], tuple[str, ...]], name: str, plan: Plan
) -> None:
    assert verdicts[name, plan] == ()
