"""The request: what becomes of every member of a chat completion (translation chapter §8.1, §14, §17.3).

`MEMBERS` is the whole answer to "what happens to field x": mapped, passed on because it is Anthropic's own, left out
and reported, or refused. A member that is not in it is left out and reported.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from filters.contract import jsonlib
from filters.contract.jsonlib import JsonError, Raw
from filters.contract.translation import Call
from filters.dialects.anthropic_messages import request as anthropic
from filters.dialects.openai_chat import request as openai
from filters.dialects.openai_chat.request import ChatRequest, JsonSchema
from filters.mappings import json_schema
from filters.mappings.openai_chat_to_anthropic import messages, thinking, tools
from filters.mappings.openai_chat_to_anthropic.notes import Notes
from filters.mappings.openai_chat_to_anthropic.refusals import malformed, unprocessable
from filters.quirks import claude

Fate = Literal["mapped", "passed", "dropped", "refused"]

MEMBERS: Final[Mapping[str, Fate]] = {
    "model": "mapped",
    "messages": "mapped",
    "max_tokens": "mapped",
    "max_completion_tokens": "mapped",
    "temperature": "mapped",  # 0 to 1, else refused; dropped where the model or thinking excludes it
    "top_p": "mapped",
    "top_k": "mapped",
    "n": "mapped",  # 1, else refused
    "stop": "mapped",
    "stream": "mapped",
    "stream_options": "mapped",  # the encoder's business
    "tools": "mapped",
    "tool_choice": "mapped",
    "parallel_tool_calls": "mapped",
    "response_format": "mapped",
    "reasoning_effort": "mapped",
    "thinking": "mapped",
    "service_tier": "mapped",
    "user": "mapped",
    "safety_identifier": "mapped",
    "web_search_options": "mapped",
    "modalities": "mapped",  # ["text"], else refused
    # Anthropic's own
    "cache_control": "passed",
    "container": "passed",
    "context_management": "passed",
    "inference_geo": "passed",
    "mcp_servers": "passed",
    "speed": "passed",
    # hints, bookkeeping and knobs that Claude does not have: the answer is still an answer
    "seed": "dropped",
    "presence_penalty": "dropped",
    "frequency_penalty": "dropped",
    "logit_bias": "dropped",
    "logprobs": "dropped",
    "top_logprobs": "dropped",
    "metadata": "dropped",
    "store": "dropped",
    "verbosity": "dropped",
    "prediction": "dropped",
    "prompt_cache_key": "dropped",
    "prompt_cache_options": "dropped",
    "prompt_cache_retention": "dropped",
    "moderation": "dropped",
    "generationConfig": "dropped",
    "safetySettings": "dropped",
    "guardrailConfig": "dropped",
    # what the answer must be or must be able to do: without it the client would get something else
    "audio": "refused",
    "functions": "refused",
    "function_call": "refused",
    "guided_choice": "refused",
    "guided_regex": "refused",
    "guided_json": "refused",
    "guided_grammar": "refused",
}

_ADVICE: Final[Mapping[str, str]] = {
    "functions": "; use tools",
    "function_call": "; use tool_choice",
    "guided_json": "; use response_format",
}
_NEUTRAL: Final = (b"null", b"false", b"0", b"0.0", b"[]", b"{}", b'""')
"""Values with which a member that would be dropped or refused says nothing."""
_SERVICE_TIERS: Final[Mapping[str, str]] = {
    "auto": "auto",
    "priority": "auto",  # priority capacity is used when the account has it
    "default": "standard_only",
    "standard_only": "standard_only",
}
_FORMATS: Final = ("text", "json_object", "json_schema")
JSON_INSTRUCTION: Final = (
    "Answer with one valid JSON object and nothing else: no text before or after it, and no code fences."
)

_read_object = jsonlib.decoder(dict[str, Raw])
_read_strings = jsonlib.decoder(list[str])


class _Approximate(Struct, frozen=True):
    city: str | None = None
    region: str | None = None
    country: str | None = None
    timezone: str | None = None


class _UserLocation(Struct, frozen=True):
    approximate: _Approximate | None = None


class _WebSearch(Struct, frozen=True):
    user_location: _UserLocation | None = None
    search_context_size: str | None = None


class _Location(Struct, frozen=True, omit_defaults=True, tag="approximate"):
    city: str | None = None
    region: str | None = None
    country: str | None = None
    timezone: str | None = None


class _WebSearchTool(Struct, frozen=True, omit_defaults=True):
    type: str
    name: str
    user_location: _Location | None = None


_read_web_search = jsonlib.decoder(_WebSearch)


class Translated(Struct, frozen=True):
    """A request without its platform's frame."""

    body: anthropic.Body
    passed: Mapping[str, Raw]
    """members that are Anthropic's own, as the client wrote them"""
    dropped: tuple[str, ...]
    betas: tuple[str, ...]
    """`anthropic-beta` flags that the content needs"""
    json_tool: str
    """name of the tool whose input is the answer's text; empty: none"""

    def encode(self, frame: Mapping[str, object]) -> bytes:
        """The JSON body, the platform's members (`model`, `stream`, …) first."""
        body = jsonlib.encode(self.body)
        if head := {**frame, **self.passed}:
            return b"%b,%b" % (jsonlib.encode(head)[:-1], body[1:])
        return body


def translate(call: Call) -> Translated:
    """Raises MalformedRequest (400) and Unprocessable (422), naming the member."""
    try:
        return _translate(call)
    except JsonError as exc:  # pragma: no cover  nesting that all before could step over, and is too deep from here
        raise malformed(str(exc), "", code="invalid_type") from exc


def _translate(call: Call) -> Translated:
    notes = Notes()
    passed = _sort_members(call.members, notes)
    request = openai.read(call.body)
    _report_unread(call.members, notes)
    model = claude.facts(call.model)
    if not call.model:
        raise malformed("model is missing", "model", code="missing_field")
    if not request.messages:
        raise malformed("messages is missing or empty", "messages", code="missing_field")
    if request.n not in (None, 1):
        raise unprocessable("n: Anthropic gives one choice per request", "n")
    talk = messages.convert(request.messages, claude=claude.is_claude(call.model), notes=notes)
    schema = _answer_schema(request)
    enforced = _enforced(schema, model, notes)
    made = tools.convert(
        call.members.get("tools"),
        request.tool_choice,
        parallel=request.parallel_tool_calls,
        answer_schema=schema if enforced is None else None,
        web_search=_web_search(request, notes),
        notes=notes,
    )
    plan = thinking.plan(request, model, talk.messages, forced_tool=made.forced, notes=notes)
    body = anthropic.Body(
        max_tokens=plan.max_tokens,
        messages=talk.messages,
        system=_system(request, talk.system),
        tools=made.tools or None,
        tool_choice=made.choice,
        temperature=plan.temperature,
        top_p=plan.top_p,
        top_k=plan.top_k,
        stop_sequences=_stop(request, notes),
        thinking=plan.thinking,
        output_config=_output_config(plan.effort, enforced),
        metadata=_metadata(request, notes),
        service_tier=_service_tier(request, notes),
    )
    return Translated(body, passed, tuple(notes.dropped), tuple(notes.betas), made.json_tool)


def _sort_members(members: Mapping[str, Raw], notes: Notes) -> dict[str, Raw]:
    """The members to pass on. What has no place here is reported or refused."""
    passed: dict[str, Raw] = {}
    for name, raw in members.items():
        fate = MEMBERS.get(name, "dropped")
        if fate == "mapped" and name != "modalities":
            continue
        if bytes(raw).replace(b" ", b"") in _NEUTRAL:
            continue
        if fate == "passed":
            passed[name] = raw
        elif fate == "dropped":
            notes.drop_unknown(name)
        elif name == "modalities":
            _check_modalities(raw)
        else:
            raise unprocessable(
                f"{name} is not supported by Anthropic{_ADVICE.get(name, '')}", name, code="unsupported_field"
            )
    return passed


def _report_unread(members: Mapping[str, Raw], notes: Notes) -> None:
    """Members inside members that nothing reads; in messages, once for all of them."""
    known = {name: raw for name, raw in members.items() if MEMBERS.get(name) == "mapped" and name != "modalities"}
    for name in openai.unread_members(known):
        if name.startswith("messages["):
            head, _, member = name.partition("].")
            if member == "function_call":
                raise unprocessable(
                    "function_call is not supported by Anthropic; use tool_calls",
                    f"{head}].function_call",
                    code="unsupported_field",
                )
            notes.drop_unknown(f"messages[].{member}")
        elif name not in tools.OWN_MEMBERS:
            notes.drop_unknown(name)


def _check_modalities(raw: Raw) -> None:
    try:
        modalities = _read_strings(raw)
    except JsonError as exc:
        raise malformed(f"modalities: {exc}", "modalities", code="invalid_type") from exc
    if modalities != ["text"]:
        raise unprocessable("modalities: Anthropic answers with text only", "modalities")


def _answer_schema(request: ChatRequest) -> JsonSchema | None:
    """The schema that the answer must have."""
    wanted = request.response_format
    if wanted is None:
        return None
    if wanted.type not in _FORMATS:
        reason = "unsupported ChatCompletionResponseFormatType" if wanted.type else "response format does not have type"
        raise malformed(reason, "response_format.type")
    if wanted.type != "json_schema":
        return None
    schema = wanted.json_schema
    param = "response_format.json_schema"
    if schema is None or jsonlib.is_null(schema.schema_):
        raise unprocessable("json_schema.schema is missing", f"{param}.schema", code="missing_field")
    try:
        _read_object(schema.schema_)
    except JsonError:
        raise unprocessable("json_schema.schema must be an object", f"{param}.schema", code="invalid_schema") from None
    return schema


def _enforced(schema: JsonSchema | None, model: claude.ClaudeModel, notes: Notes) -> Raw | None:
    """What `schema` is as `output_config.format.schema`; None: a tool must stand in for it, or there is none."""
    if schema is None or not model.structured_output:
        return None
    closed = json_schema.closed(schema.schema_)
    if closed is None:
        # Models that always think cannot be made to call a tool: the API's own answer is the best that can be had.
        return schema.schema_ if model.thinks_always else None
    notes.loosen("response_format.json_schema.schema", closed)
    return closed.schema


def _output_config(effort: str | None, schema: Raw | None) -> anthropic.OutputConfig | None:
    if effort is None and schema is None:
        return None
    form = anthropic.OutputFormat("json_schema", schema) if schema is not None else None
    return anthropic.OutputConfig(effort, form)


def _system(request: ChatRequest, blocks: list[anthropic.TextBlock]) -> list[anthropic.TextBlock] | None:
    if request.response_format is not None and request.response_format.type == "json_object":
        return [*blocks, anthropic.TextBlock(JSON_INSTRUCTION)]
    return blocks or None


def _stop(request: ChatRequest, notes: Notes) -> list[str] | None:
    """The API refuses sequences without a visible character."""
    if request.stop is None:
        return None
    given = [request.stop] if isinstance(request.stop, str) else request.stop
    kept = [text for text in given if text and not text.isspace()]
    if len(kept) < len(given):
        notes.drop("stop")
    return kept or None


def _metadata(request: ChatRequest, notes: Notes) -> anthropic.Metadata | None:
    user = request.safety_identifier or request.user
    if request.user and request.safety_identifier and request.user != request.safety_identifier:
        notes.drop("user")
    return anthropic.Metadata(user) if user else None


def _service_tier(request: ChatRequest, notes: Notes) -> str | None:
    if not request.service_tier:
        return None
    tier = _SERVICE_TIERS.get(request.service_tier)
    if tier is None:
        notes.drop("service_tier")
    return tier


def _web_search(request: ChatRequest, notes: Notes) -> Raw | None:
    raw = request.web_search_options
    if jsonlib.is_null(raw):
        return None
    try:
        options = _read_web_search(raw)
    except JsonError as exc:
        raise malformed(f"web_search_options: {exc}", "web_search_options", code="invalid_type") from exc
    if options.search_context_size is not None:
        notes.drop("web_search_options.search_context_size")
    location = None
    if options.user_location is not None and (near := options.user_location.approximate) is not None:
        location = _Location(near.city, near.region, near.country, near.timezone)
    return Raw(jsonlib.encode(_WebSearchTool(claude.WEB_SEARCH_TOOL, "web_search", location)))
