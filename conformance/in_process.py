"""Runs a case in this process: the exchanges of the data plane with this module in Envoy's place, no sockets.

    python -m conformance fixtures [--provider bedrock]      rewrites the expected files (`make fixtures PROVIDER=…`)
    observe(case)                                            → Observation

Everything from the client's bytes to the client's bytes is the real code: parsing, translation, mutations, credentials,
content-encoding, accounting. The provider's answer comes whole, byte by byte and at random cuts (fixed seed per case),
by each plan that the case names, and every way must show the same.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from conformance.case import GENERATED, Case, CaseError, Plan
from conformance.observation import Observation, common_length, files
from conformance.stand_in import StandIn

RANDOM_RUNS: Final = 8
EXACT_LIMIT: Final = 100_000
"""Bytes of an answer up to which it is fed byte by byte; above that the random cuts alone must do."""


class Unstable(AssertionError):
    """The same case, cut differently or served by another plan, showed something else."""


def observe(case: Case) -> Observation:
    """Runs `case` in every way. Raises Unstable when they disagree, CaseError when the case cannot be run."""
    whole = _run(case, case.plans[0])
    for plan, label, cuts in _ways(case):
        seen = _run(case, plan, cuts)
        if seen != whole:
            raise Unstable(f"{case.name}: {plan}, {label}: {_where(whole, seen)}")
    return whole


def write_fixtures(case: Case) -> list[str]:
    """Rewrites the expected files of `case`, deletes stale ones; returns the names of those that changed."""
    wanted = files(observe(case))
    changed: list[str] = []
    for name in GENERATED:
        path = case.directory / name
        before = path.read_bytes() if path.is_file() else None
        if name in wanted and before != wanted[name]:
            path.write_bytes(wanted[name])
            changed.append(name)
        elif name not in wanted and before is not None:
            path.unlink()
            changed.append(name)
    return changed


def _run(case: Case, plan: Plan, cuts: Iterable[int] = ()) -> Observation:
    stand_in = StandIn(case, plan)
    if stand_in.ask() is not None:
        if case.answer is None:
            raise CaseError(f"{case.directory}: a request reaches the provider, but there is no upstream_response file")
        stand_in.answer(case.answer, cuts)
    return stand_in.observation()


def _ways(case: Case) -> Iterator[tuple[Plan, str, Sequence[int]]]:
    for plan in case.plans[1:]:
        yield plan, "whole", ()
    if case.answer is None:
        return
    length = len(case.answer.body)
    if length <= EXACT_LIMIT:
        yield case.plans[-1], "byte by byte", range(1, length)
    source = random.Random(case.seed)
    for number in range(RANDOM_RUNS if length > 1 else 0):
        count = min(length - 1, source.randrange(1, 40))
        yield case.plans[0], f"cut at random ({number})", sorted(source.sample(range(1, length), count))


def _where(whole: Observation, seen: Observation) -> str:
    if whole.request != seen.request:
        return "another request reached the provider"
    if whole.accounting != seen.accounting:
        return f"counted {seen.accounting}, at first {whole.accounting}"
    if whole.response.status != seen.response.status or whole.response.headers != seen.response.headers:
        return f"the client got {seen.response.status} {seen.response.headers}"
    common = common_length(whole.response.body, seen.response.body)
    return f"the client's body differs from byte {common}: {seen.response.body[common : common + 80]!r}"
