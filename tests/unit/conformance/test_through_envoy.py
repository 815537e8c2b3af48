"""What the runner through Envoy holds against every case, whatever its files say."""

from pathlib import Path

import pytest

from conformance import through_envoy
from conformance.case import Case, load
from conformance.observation import SeenResponse
from conformance.resources import Run
from conformance.upstream.http_server import Request
from filters.contract.headers import Headers
from tests.unit.conformance.test_case import folder

KEY = through_envoy._CLIENT_KEY


@pytest.fixture
def case(tmp_path: Path) -> Case:
    usage = '{"input": 1, "model": "m", "dropped": ["user"]}'
    return load(folder(tmp_path, usage__json=usage, upstream_response__json="{}"), tmp_path)


@pytest.mark.parametrize(
    ("header", "leak"),
    [
        (("x-ai-eg-rule", "token"), "internal header x-ai-eg-rule reached the provider"),
        (("x-ai-eg-model", "m"), ""),
        (("authorization", f"Bearer {KEY}"), "the client's authorization reached the provider"),
        (("authorization", "Bearer upstream-key"), ""),
        (("content-length", "3"), "content-length 3 for 2 bytes"),
        (("content-length", "2"), ""),
    ],
)
def test_leaks_are_told(case: Case, header: tuple[str, str], leak: str) -> None:
    request = Request(method="POST", target="/", headers=Headers([header]), body=b"{}")
    assert list(through_envoy._leaks(request, case)) == ([leak] if leak else [])


@pytest.mark.parametrize(
    ("dropped", "line", "differences"),
    [
        ("user", {"input": 1, "model": "m"}, []),
        ("user", {"input": "1", "output": 0, "model": "-"}, []),
        ("", {"input": 1}, ["usage.json.dropped: expected ['user'], is []"]),
        ("user", {"input": 2}, ["usage.json.input: expected 1, the access log says 2"]),
        ("user", {"input": 1, "output": 4}, ["usage.json.output: expected None, the access log says 4"]),
        ("user", {"input": 1, "model": "n"}, ["usage.json.model: expected 'm', the access log says 'n'"]),
        ("user", None, ["no access-log line"]),
    ],
)
def test_what_was_counted_is_compared(
    case: Case, dropped: str, line: dict[str, object] | None, differences: list[str]
) -> None:
    run = Run(case=case, plan="single", number=0, port=1)
    response = SeenResponse(status=200, headers={"x-aigw-dropped": dropped}, body=b"")
    assert list(through_envoy._accounting_differences(run, response, line)) == differences


def test_lines_of_the_access_log_are_found_by_their_case(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    assert through_envoy._log_lines(log) == {}
    log.write_text('{"case": "run-1", "input": 1}\n{"case": null}\n')
    assert through_envoy._log_lines(log)["run-1"] == {"case": "run-1", "input": 1}
