from pathlib import Path

import pytest

from conformance.case import Case, CaseError, load
from conformance.observation import Accounting, Observation, SeenRequest, SeenResponse, differences, files
from filters.contract.usage import Usage
from tests.unit.conformance.test_case import folder

SEEN = Observation(
    request=SeenRequest(
        method="POST",
        path="/x",
        headers={"authorization": "AWS4-HMAC-SHA256 Credential=…", "x-amz-date": "now", "a": "1", "b": None},
        body=b'{"m": 1}',
        unchanged=False,
    ),
    response=SeenResponse(
        status=200,
        headers={"content-type": "text/event-stream"},
        body=b'data: {"id":"chatcmpl-req-0000","created":1700000000}\n\ndata: [DONE]\n\n',
    ),
    accounting=Accounting(usage=Usage(input=1, total=3), model="m", failure="stream_cut", dropped=("user",)),
)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A case whose files record SEEN."""
    directory = folder(tmp_path)
    for name, content in files(SEEN).items():
        (directory / name).write_bytes(content)
    return load(directory, tmp_path)


def response(**changes: object) -> Observation:
    members = {"status": 200, "headers": SEEN.response.headers, "body": SEEN.response.body} | changes
    return Observation(request=SEEN.request, response=SeenResponse(**members), accounting=SEEN.accounting)  # type: ignore[arg-type]


def test_what_is_recorded_agrees_with_itself(case: Case) -> None:
    assert differences(case, SEEN) == []


def test_streams_are_recorded_byte_for_byte_and_volatile_headers_by_presence() -> None:
    recorded = files(SEEN)
    assert sorted(recorded) == ["client_response.json", "client_response.sse", "upstream_request.json", "usage.json"]
    assert recorded["client_response.sse"] == SEEN.response.body
    assert recorded["upstream_request.json"].count(b'"<present>"') == 2
    assert b'"b": null' in recorded["upstream_request.json"]
    assert b"body" not in recorded["client_response.json"]


def test_any_time_and_any_id_stand_for_the_fixed_ones(case: Case) -> None:
    body = SEEN.response.body.replace(b"req-0000", b"7f3-Xy").replace(b"1700000000", b"1764040000")
    assert differences(case, response(body=body)) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"status": 500}, "client_response.json.status: expected 200, is 500"),
        (
            {"headers": {"content-type": "text/event-stream; charset=utf-8"}},
            "client_response.json.headers.content-type",
        ),
        ({"body": b"data: [DONE]\n\n"}, "client_response.sse line 1: expected"),
        ({"body": SEEN.response.body[:-1]}, "client_response.sse: expected 4 lines, are"),
        ({"body": SEEN.response.body + b"data: x\n\n"}, "client_response.sse: expected 4 lines, are 6"),
        ({"headers": {"content-type": "text/plain"}}, "client_response.sse: expected, but not seen"),
    ],
)
def test_each_difference_is_told(case: Case, change: dict[str, object], text: str) -> None:
    assert any(text in difference for difference in differences(case, response(**change)))


def test_headers_that_a_file_does_not_name_are_ignored_and_null_means_absent(case: Case) -> None:
    assert SEEN.request is not None
    headers = dict(SEEN.request.headers) | {"user-agent": "x"}
    del headers["b"]

    def with_headers(**more: str) -> Observation:
        request = SeenRequest(
            method="POST", path="/x", headers={**headers, **more}, body=SEEN.request.body, unchanged=False
        )
        return Observation(request=request, response=SEEN.response, accounting=None)

    assert differences(case, with_headers()) == []
    assert differences(case, with_headers(b="2")) == ['upstream_request.json.headers.b: expected null, is "2"']
    del headers["a"]
    assert differences(case, with_headers()) == ['upstream_request.json.headers.a: missing, expected "1"']


def test_json_is_compared_member_by_member(case: Case) -> None:
    def with_body(body: bytes) -> list[str]:
        request = SeenRequest(method="POST", path="/x", headers=SEEN.request.headers, body=body, unchanged=False)  # type: ignore[union-attr]
        return differences(case, Observation(request=request, response=SEEN.response, accounting=None))

    assert with_body(b'{"m":1}') == []
    assert with_body(b'{"m":true}') == ["upstream_request.json.body.m: expected 1, is true"]
    assert with_body(b'{"m":[1]}') == ["upstream_request.json.body.m: expected 1, is [1]"]
    assert with_body(b'{"m":1,"n":2}') == ["upstream_request.json.body.n: unexpected, is 2"]
    assert with_body(b"{}") == ["upstream_request.json.body.m: missing, expected 1"]
    assert with_body(b"\xff") == [
        'upstream_request.json.body: missing, expected {"m": 1}',
        'upstream_request.json.body_hex: unexpected, is "ff"',
    ]


def test_a_request_that_should_not_have_reached_the_provider_is_told(case: Case) -> None:
    (case.directory / "upstream_request.json").unlink()
    assert differences(case, SEEN) == ["upstream_request.json: seen, but not expected"]


def test_a_broken_expected_file_is_named(case: Case) -> None:
    (case.directory / "usage.json").write_text("{")
    with pytest.raises(CaseError, match=r"usage\.json"):
        differences(case, SEEN)
