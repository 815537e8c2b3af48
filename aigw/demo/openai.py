"""The demo's OpenAI chat provider."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aigw.demo import bodies
from aigw.demo.answers import Answer, Json, Question, Tool, answer, count
from aigw.demo.bodies import PAUSE
from conformance.upstream.http_server import Request, Response
from filters.contract import jsonlib

_ID: Final = "chatcmpl-demo"
_CREATED: Final = 1_767_225_600
"""2026-01-01: the demo is deterministic"""


async def handle(request: Request) -> Response:
    """`POST …/chat/completions`, anything else is a 404 in OpenAI's format."""
    path = request.target.partition("?")[0]
    if request.method != "POST" or not path.endswith("/chat/completions"):
        return _error(404, "invalid_request_error", f"no such path: {path}")
    try:
        body = bodies.read(request.body)
        question = read(body)
    except (ValueError, TypeError, AttributeError, KeyError) as exc:
        return _error(400, "invalid_request_error", f"the demo cannot read this request: {type(exc).__name__}")
    found = answer(question)
    if body.get("stream"):
        include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return Response(headers=bodies.EVENT_STREAM, body=_stream(question, found, include_usage))
    return Response(headers=bodies.JSON, body=jsonlib.encode(_completion(question, found)))


async def always_down(_: Request) -> Response:
    """The provider that never works."""
    return _error(503, "server_error", "demo-down is always down: the gateway goes on to the next provider")


def _error(status: int, type_: str, message: str) -> Response:
    body = {"error": {"message": message, "type": type_, "param": None, "code": None}}
    return Response(status=status, headers=bodies.JSON, body=jsonlib.encode(body))


def read(body: Json) -> Question:
    messages = [message for message in body.get("messages") or [] if isinstance(message, dict)]
    text = next((bodies.text_of(each.get("content")) for each in reversed(messages) if each.get("role") == "user"), "")
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        results.insert(0, bodies.text_of(message.get("content")))
    functions = [tool.get("function") or {} for tool in body.get("tools") or []]
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        choice = str((choice.get("function") or {}).get("name") or "any")
    return Question(
        text=text,
        results=tuple(results),
        tools=tuple(Tool(f["name"], f.get("description") or "", f.get("parameters") or {}) for f in functions),
        choice="any" if choice == "required" else choice,
        schema=_wanted_schema(body.get("response_format") or {}),
        dialect="OpenAI chat",
        model=str(body.get("model") or "demo-openai"),
        input_tokens=sum(count(bodies.text_of(message.get("content"))) + 3 for message in messages),
    )


def _wanted_schema(wanted: Mapping[str, Any]) -> Json | None:
    if wanted.get("type") == "json_schema":
        schema: Json = (wanted.get("json_schema") or {}).get("schema") or {}
        return schema
    return {"properties": {"answer": {"type": "string"}}} if wanted.get("type") == "json_object" else None


def _usage(question: Question, found: Answer) -> Json:
    return {
        "prompt_tokens": question.input_tokens,
        "completion_tokens": found.output_tokens,
        "total_tokens": question.input_tokens + found.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _calls(found: Answer) -> list[Json]:
    return [
        {
            "id": f"call_demo_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.json()},
        }
        for index, call in enumerate(found.calls)
    ]


def _completion(question: Question, found: Answer) -> Json:
    message: Json = {"role": "assistant", "content": found.text or None, "refusal": None}
    if found.calls:
        message["tool_calls"] = _calls(found)
    reason = "tool_calls" if found.calls else "stop"
    return {
        "id": _ID,
        "object": "chat.completion",
        "created": _CREATED,
        "model": question.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": _usage(question, found),
    }


async def _stream(question: Question, found: Answer, include_usage: bool) -> AsyncIterator[bytes]:
    def chunk(delta: Json, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event(question, {"choices": [choice], **({"usage": None} if include_usage else {})})

    yield chunk({"role": "assistant", "content": "" if found.text else None})
    for piece in found.pieces():
        await asyncio.sleep(PAUSE)
        yield chunk({"content": piece})
    for index, call in enumerate(_calls(found)):
        function = call["function"]
        yield chunk({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for piece in bodies.halves(function["arguments"]):
            await asyncio.sleep(PAUSE)
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls" if found.calls else "stop")
    if include_usage:
        yield _event(question, {"choices": [], "usage": _usage(question, found)})
    yield b"data: [DONE]\n\n"


def _event(question: Question, members: Json) -> bytes:
    head = {"id": _ID, "object": "chat.completion.chunk", "created": _CREATED, "model": question.model}
    return b"data: " + jsonlib.encode({**head, **members}) + b"\n\n"
