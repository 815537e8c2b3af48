"""The request: one chat completion → one Converse body (translation chapter §7.2, §14, §17.2).

Every member of the client's request is mapped, refused by name (422), or reported as dropped.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.contract.translation import Call
from filters.dialects.converse import request as converse
from filters.dialects.openai_chat import request as openai
from filters.dialects.openai_chat.request import ChatRequest, JsonSchema
from filters.mappings import json_schema
from filters.mappings.openai_chat_to_converse import messages, thinking, tools
from filters.mappings.openai_chat_to_converse.refusals import malformed, unprocessable
from filters.quirks import bedrock, claude
from filters.quirks.bedrock import Family

JSON_OBJECT_INSTRUCTION: Final = (
    "Answer with one JSON object and nothing else: no text before or after it, and no code fence."
)
"""What stands in for `response_format: json_object`: Converse has schemas only, and models that are forced to fill a
tool without one tend to answer `{}`."""

_MOST_METADATA: Final = 16
_LONGEST_METADATA: Final = 256
_METADATA_ALPHABET: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \t\n\r:_@$#=/+,-."
)


class Translated(Struct, frozen=True):
    body: bytes
    dropped: tuple[str, ...]
    json_tool: str
    """name of the tool whose input is the answer's text; empty for none"""


class _OutputFormat(Struct, frozen=True):
    """How `response_format` is done: by the API, by a tool that must be called, or by asking."""

    config: converse.OutputConfig | None = None
    tool_schema: JsonSchema | None = None
    instruction: str = ""


def translate(call: Call) -> Translated:
    """Raises MalformedRequest (400) and Unprocessable (422), naming the member."""
    if not call.model:
        raise malformed("model is required", "model", code="missing_field")
    request = openai.read(call.body)
    if not request.messages:
        raise malformed("messages is required", "messages", code="missing_field")
    family = bedrock.family_of(call.model)
    dropped: dict[str, None] = {}
    _settle(call.members, dropped)
    native = family.structured_output == "native" or claude.facts(call.model).structured_output
    conversation = messages.convert(request.messages, family, dropped)
    output = _response_format(request, family, native=native, dropped=dropped)
    tooling = tools.convert(
        request,
        family,
        called=conversation.tool_names,
        strict=native,
        answer_schema=output.tool_schema,
        dropped=dropped,
    )
    if output.instruction:
        conversation.system.append(converse.Block(text=output.instruction))
    limit = request.max_tokens if request.max_completion_tokens is None else request.max_completion_tokens
    situation = thinking.Situation(call.model, family, tooling.forced, conversation.unsigned_tool_turn)
    additional = thinking.fields(request, situation, dropped)
    thinking.within(additional, limit, request.thinking, dropped)
    sampling = thinking.sampling(request, situation, additional, dropped)
    if tooling.choice_field is not None:
        additional["tool_choice"] = tooling.choice_field
    _sample(request, sampling.top_k, family, additional, dropped)
    _merge(call.members, additional)
    body = converse.Body(
        inference_config=converse.InferenceConfig(
            limit, sampling.temperature, sampling.top_p, _stop(request, family, dropped)
        ),
        messages=conversation.messages,
        system=conversation.system or None,
        tool_config=tooling.config,
        output_config=output.config,
        service_tier=_service_tier(request),
        guardrail_config=_guardrail(call, dropped),
        request_metadata=_metadata(request.metadata, call.members, dropped),
        performance_config=_vendor(call.members, "performanceConfig", b"{"),
        prompt_variables=_vendor(call.members, "promptVariables", b"{"),
        additional_model_response_field_paths=_vendor(call.members, "additionalModelResponseFieldPaths", b"["),
        additional_model_request_fields=additional or None,
    )
    return Translated(jsonlib.encode(body), tuple(dropped), tooling.json_tool)


def _stop(request: ChatRequest, family: Family, dropped: dict[str, None]) -> list[str] | None:
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    kept = [text for text in stop if text and (family.blank_stop or not text.isspace())]
    if len(kept) < len([text for text in stop if text]):
        dropped["stop"] = None
    return kept or None


def _service_tier(request: ChatRequest) -> converse.Typed | None:
    """`auto` is OpenAI's word for the default, and none of Bedrock's."""
    return converse.Typed(request.service_tier) if request.service_tier not in (None, "", "auto") else None


def _response_format(request: ChatRequest, family: Family, *, native: bool, dropped: dict[str, None]) -> _OutputFormat:
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return _OutputFormat()
    if not wanted.type:
        raise malformed("response format does not have type", "response_format.type")
    if wanted.type == "json_object":
        return _OutputFormat(instruction=JSON_OBJECT_INSTRUCTION)
    if wanted.type != "json_schema":
        raise malformed("unsupported ChatCompletionResponseFormatType", "response_format.type")
    param = "response_format.json_schema"
    schema = wanted.json_schema
    if schema is None or jsonlib.is_null(schema.schema_):
        raise unprocessable("response_format has no schema", f"{param}.schema", code="missing_field")
    assert schema.schema_ is not None
    text = bytes(schema.schema_)
    if text[:1] != b"{":
        raise unprocessable("schema must be a JSON schema object", f"{param}.schema", code="invalid_schema")
    closed = json_schema.closed(schema.schema_) if native else None
    # What cannot be enforced is asked for by a tool, where the family knows how; else Bedrock's own answer will tell.
    if closed is not None or (native and family.structured_output != "tool"):
        if closed is not None:
            text = bytes(closed.schema)
            dropped.update((f"{param}.schema.{keyword}", None) for keyword in closed.loosened)
        # Bedrock constrains always: `strict` has no other meaning here.
        definition = converse.JsonSchemaDefinition(text.decode(), schema.name or None, schema.description or None)
        return _OutputFormat(converse.OutputConfig(converse.TextFormat("json_schema", converse.Structure(definition))))
    if family.structured_output != "tool":
        raise unprocessable(f"models of the family {family.name} know no structured output", "response_format.type")
    if schema.strict:
        dropped[f"{param}.strict"] = None
    return _OutputFormat(tool_schema=schema)


def _sample(
    request: ChatRequest, top_k: Raw | None, family: Family, additional: dict[str, object], dropped: dict[str, None]
) -> None:
    """Sampling members that Converse has no place for, where the family has one."""
    members = {
        "top_k": top_k,
        "seed": request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
    }
    for name, raw in members.items():
        value = thinking.number(raw, name)
        if raw is None or value is None:
            continue
        path = family.sampling.get(name)
        if path is not None:
            _put(additional, path, raw)
        elif value != 0 or name == "seed":  # a penalty of 0 is none
            dropped[name] = None


def _put(target: dict[str, object], path: tuple[str, ...], value: object) -> None:
    *outer, last = path
    for name in outer:
        inner = target.setdefault(name, {})
        assert isinstance(inner, dict)
        target = inner
    target[last] = value


_read_object = jsonlib.decoder(dict[str, Raw])


def _merge(members: Mapping[str, Raw], additional: dict[str, object]) -> None:
    """The client's own `additionalModelRequestFields`: it knows its model, so its members win."""
    raw = _vendor(members, "additionalModelRequestFields", b"{")
    if raw is not None:
        additional.update(_read_object(raw))


def _vendor(members: Mapping[str, Raw], name: str, first: bytes) -> Raw | None:
    """A member of Converse's own that the client gave by its own name. Raises MalformedRequest."""
    raw = members.get(name)
    if raw is None or jsonlib.is_null(raw):
        return None
    if bytes(raw)[:1] != first:
        kind = "an object" if first == b"{" else "an array"
        raise malformed(f"{name} must be {kind}", name, code="invalid_type")
    return raw


def _guardrail(call: Call, dropped: dict[str, None]) -> Raw | None:
    raw = _vendor(call.members, "guardrailConfig", b"{")
    if raw is None or call.stream:
        return raw
    config = _read_object(raw)
    if "streamProcessingMode" not in config:
        return raw
    del config["streamProcessingMode"]  # Converse refuses it, ConverseStream alone has it
    dropped["guardrailConfig.streamProcessingMode"] = None
    return Raw(jsonlib.encode(config))


_read_metadata = jsonlib.decoder(dict[str, str])


def _metadata(
    openai_metadata: Raw | None, members: Mapping[str, Raw], dropped: dict[str, None]
) -> dict[str, str] | None:
    """`requestMetadata`. Bedrock's alphabet is narrower than OpenAI's: what does not fit is left out."""
    found: dict[str, str] = {}
    for name, raw in (("metadata", openai_metadata), ("requestMetadata", members.get("requestMetadata"))):
        if raw is None or jsonlib.is_null(raw):
            continue
        try:
            pairs = _read_metadata(raw)
        except JsonError as exc:
            raise malformed(f"{name}: {exc}", name, code="invalid_type") from exc
        fitting = {key: value for key, value in pairs.items() if _fits(key) and _fits(value) and key}
        found.update(fitting)
        if len(fitting) < len(pairs) or len(found) > _MOST_METADATA:
            dropped[name] = None
    return dict(list(found.items())[:_MOST_METADATA]) or None


def _fits(text: str) -> bool:
    return len(text) <= _LONGEST_METADATA and _METADATA_ALPHABET.issuperset(text)


MAPPED: Final = frozenset(
    {
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "performanceConfig",
        "promptVariables",
        "requestMetadata",
    }
)
"""Converse's own, by their own names"""

REFUSED: Final[Mapping[str, str]] = {
    "audio": "Bedrock gives no audio answers",
    "function_call": "function_call is deprecated, send tools, tool_choice and tool_calls",
    "functions": "functions is deprecated, send tools",
    "guided_choice": "Bedrock has no guided decoding, send response_format",
    "guided_grammar": "Bedrock has no guided decoding, send response_format",
    "guided_json": "Bedrock has no guided decoding, send response_format",
    "guided_regex": "Bedrock has no guided decoding, send response_format",
    "modalities": "Bedrock gives text answers only",
    "n": "Bedrock gives one answer per request",
    "web_search_options": "Bedrock has no web search for chat completions",
}
"""Members without which the answer would not be what the client asked for. Any other one is dropped and reported."""

_HARMLESS: Final[Mapping[str, frozenset[bytes]]] = {
    "modalities": frozenset({b'["text"]'}),
    "n": frozenset({b"1"}),
    "function_call": frozenset({b'"none"', b'"auto"'}),
}
"""values that ask for nothing special"""

_SWITCHED_OFF: Final = frozenset({b"false", b"0"})
"""`logprobs: false` and its like ask for nothing"""

_NOTHING: Final = frozenset({b"null", b"[]", b"{}", b'""'})
"""how SDKs write that a member is not set"""

DROPPED: Final = ("safety_identifier", "user")
"""members that are read for other providers, and that Bedrock has no place for"""


def _settle(members: Mapping[str, Raw], dropped: dict[str, None]) -> None:
    """Refuses or reports every member that nothing else here looks at."""
    for name, reason in REFUSED.items():
        raw = members.get(name)
        if raw is None or jsonlib.is_null(raw):
            continue
        if _compact(raw) not in _NOTHING and _compact(raw) not in _HARMLESS.get(name, ()):
            raise unprocessable(reason, name, code="unsupported_field")
    for name in openai.unread_members(members):
        if name in MAPPED or name in REFUSED or _compact(members.get(name, jsonlib.Raw(b""))) in _SWITCHED_OFF:
            continue
        if name.endswith("].function_call"):
            raise unprocessable(REFUSED["function_call"], name, code="unsupported_field")
        dropped[_report(name)] = None
    for name in DROPPED:
        if name in members and _compact(members[name]) not in _NOTHING:
            dropped[name] = None


def _compact(raw: Raw) -> bytes:
    return bytes(raw).translate(None, b" \t\r\n")


def _report(name: str) -> str:
    """`messages[3].annotations` → `messages[].annotations`: one entry, however long the conversation."""
    if not name.startswith("messages["):
        return name
    return "messages[]" + name[name.index("]") + 1 :]
