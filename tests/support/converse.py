"""Calls for the Converse mapping, and botocore's opinion of what it makes of them."""

from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from filters.contract import jsonlib
from filters.contract.config import Backend, Schema
from filters.contract.headers import Headers
from filters.contract.translation import Call
from filters.mappings.openai_chat_to_converse import request

BACKEND = Backend(name="ns/b/route/r/rule/0/ref/0", short_name="ns/b", schema=Schema("AWSBedrock"))
USER = [{"role": "user", "content": "Hi"}]


def call_of(body: bytes, *, model: str = "", stream: bool = False) -> Call:
    members = jsonlib.members(body)
    named = jsonlib.decode(members["model"], str) if "model" in members else ""
    return Call(
        body=body,
        members=members,
        headers=Headers(()),
        model=model or named,
        client_model=named,
        stream=stream,
        include_usage=False,
        backend=BACKEND,
        created=1_700_000_000,
        request_id="req-0000",
    )


def chat(model: str, *, messages: object = USER, **members: Any) -> Call:
    return call_of(jsonlib.encode({"model": model, "messages": messages, **members}))


def translated(call: Call) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The Converse body (valid, says botocore), and what was dropped."""
    made = request.translate(call)
    body = jsonlib.decode(made.body, dict[str, Any])
    assert complaints(body, stream=call.stream) == ""
    return body, made.dropped


@cache
def _shapes() -> dict[bool, Any]:
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    return {
        False: model.operation_model("Converse").input_shape,
        True: model.operation_model("ConverseStream").input_shape,
    }


def complaints(body: dict[str, Any], *, stream: bool) -> str:
    """What botocore's service model has against `body`; empty for nothing. Unknown members and wrong enum values count
    too, which botocore itself would let pass (or drop)."""
    shape = _shapes()[stream]
    report = ParamValidator().validate({"modelId": "m", **body}, shape)
    return "; ".join(filter(None, [report.generate_report(), *_beyond(body, shape, "")]))


def _beyond(value: Any, shape: Any, path: str) -> list[str]:
    if getattr(shape, "is_document_type", False):
        return []
    found: list[str] = []
    if shape.type_name == "structure":
        for name, inner in value.items():
            if name in shape.members:
                found += _beyond(inner, shape.members[name], f"{path}.{name}")
            else:
                found.append(f"{path}.{name} is unknown")
    elif shape.type_name == "list":
        for index, inner in enumerate(value):
            found += _beyond(inner, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for name, inner in value.items():
            found += _beyond(inner, shape.value, f"{path}.{name}")
    elif getattr(shape, "enum", None) and value not in shape.enum:
        found.append(f"{path} is {value!r}, not one of {shape.enum}")
    return found
