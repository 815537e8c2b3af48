"""Every case of conformance/cases, in this process: whole, byte by byte and at random cuts."""

import pytest

from conformance import in_process
from conformance.case import CASES, Case, case_directories, load
from conformance.observation import differences


@pytest.mark.parametrize("name", [path.relative_to(CASES).as_posix() for path in case_directories()])
def test_the_translator_does_what_the_case_says(name: str) -> None:
    case: Case = load(CASES / name)
    if "process" not in case.via:
        pytest.skip("via: this case is for Envoy alone")
    assert differences(case, in_process.observe(case)) == []
