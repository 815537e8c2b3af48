"""What must hold for every case, whatever happens to the provider's answer on its way: cut anywhere, bytes broken."""

import contextlib
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from conformance.case import CASES, Answer, Case, case_directories, load
from conformance.observation import Observation
from conformance.stand_in import StandIn
from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError

FINISHED = re.compile(rb'"finish_reason": ?"')
PASSED_THROUGH = ("OpenAI", "AzureOpenAI")
TRUNCATIONS = 12
DAMAGES = 12


def streamed(case: Case) -> bool:
    """A good stream, told from its first byte to its last."""
    if case.answer is None or case.answer.status != 200 or case.answer.cut != "none":
        return False
    kind = dict(case.answer.headers).get("content-type", "")
    return kind.startswith(("text/event-stream", "application/vnd.amazon.eventstream"))


ALL = [case for case in (load(path) for path in case_directories(CASES)) if "process" in case.via]
ANSWERED = [case for case in ALL if case.answer is not None and case.answer.body]
STREAMS = [case for case in ANSWERED if streamed(case)]


def run(case: Case, answer: Answer) -> Observation:
    stand_in = StandIn(case, case.plans[0])
    assert stand_in.ask() is not None
    stand_in.answer(answer, ())
    return stand_in.observation()


def truncations(answer: Answer, seed: int) -> Iterator[Answer]:
    source = random.Random(seed)
    for _ in range(TRUNCATIONS):
        yield replace(answer, body=answer.body[: source.randrange(1, max(2, len(answer.body)))])


def texts(body: bytes) -> list[str]:
    """What each chunk adds to the answer: everything but its frame."""
    found = []
    for line in body.splitlines():
        if line.startswith(b"data: {"):
            with contextlib.suppress(JsonError):
                chunk = jsonlib.decode(line[6:], dict[str, Any])
                found += [str(choice.get("delta")) for choice in chunk.get("choices") or []]
    return found


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
def test_a_stream_that_ends_early_is_a_failure_or_lacks_no_word(case: Case) -> None:
    """Some providers leave out what follows the last word; an end before it must never look like one. What passes
    unchanged may be cut inside the event that says why the answer ended."""
    assert case.answer is not None
    whole = run(case, case.answer)
    assert whole.accounting is not None
    if whole.accounting.failure:  # the case is about a stream that fails by itself
        return
    for answer in truncations(case.answer, case.seed):
        seen = run(case, answer)
        assert seen.accounting is not None
        if not seen.accounting.failure:
            assert FINISHED.search(seen.response.body), len(answer.body)
            if case.backend.schema.name not in PASSED_THROUGH:
                assert texts(seen.response.body) == texts(whole.response.body), len(answer.body)


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_a_damaged_answer_never_breaks_the_gateway(case: Case) -> None:
    """Every damaged answer is answered; what is the gateway's own fault would be an InternalError or an exception."""
    assert case.answer is not None
    expected = {case.answer.status, 502, run(case, replace(case.answer, cut="none")).response.status}
    if max(expected) > 502:
        expected.add(500)  # the provider's name for its own failure, damaged, stands for no status that is known
    source = random.Random(case.seed)
    for _ in range(DAMAGES):
        body = bytearray(case.answer.body)
        for _ in range(source.randrange(1, 4)):
            body[source.randrange(len(body))] = source.randrange(256)
        seen = run(case, replace(case.answer, body=bytes(body), cut="none"))
        assert seen.response.status in expected
        assert seen.accounting is not None
