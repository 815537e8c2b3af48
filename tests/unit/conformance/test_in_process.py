"""The in-process runner notices a provider whose output depends on how the answer is cut, or on the plan."""

from pathlib import Path

import pytest

from conformance import in_process, stand_in
from conformance.case import Case, CaseError, load
from filters.contract.headers import Headers
from filters.contract.translation import Call, Output, ResponseStart, UpstreamRequest
from filters.providers.base import Provider
from tests.unit.conformance.test_case import CASE, folder


class Counting:
    """Tells the client how many pieces the answer came in."""

    def __init__(self, call: Call) -> None:
        self._pieces = 0

    def request(self) -> UpstreamRequest:
        return UpstreamRequest(path="/x")

    def start(self, status: int, headers: Headers) -> ResponseStart:
        return ResponseStart(body="stream")

    def feed(self, data: bytes, *, end: bool) -> Output:
        self._pieces += 1
        return Output(body=b"%d" % self._pieces)


class Whole(Counting):
    def start(self, status: int, headers: Headers) -> ResponseStart:
        return ResponseStart(body="buffer")


def served_by(monkeypatch: pytest.MonkeyPatch, translator: type[Counting]) -> None:
    provider = Provider("AWSBedrock", {"chat_completions": translator})
    monkeypatch.setattr(stand_in.provider_registry, "load", lambda: {"AWSBedrock": provider})


def case(root: Path, text: str = CASE, **files: str) -> Case:
    return load(folder(root, text, **files), root)


def test_output_that_depends_on_the_cuts_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served_by(monkeypatch, Counting)
    with pytest.raises(in_process.Unstable, match=r"attempt, byte by byte: the client's body differs from byte 1"):
        in_process.observe(case(tmp_path, upstream_response__sse="data: x\n\n"))


def test_what_is_read_whole_is_never_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served_by(monkeypatch, Whole)
    assert in_process.observe(case(tmp_path, upstream_response__json="{}")).response.body == b"1"


def test_fixtures_are_written_once_and_stale_ones_deleted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served_by(monkeypatch, Whole)
    found = case(tmp_path, upstream_response__json="{}", client_response__sse="data: stale\n\n")
    assert sorted(in_process.write_fixtures(found)) == [
        "client_response.json",
        "client_response.sse",
        "upstream_request.json",
        "usage.json",
    ]
    assert not (found.directory / "client_response.sse").exists()
    assert in_process.write_fixtures(found) == []


def test_a_request_without_an_answer_to_give_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served_by(monkeypatch, Whole)
    with pytest.raises(CaseError, match="a request reaches the provider, but there is no upstream_response"):
        in_process.observe(case(tmp_path))


def test_what_only_envoy_can_show_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    served_by(monkeypatch, Whole)
    with pytest.raises(CaseError, match=r"via: \[envoy\]"):
        in_process.observe(case(tmp_path, CASE + "upstream: {cut: reset}\n", upstream_response__json="{}"))


def test_an_endpoint_that_nobody_serves_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stand_in.provider_registry, "load", dict)
    with pytest.raises(CaseError, match="no provider serves chat_completions for schema AWSBedrock"):
        in_process.observe(case(tmp_path))
