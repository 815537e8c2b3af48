"""The whole request: every case's body against botocore's service model, and the members that are easy to lose."""

from typing import Any

import pytest

from conformance.case import Case, load_all
from filters.contract import jsonlib
from filters.dialects.openai_chat.request import ChatRequest
from filters.errors import ClientError, MalformedRequest, Unprocessable
from filters.mappings.openai_chat_to_converse import request
from tests.support.converse import USER, call_of, chat, complaints, translated

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
MISTRAL = "mistral.mistral-large-3"
SCHEMA = {"type": "object", "properties": {}}


def _bodies() -> list[Case]:
    return [case for case in load_all(provider="bedrock") if case.backend.schema.name == "AWSBedrock"]


@pytest.mark.parametrize("case", _bodies(), ids=lambda case: case.directory.name)
def test_every_request_of_the_cases_validates_against_botocore(case: Case) -> None:
    stream = jsonlib.members(case.client_body).get("stream")
    call = call_of(case.client_body, model=case.backend.model_override, stream=stream == jsonlib.Raw(b"true"))
    if case.answer is None:
        with pytest.raises(ClientError) as caught:
            request.translate(call)
        assert caught.value.param  # every refusal names a member
    else:
        body = jsonlib.decode(request.translate(call).body, dict[str, Any])
        assert complaints(body, stream=call.stream) == ""


@pytest.mark.parametrize(
    ("members", "error", "code", "param"),
    [
        ({"n": 2}, Unprocessable, "unsupported_field", "n"),
        ({"modalities": ["text", "audio"]}, Unprocessable, "unsupported_field", "modalities"),
        ({"audio": {"voice": "a"}}, Unprocessable, "unsupported_field", "audio"),
        ({"functions": [{"name": "f"}]}, Unprocessable, "unsupported_field", "functions"),
        ({"function_call": {"name": "f"}}, Unprocessable, "unsupported_field", "function_call"),
        (
            {"web_search_options": {"search_context_size": "low"}},
            Unprocessable,
            "unsupported_field",
            "web_search_options",
        ),
        ({"guided_regex": "a+"}, Unprocessable, "unsupported_field", "guided_regex"),
        ({"response_format": {}}, MalformedRequest, "invalid_value", "response_format.type"),
        ({"response_format": {"type": "xml"}}, MalformedRequest, "invalid_value", "response_format.type"),
        (
            {"response_format": {"type": "json_schema"}},
            Unprocessable,
            "missing_field",
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": []}}},
            Unprocessable,
            "invalid_schema",
            "response_format.json_schema.schema",
        ),
        ({"guardrailConfig": "x"}, MalformedRequest, "invalid_type", "guardrailConfig"),
        (
            {"additionalModelResponseFieldPaths": {}},
            MalformedRequest,
            "invalid_type",
            "additionalModelResponseFieldPaths",
        ),
        ({"additionalModelRequestFields": []}, MalformedRequest, "invalid_type", "additionalModelRequestFields"),
        ({"metadata": {"a": 1}}, MalformedRequest, "invalid_type", "metadata"),
        ({"max_tokens": "5"}, MalformedRequest, "invalid_type", "max_tokens"),
    ],
)
def test_members_that_cannot_be_honoured_are_refused_by_name(
    members: dict[str, Any], error: type[ClientError], code: str, param: str | None
) -> None:
    with pytest.raises(error) as caught:
        request.translate(chat(CLAUDE, **members))
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    "members",
    [
        {"n": 1},
        {"n": None},
        {"logprobs": False},
        {"top_logprobs": 0},
        {"modalities": ["text"]},
        {"functions": []},
        {"function_call": "auto"},
        {"response_format": {"type": "text"}},
        {"stop": []},
        {"stop": [""]},
        {"service_tier": "auto"},
        {"metadata": {}},
        {"guardrailConfig": None},
        {"tool_choice": "none"},
        {"presence_penalty": 0, "frequency_penalty": 0.0},
        {"user": "", "safety_identifier": None},
        {"stream_options": {"include_usage": True}},
    ],
)
def test_members_that_ask_for_nothing_are_neither_sent_nor_reported(members: dict[str, Any]) -> None:
    assert translated(chat(CLAUDE, **members)) == translated(chat(CLAUDE))


def test_every_member_that_is_read_is_mapped_refused_or_reported() -> None:
    """A member added to the request struct must be decided about here."""
    mapped = {
        *("messages", "model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"),
        *("stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls", "response_format"),
        *("reasoning_effort", "thinking", "service_tier", "metadata", "presence_penalty", "frequency_penalty", "seed"),
    }
    decided = mapped | set(request.REFUSED) | set(request.DROPPED) | set(request.MAPPED)
    assert set(ChatRequest.__struct_encode_fields__) <= decided


def test_what_has_no_place_is_reported_once() -> None:
    messages = [{"role": "user", "content": "a", "name": "ann", "extra": {"x": 1}} for _ in range(3)]
    _, dropped = translated(chat(CLAUDE, messages=messages, seed=0, logit_bias={"1": 2}, verbosity="low", user="u"))
    assert dropped == ("messages[].extra", "logit_bias", "verbosity", "user", "messages[].name", "seed")


def test_a_model_and_messages_are_needed() -> None:
    with pytest.raises(MalformedRequest, match="model is required"):
        request.translate(call_of(b'{"messages":[]}'))
    with pytest.raises(MalformedRequest, match="messages is required"):
        request.translate(call_of(b'{"model":"m"}'))
    with pytest.raises(MalformedRequest, match="messages is required"):
        request.translate(call_of(b'{"model":"m","messages":[]}'))


def test_a_call_in_the_old_form_is_refused_where_it_stands() -> None:
    messages = [*USER, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]
    with pytest.raises(Unprocessable) as caught:
        request.translate(chat(CLAUDE, messages=messages))
    assert caught.value.param == "messages[1].function_call"


def test_stop_sequences_that_claude_refuses_are_reported() -> None:
    body, dropped = translated(chat(CLAUDE, stop=["\n\n", "", "END"]))
    assert (body["inferenceConfig"]["stopSequences"], dropped) == (["END"], ("stop",))
    body, dropped = translated(chat(NOVA, stop="\n\n"))
    assert (body["inferenceConfig"]["stopSequences"], dropped) == (["\n\n"], ())


def test_sampling_members_go_where_the_family_has_a_place() -> None:
    members: dict[str, Any] = {"seed": 7, "presence_penalty": 0.5, "frequency_penalty": -0.5, "top_k": 4}
    body, dropped = translated(chat(MISTRAL, **members))
    assert (body["additionalModelRequestFields"], dropped) == (members | {}, ())
    body, dropped = translated(chat(NOVA, **members))
    assert body["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 4}}
    assert dropped == ("seed", "presence_penalty", "frequency_penalty")


def test_the_clients_own_fields_win() -> None:
    body, _ = translated(chat(CLAUDE, top_k=4, additionalModelRequestFields={"top_k": 9, "anthropic_beta": ["x"]}))
    assert body["additionalModelRequestFields"] == {"top_k": 9, "anthropic_beta": ["x"]}


def test_metadata_that_bedrock_refuses_is_left_out() -> None:
    body, dropped = translated(chat(NOVA, metadata={"ok": "a b", "bad": "ü", "long": "x" * 300}))
    assert (body["requestMetadata"], dropped) == ({"ok": "a b"}, ("metadata",))
    body, dropped = translated(chat(NOVA, metadata={f"k{number}": "v" for number in range(20)}))
    assert (len(body["requestMetadata"]), dropped) == (16, ("metadata",))
    assert translated(chat(NOVA, requestMetadata={"a": "b"}))[0]["requestMetadata"] == {"a": "b"}


def test_a_guardrail_keeps_its_streaming_mode_in_a_stream() -> None:
    config = {"guardrailIdentifier": "g", "guardrailVersion": "1", "streamProcessingMode": "async"}
    body = jsonlib.encode({"model": CLAUDE, "messages": USER, "guardrailConfig": config})
    made, dropped = translated(call_of(body, stream=True))
    assert (made["guardrailConfig"], dropped) == (config, ())


def test_json_schema_goes_out_as_the_client_wrote_it() -> None:
    schema = b'{"z":{"maximum":9007199254740993},"a":1.50}'
    wanted = {"type": "json_schema", "json_schema": {"name": "", "schema": jsonlib.Raw(schema)}}
    body, _ = translated(chat(CLAUDE, response_format=wanted))
    assert body["outputConfig"]["textFormat"]["structure"]["jsonSchema"] == {"schema": schema.decode()}


def test_integers_and_member_order_survive() -> None:
    parameters = jsonlib.Raw(b'{"type":"object","z":9007199254740993123,"a":{"y":1,"b":2}}')
    made = request.translate(
        chat(CLAUDE, tools=[{"type": "function", "function": {"name": "f", "parameters": parameters}}])
    )
    assert b'{"json":{"type":"object","z":9007199254740993123,"a":{"y":1,"b":2}}}' in made.body
