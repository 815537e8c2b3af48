"""An application behind the Gateway: what it sends, what the provider gets, what it sees of the system."""

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from conformance.upstream import recorder
from tests.e2e import scene
from tests.e2e.scene import Scene

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


def test_every_envoy_pod_has_the_filter_beside_it(ai: Scene) -> None:
    for pod in ai.pods():
        beside = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        assert [each["name"] for each in beside if each["name"] == scene.FILTER] == [scene.FILTER]
        states = [*pod["status"].get("initContainerStatuses", []), *pod["status"]["containerStatuses"]]
        assert all(state["ready"] for state in states)


def test_the_gateway_and_the_route_are_programmed(ai: Scene) -> None:
    gateway = ai.cluster.kubectl.get("gateway", scene.GATEWAY, scene.NAMESPACE)
    assert scene.conditions(gateway)["Programmed"]["status"] == "True"
    scene.until(
        lambda: scene.conditions(ai.route()).get("Programmed", {}).get("status") == "True", "the route is programmed"
    )
    assert scene.conditions(ai.route())["Accepted"]["status"] == "True"


def test_the_sdk_gets_its_answer_and_the_provider_only_its_own_key(ai: Scene) -> None:
    with ai.client() as client:
        answer = client.chat.completions.create(model=scene.MODEL, messages=QUESTION)
    assert answer.choices[0].message.content == recorder.ANSWER
    assert answer.usage is not None
    assert answer.usage.total_tokens == recorder.USAGE["total_tokens"]
    (request,) = ai.recorded()
    assert request["target"] == "/v1/chat/completions"
    assert scene.header(request, "authorization") == [f"Bearer {scene.KEY}"]
    assert "key-of-the-client" not in str(request)


def test_the_sdk_gets_a_stream(ai: Scene) -> None:
    with ai.client() as client:
        stream = client.chat.completions.create(model=scene.MODEL, messages=QUESTION, stream=True)
        said = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(said) == recorder.ANSWER
    (request,) = ai.recorded()
    assert scene.header(request, "authorization") == [f"Bearer {scene.KEY}"]


def test_the_models_are_listed(ai: Scene) -> None:
    with ai.client() as client:
        assert [model.id for model in client.models.list()] == [scene.MODEL]


def test_a_model_that_no_rule_serves_is_an_error_that_says_so(ai: Scene) -> None:
    with ai.client() as client, pytest.raises(openai.NotFoundError, match="nobodys"):
        client.chat.completions.create(model="nobodys", messages=QUESTION)
    assert ai.recorded() == []


@pytest.mark.parametrize("name", ["x-ai-eg-rule", "x-ai-eg-model", "x-ai-eg-original-path", "x-ai-eg-internal-req-id"])
def test_internal_headers_of_a_client_open_nothing(ai: Scene, name: str) -> None:
    answer = ai.post({"model": "nobodys", "messages": QUESTION}, {name: scene.MODEL})
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert ai.recorded() == []
    assert ai.post(headers={name: "anything"}).status_code == httpx.codes.OK
    (request,) = ai.recorded()
    assert "anything" not in str(request)


def test_a_new_value_of_the_secret_reaches_the_provider(ai: Scene) -> None:
    def sent() -> list[str]:
        ai.forget()
        ai.post()
        return scene.header(ai.recorded()[0], "authorization")

    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "provider", "namespace": scene.NAMESPACE}}
    try:
        ai.cluster.kubectl.apply({**secret, "stringData": {"apiKey": "key-of-tomorrow"}})
        scene.until(lambda: sent() == ["Bearer key-of-tomorrow"], "the new key is sent")
    finally:
        ai.cluster.kubectl.apply({**secret, "stringData": {"apiKey": scene.KEY}})
        scene.until(lambda: sent() == [f"Bearer {scene.KEY}"], "the old key is sent")
