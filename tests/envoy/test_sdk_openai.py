"""The official openai SDK against `aigw run` and its three built-in providers: what an application does, it can do."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from conformance.gateway import free_port, running

pytestmark = pytest.mark.envoy

MODELS = ("demo-openai", "demo-anthropic", "demo-bedrock")
QUESTION: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 6 * 7?"},
]
ASKS_FOR_TOOLS: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What are the weather and the time in Paris?"}
]


def tool(name: str) -> ChatCompletionToolParam:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": f"The {name}.", "parameters": parameters}}


TOOLS = [tool("get_weather"), tool("get_time")]


class Trip(BaseModel):
    city: str
    days: int


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    port = free_port()
    with (
        running("--port", str(port), port=port) as gateway,
        openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key="any", max_retries=0, timeout=20) as made,
    ):
        yield made


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} >= {*MODELS, "demo-failover"}


def test_a_chat_is_answered(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=QUESTION, max_completion_tokens=200)
    (choice,) = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content is not None
    assert "6 * 7 = 42" in choice.message.content
    assert choice.finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_next_provider_answers_when_the_first_is_down(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo-failover", messages=QUESTION)
    assert "42" in (answer.choices[0].message.content or "")


def test_a_stream_has_the_words_of_the_whole_answer(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=QUESTION).choices[0].message.content
    stream = client.chat.completions.create(
        model=model, messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole
    assert sum(1 for text in texts if text) > 3
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason] == [
        "stop"
    ]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0
    assert chunks[-1].choices == []


def test_a_stream_has_no_usage_chunk_for_who_did_not_ask(client: openai.OpenAI, model: str) -> None:
    chunks = list(client.chat.completions.create(model=model, messages=QUESTION, stream=True))
    assert all(chunk.choices for chunk in chunks)


def test_several_tools_are_called_at_once_and_their_answers_are_taken(client: openai.OpenAI, model: str) -> None:
    asked = client.chat.completions.create(model=model, messages=ASKS_FOR_TOOLS, tools=TOOLS)
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls if call.type == "function"]
    assert sorted(name for name, _ in calls) == ["get_time", "get_weather"]
    assert all("Paris" in arguments for _, arguments in calls)
    assert len({call.id for call in message.tool_calls}) == 2

    history: list[ChatCompletionMessageParam] = [*ASKS_FOR_TOOLS, message.to_dict()]  # type: ignore[list-item]
    history += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls]
    answer = client.chat.completions.create(model=model, messages=history, tools=TOOLS)
    assert answer.choices[0].message.content == "The tool answered: sunny; sunny"


def test_tool_arguments_are_streamed(client: openai.OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=ASKS_FOR_TOOLS, tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert kinds.count("tool_calls.function.arguments.done") == 2
    assert kinds.count("tool_calls.function.arguments.delta") >= 4
    assert final.choices[0].finish_reason == "tool_calls"
    calls = final.choices[0].message.tool_calls or []
    assert sorted(call.function.name for call in calls) == ["get_time", "get_weather"]


def test_a_forced_tool_is_called(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model,
        messages=QUESTION,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "get_time"}},
    )
    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls if call.type == "function"] == ["get_time"]


def test_structured_output_is_parsed(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": "Plan 3 days in Rome"}],
        response_format=Trip,
    )
    assert answer.choices[0].message.parsed == Trip(city="Rome", days=3)


def test_structured_output_is_parsed_from_a_stream(client: openai.OpenAI, model: str) -> None:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Plan 3 days in Rome"}]
    with client.chat.completions.stream(model=model, messages=messages, response_format=Trip) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Trip(city="Rome", days=3)


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="nobody", messages=QUESTION)
    assert caught.value.code == "model_not_found"


def test_a_missing_model_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", cast_to=object, body={"messages": QUESTION})
    assert (caught.value.code, caught.value.param) == ("missing_model", "model")


@pytest.mark.parametrize("model", ["demo-anthropic", "demo-bedrock"])
def test_what_a_provider_cannot_serve_is_refused_by_name(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(model=model, messages=QUESTION, n=2)
    assert caught.value.param == "n"
