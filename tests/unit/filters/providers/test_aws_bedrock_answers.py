"""What clients get, over every case: it is what OpenAI's SDK knows, no text is lost, and the counts add up."""

from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from conformance.case import Case, load_all
from filters.contract import jsonlib

_object = jsonlib.decoder(dict[str, Any])


def _answered(suffix: str) -> list[Case]:
    return [case for case in load_all(provider="bedrock") if (case.directory / f"client_response.{suffix}").is_file()]


def _json(case: Case, name: str) -> Any:
    return _object((case.directory / name).read_bytes())


def _chunks(case: Case) -> list[dict[str, Any]]:
    events = (case.directory / "client_response.sse").read_bytes().split(b"\n\n")
    payloads = [event.removeprefix(b"data: ") for event in events if event]
    return [_object(payload) for payload in payloads if payload != b"[DONE]"]


def _whole() -> list[Case]:
    return [case for case in _answered("json") if "choices" in (_json(case, "client_response.json").get("body") or {})]


@pytest.mark.parametrize("case", _whole(), ids=lambda case: case.directory.name)
def test_whole_answers_are_what_the_sdk_knows(case: Case) -> None:
    body = _json(case, "client_response.json")["body"]
    message = ChatCompletion.model_validate(body).choices[0].message
    upstream = _json(case, "upstream_response.json")
    if "output" not in upstream:
        return
    blocks = upstream["output"]["message"].get("content") or []
    texts = [block.get("text") or "" for block in blocks]
    if not any("citationsContent" in block for block in blocks) and not _by_tool(case):
        assert (message.content or "") == "".join(texts)
    usage = body.get("usage")
    if usage:
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("case", _answered("sse"), ids=lambda case: case.directory.name)
def test_streams_are_what_the_sdk_knows(case: Case) -> None:
    chunks = [chunk for chunk in _chunks(case) if chunk.get("type") != "error"]
    read = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in read if chunk.choices)
    if not _by_tool(case):
        assert text == _upstream_text(case)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in read}) <= 1
    roles = [chunk.choices[0].delta.role for chunk in read if chunk.choices and chunk.choices[0].delta.role]
    assert roles in ([], ["assistant"])


def _by_tool(case: Case) -> bool:
    return "json-schema-by-tool" in case.directory.name or case.directory.name.endswith("schema-with-map")


def _upstream_text(case: Case) -> str:
    """All text of the events that count: up to the first that is an exception, an error or broken."""
    text = ""
    for line in (case.directory / "upstream_response.events.jsonl").read_bytes().splitlines():
        event = _object(line)
        headers = event.get("headers", {})
        if "raw" in event or ":exception-type" in headers or headers.get(":message-type") == "error":
            break
        if isinstance(event["payload"], dict):
            piece = (event["payload"].get("delta") or {}).get("text") or ""
            if not isinstance(piece, str):
                break
            text += piece
    return text
