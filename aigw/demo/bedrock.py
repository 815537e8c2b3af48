"""The demo's AWS Bedrock provider: Converse, and ConverseStream with its binary event stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

from aigw.demo import bodies
from aigw.demo.answers import Answer, Json, Question, Tool, answer, count
from aigw.demo.bodies import PAUSE
from conformance.upstream.event_stream import event
from conformance.upstream.http_server import Request, Response
from filters.contract import jsonlib

_LATENCY = {"latencyMs": 1}


async def handle(request: Request) -> Response:
    """`POST /model/{model}/converse[-stream]`, anything else is a 404 in AWS's format."""
    parts = request.target.partition("?")[0].strip("/").split("/")
    if request.method != "POST" or len(parts) != 3 or parts[0] != "model" or not parts[2].startswith("converse"):
        return _error(404, "UnknownOperationException", "no such operation")
    if not request.headers.get("authorization").startswith(("AWS4-HMAC-SHA256 ", "Bearer ")):
        return _error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    try:
        question = read(unquote(parts[1]), bodies.read(request.body))
    except (ValueError, TypeError, AttributeError, KeyError) as exc:
        return _error(400, "ValidationException", f"the demo cannot read this request: {type(exc).__name__}")
    found = answer(question)
    if parts[2] == "converse-stream":
        headers = (("content-type", "application/vnd.amazon.eventstream"),)
        return Response(headers=headers, body=_stream(question, found))
    return Response(headers=bodies.JSON, body=jsonlib.encode(_message(question, found)))


def _error(status: int, type_: str, message: str) -> Response:
    headers = (*bodies.JSON, ("x-amzn-errortype", type_))
    return Response(status=status, headers=headers, body=jsonlib.encode({"message": message}))


def read(model: str, body: Json) -> Question:
    messages = [message for message in body.get("messages") or [] if isinstance(message, dict)]
    texts = [bodies.text_of(each.get("content")) for each in messages if each.get("role") == "user"]
    last = messages[-1].get("content") or [] if messages else []
    results = [_result(part["toolResult"]) for part in last if isinstance(part, dict) and "toolResult" in part]
    config = body.get("toolConfig") or {}
    specs = [tool["toolSpec"] for tool in config.get("tools") or [] if "toolSpec" in tool]
    choice = config.get("toolChoice") or {"auto": {}}
    return Question(
        text=next((text for text in reversed(texts) if text), ""),
        results=tuple(results),
        tools=tuple(
            Tool(spec["name"], spec.get("description") or "", (spec.get("inputSchema") or {}).get("json") or {})
            for spec in specs
        ),
        choice=choice["tool"]["name"] if "tool" in choice else next(iter(choice), "auto"),
        schema=_wanted_schema(body.get("outputConfig") or {}),
        dialect="AWS Bedrock Converse",
        model=model,
        input_tokens=count(bodies.text_of(body.get("system")))
        + sum(count(bodies.text_of(message.get("content"))) + 3 for message in messages),
    )


def _wanted_schema(config: Json) -> Json | None:
    """`textFormat.structure.jsonSchema.schema`, which is a JSON text."""
    structure = (config.get("textFormat") or {}).get("structure") or {}
    text = (structure.get("jsonSchema") or {}).get("schema")
    return None if text is None else bodies.read(text.encode())


def _result(result: Json) -> str:
    parts = result.get("content") or []
    return " ".join(part["text"] if "text" in part else jsonlib.encode(part.get("json")).decode() for part in parts)


def _usage(question: Question, found: Answer) -> Json:
    total = question.input_tokens + found.output_tokens
    return {"inputTokens": question.input_tokens, "outputTokens": found.output_tokens, "totalTokens": total}


def _reason(found: Answer) -> str:
    return "tool_use" if found.calls else "end_turn"


def _message(question: Question, found: Answer) -> Json:
    content: list[Json] = [{"text": found.text}] if found.text else []
    content += [
        {"toolUse": {"toolUseId": f"tooluse_demo_{index}", "name": call.name, "input": call.arguments}}
        for index, call in enumerate(found.calls)
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _reason(found),
        "usage": _usage(question, found),
        "metrics": _LATENCY,
    }


async def _stream(question: Question, found: Answer) -> AsyncIterator[bytes]:
    yield _event("messageStart", {"role": "assistant"})
    index = 0
    if found.text:
        for piece in found.pieces():
            await asyncio.sleep(PAUSE)
            yield _event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": piece}})
        yield _event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    for number, call in enumerate(found.calls):
        start = {"toolUse": {"toolUseId": f"tooluse_demo_{number}", "name": call.name}}
        yield _event("contentBlockStart", {"contentBlockIndex": index, "start": start})
        for piece in bodies.halves(call.json()):
            await asyncio.sleep(PAUSE)
            delta = {"toolUse": {"input": piece}}
            yield _event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})
        yield _event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    yield _event("messageStop", {"stopReason": _reason(found)})
    yield _event("metadata", {"usage": _usage(question, found), "metrics": _LATENCY})


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return event(name, jsonlib.encode(payload))
