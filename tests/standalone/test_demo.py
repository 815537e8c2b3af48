"""`aigw run` with nothing: every demo model, as a person and the SDK use it."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from filters.contract import jsonlib
from tests.standalone.gateway import Gateway, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

MODELS = ("demo-openai", "demo-anthropic", "demo-bedrock", "demo-failover")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("demo") / "run") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="clients-own-key", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", MODELS)
def test_the_answer_depends_on_the_question(gateway: Gateway, model: str) -> None:
    answer = gateway.chat(model, "What is 6 x 7?")
    assert answer.status_code == 200, answer.text
    assert "6 x 7 = 42" in answer.json()["choices"][0]["message"]["content"]
    usage = answer.json()["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_gives_the_same_text_as_a_whole_answer(client: openai.OpenAI, model: str) -> None:
    question = [{"role": "user", "content": "Say something about rivers"}]
    whole = client.chat.completions.create(model=model, messages=question)  # type: ignore[call-overload]
    stream = client.chat.completions.create(  # type: ignore[call-overload]
        model=model, messages=question, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_is_used(client: openai.OpenAI, model: str, stream: bool) -> None:
    messages: list[dict[str, object]] = [{"role": "user", "content": "How is the weather in Paris today?"}]
    if stream:
        name, arguments, id_ = "", "", ""
        for chunk in client.chat.completions.create(  # type: ignore[call-overload]
            model=model, messages=messages, tools=[WEATHER], stream=True
        ):
            for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
                name = name or call.function.name
                id_ = id_ or call.id
                arguments += call.function.arguments or ""
    else:
        answer = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])  # type: ignore[call-overload]
        (call,) = answer.choices[0].message.tool_calls
        assert answer.choices[0].finish_reason == "tool_calls"
        name, arguments, id_ = call.function.name, call.function.arguments, call.id
    assert (name, jsonlib.decode(arguments.encode(), dict[str, str])) == ("get_weather", {"city": "Paris"})
    function = {"name": name, "arguments": arguments}
    messages += [
        {"role": "assistant", "tool_calls": [{"id": id_, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": id_, "content": "Sunny, 23 degrees"},
    ]
    final = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])  # type: ignore[call-overload]
    assert "Sunny, 23 degrees" in final.choices[0].message.content


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == set(MODELS)


def test_every_request_is_one_line_of_the_access_log_with_its_tokens(gateway: Gateway) -> None:
    answer = gateway.chat("demo-failover", "a question for the access log")
    request_id = answer.headers.get("x-request-id")
    usage = answer.json()["usage"]

    def lines() -> list[dict[str, object]]:
        found = [jsonlib.decode(line.encode(), dict[str, object]) for line in gateway.out().splitlines()]
        return [line for line in found if line["gen_ai.request.model"] == "demo-failover"]

    wait_until(lambda: any(line["bytes_sent"] == len(answer.content) for line in lines()), gateway.out)
    line = next(line for line in lines() if line["bytes_sent"] == len(answer.content))
    assert line["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert line["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert line["gen_ai.provider.name"] == "default/demo-anthropic/route/aigw-run/rule/3/ref/1"
    assert line["x-envoy-origin-path"] == "/v1/chat/completions"
    assert request_id is None or line["x-request-id"] == request_id


def test_an_unknown_model_is_a_404_that_says_so(gateway: Gateway) -> None:
    answer = gateway.chat("no-such-model")
    assert answer.status_code == 404
    assert "no-such-model" in answer.json()["error"]["message"]


def test_a_client_cannot_choose_the_rule_by_headers_of_ours(gateway: Gateway) -> None:
    body = {"model": "no-such-model", "messages": []}
    headers = {"x-ai-eg-model": "demo-openai", "X-AI-EG-Rule": "0" * 32}
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, trust_env=False)
    assert answer.status_code == 404


def test_the_admin_interface_serves_metrics_and_health(gateway: Gateway) -> None:
    admin = f"http://127.0.0.1:{gateway.admin_port}"
    assert httpx.get(f"{admin}/health", trust_env=False).text == "OK\n"
    assert httpx.get(f"{admin}/metrics", trust_env=False).status_code == 200


@pytest.mark.parametrize("kilobytes", [100, 2000])
@pytest.mark.parametrize("model", MODELS)
def test_a_large_prompt_reaches_the_provider_whole(gateway: Gateway, model: str, kilobytes: int) -> None:
    text = "word " * (kilobytes * 1024 // 5)
    answer = gateway.chat(model, text)
    assert answer.status_code == 200, answer.text
    assert f"({len(text.split())} words)" in answer.json()["choices"][0]["message"]["content"]
