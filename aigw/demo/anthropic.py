"""The demo's Anthropic Messages provider."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aigw.demo import bodies
from aigw.demo.answers import Answer, Json, Question, Tool, answer, count
from aigw.demo.bodies import PAUSE
from conformance.upstream.http_server import Request, Response
from filters.contract import jsonlib

_ID: Final = "msg_demo"


async def handle(request: Request) -> Response:
    """`POST …/messages`, anything else is a 404 in Anthropic's format."""
    path = request.target.partition("?")[0]
    if request.method != "POST" or not path.endswith("/messages"):
        return _error(404, "not_found_error", f"no such path: {path}")
    if "anthropic-version" not in request.headers:
        return _error(400, "invalid_request_error", "anthropic-version: header is required")
    try:
        body = bodies.read(request.body)
        question = read(body)
    except (ValueError, TypeError, AttributeError, KeyError) as exc:
        return _error(400, "invalid_request_error", f"the demo cannot read this request: {type(exc).__name__}")
    if "max_tokens" not in body:
        return _error(400, "invalid_request_error", "max_tokens: Field required")
    found = answer(question)
    if body.get("stream"):
        return Response(headers=bodies.EVENT_STREAM, body=_stream(question, found))
    return Response(headers=bodies.JSON, body=jsonlib.encode(_message(question, found)))


def _error(status: int, type_: str, message: str) -> Response:
    body = {"type": "error", "error": {"type": type_, "message": message}}
    return Response(status=status, headers=bodies.JSON, body=jsonlib.encode(body))


def read(body: Json) -> Question:
    messages = [message for message in body.get("messages") or [] if isinstance(message, dict)]
    texts = [bodies.text_of(each.get("content")) for each in messages if each.get("role") == "user"]
    last = messages[-1].get("content") if messages else None
    parts = [part for part in last if isinstance(part, dict)] if isinstance(last, list) else []
    results = [bodies.text_of(part.get("content")) for part in parts if part.get("type") == "tool_result"]
    choice = body.get("tool_choice") or {"type": "auto"}
    schema = ((body.get("output_config") or {}).get("format") or body.get("output_format") or {}).get("schema")
    return Question(
        text=next((text for text in reversed(texts) if text), ""),
        results=tuple(results),
        tools=tuple(
            Tool(tool["name"], tool.get("description") or "", tool.get("input_schema") or {})
            for tool in body.get("tools") or []
        ),
        choice=choice["name"] if choice.get("type") == "tool" else choice.get("type") or "auto",
        schema=schema,
        dialect="Anthropic Messages",
        model=str(body.get("model") or "demo-anthropic"),
        input_tokens=count(bodies.text_of(body.get("system")))
        + sum(count(bodies.text_of(message.get("content"))) + 3 for message in messages),
    )


def _usage(question: Question, output: int) -> Json:
    return {
        "input_tokens": question.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
    }


def _blocks(found: Answer) -> list[Json]:
    text: list[Json] = [{"type": "text", "text": found.text}] if found.text else []
    return text + [
        {"type": "tool_use", "id": f"toolu_demo_{index}", "name": call.name, "input": call.arguments}
        for index, call in enumerate(found.calls)
    ]


def _reason(found: Answer) -> str:
    return "tool_use" if found.calls else "end_turn"


def _message(question: Question, found: Answer) -> Json:
    return {
        "id": _ID,
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "content": _blocks(found),
        "stop_reason": _reason(found),
        "stop_sequence": None,
        "usage": _usage(question, found.output_tokens),
    }


async def _stream(question: Question, found: Answer) -> AsyncIterator[bytes]:
    begun = {**_message(question, found), "content": [], "stop_reason": None, "usage": _usage(question, 1)}
    yield _event("message_start", {"message": begun})
    for index, block in enumerate(_blocks(found)):
        empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        yield _event("content_block_start", {"index": index, "content_block": empty})
        async for piece in _deltas(found, block):
            yield _event("content_block_delta", {"index": index, "delta": piece})
        yield _event("content_block_stop", {"index": index})
    delta = {"stop_reason": _reason(found), "stop_sequence": None}
    yield _event("message_delta", {"delta": delta, "usage": {"output_tokens": found.output_tokens}})
    yield _event("message_stop", {})


async def _deltas(found: Answer, block: Json) -> AsyncIterator[Json]:
    pieces = found.pieces() if block["type"] == "text" else bodies.halves(jsonlib.encode(block["input"]).decode())
    for piece in pieces:
        await asyncio.sleep(PAUSE)
        if block["type"] == "text":
            yield {"type": "text_delta", "text": piece}
        else:
            yield {"type": "input_json_delta", "partial_json": piece}


def _event(name: str, members: Json) -> bytes:
    return f"event: {name}\ndata: ".encode() + jsonlib.encode({"type": name, **members}) + b"\n\n"
