from pathlib import Path

import httpx
import pytest

from conformance.case import Case, load
from conformance.upstream.replay import replaying
from tests.unit.conformance.test_case import CASE, folder


def case(root: Path, text: str = CASE, **files: str) -> Case:
    return load(folder(root, text, **files), root)


async def ask(case_: Case) -> tuple[httpx.Response, list[bytes]]:
    async with replaying(case_) as upstream, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://127.0.0.1:{upstream.port}/v1/x", content=b"question")
        taken = [request.body for request in upstream.take()]
        assert upstream.take() == []
        return answer, taken


async def test_a_case_is_answered_as_recorded_and_its_requests_are_kept(tmp_path: Path) -> None:
    text = CASE + "upstream: {status: 429, headers: {retry-after: '3'}}\n"
    answer, taken = await ask(case(tmp_path, text, upstream_response__json='{"a": 1}'))
    assert (answer.status_code, answer.content, answer.headers["retry-after"]) == (429, b'{"a": 1}', "3")
    assert taken == [b"question"]


@pytest.mark.parametrize(("cut", "framing"), [("none", "transfer-encoding"), ("eof", "connection")])
async def test_streams_come_in_pieces(tmp_path: Path, cut: str, framing: str) -> None:
    text = CASE + f"upstream: {{cut: {cut}}}\n"
    answer, _ = await ask(case(tmp_path, text, upstream_response__sse="data: 1\n\ndata: 2\n\n"))
    assert answer.content == b"data: 1\n\ndata: 2\n\n"
    assert framing in answer.headers


async def test_a_reset_follows_the_last_byte(tmp_path: Path) -> None:
    with pytest.raises(httpx.ReadError):
        await ask(case(tmp_path, CASE + "upstream: {cut: reset}\n", upstream_response__sse="data: 1\n\n"))


async def test_a_case_without_an_answer_answers_500(tmp_path: Path) -> None:
    answer, taken = await ask(case(tmp_path))
    assert (answer.status_code, len(taken)) == (500, 1)
