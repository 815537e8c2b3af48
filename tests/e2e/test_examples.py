"""Shapes of published examples, applied with kubectl: an SDK's traffic through them, and what a person reads about what
is broken."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import httpx
import openai
import pytest
import yaml

from conformance.upstream import recorder
from filters.contract import jsonlib
from tests.e2e import scene
from tests.e2e.scene import Scene

NAMESPACE: Final = "examples"
PROVIDER: Final = f"provider.{scene.NAMESPACE}.svc.cluster.local"
NO_SECRET: Final = "spec.apiKey.secretRef: Secret examples/forgotten not found; create it with the key apiKey"
GOOD: Final = ("basic", "fallback", "mutations")
_body: Final = jsonlib.decoder(dict[str, Any])


@pytest.fixture(scope="module")
def whole(whole_scene: Scene) -> Iterator[Scene]:
    """The scene, with the examples' Gateway in place of its own. The provider is the same."""
    cluster = whole_scene.cluster
    values = {"service_type": cluster.gateway_service, "provider": PROVIDER, "namespace": NAMESPACE}
    applied = scene.objects({**whole_scene.images, **values}, "examples.yaml")
    kubectl = cluster.kubectl
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        # Not server-side: as the examples' readers do it.
        kubectl("-n", NAMESPACE, "apply", "-f", "-", given=yaml.safe_dump_all(applied))
        kubectl.wait("condition=Programmed", "gateway/examples", NAMESPACE)
        pods = scene.of_gateway(NAMESPACE, "examples")
        (service,) = kubectl.list("services", scene.PROXIES, pods)
        with cluster.reach(scene.PROXIES, service["metadata"]["name"], 80) as address:
            there = replace(whole_scene, gateway=address)
            scene.until(lambda: [conditions(there, name)["Programmed"] for name in GOOD] == ["True"] * 3, "programmed")
            # A pod from before the routes may still be on its way out, and refuses what it gets.
            scene.until(lambda: all(has_filter(pod) for pod in kubectl.list("pods", scene.PROXIES, pods)), "rolled out")
            yield there
    finally:
        kubectl("delete", f"gatewayclass/{NAMESPACE}", f"namespace/{NAMESPACE}", "--ignore-not-found", "--wait=false")


@pytest.fixture
def examples(whole: Scene) -> Scene:
    whole.forget()
    return whole


def has_filter(pod: dict[str, Any]) -> bool:
    spec = pod["spec"]
    return any(each["name"] == scene.FILTER for each in (*spec.get("initContainers", ()), *spec["containers"]))


def conditions(there: Scene, route: str) -> dict[str, str]:
    """Type → status."""
    found = scene.conditions(there.cluster.kubectl.get("aigatewayroute", route, NAMESPACE))
    return {type_: each["status"] for type_, each in found.items()}


def asked(there: Scene, model: str, **more: Any) -> str:
    """What the SDK is answered."""
    with there.client() as client:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}], **more)
    return answer.choices[0].message.content or ""


def described(there: Scene, kind: str, name: str) -> str:
    """As `kubectl describe` shows it, with every run of white space as one blank."""
    return re.sub(r"\s+", " ", there.cluster.kubectl("-n", NAMESPACE, "describe", kind, name))


@pytest.mark.parametrize("name", GOOD)
def test_what_is_served_says_so(examples: Scene, name: str) -> None:
    assert conditions(examples, name) == {"ResolvedRefs": "True", "Programmed": "True", "Accepted": "True"}
    (_, line) = examples.cluster.kubectl("-n", NAMESPACE, "get", "aigatewayroute", name).strip().splitlines()
    assert line.split()[:3] == [name, "Accepted", "True"]


def test_the_basic_example_answers_with_the_key_of_its_secret(examples: Scene) -> None:
    assert asked(examples, "self-hosted") == recorder.ANSWER
    (request,) = examples.recorded()
    assert scene.header(request, "authorization") == ["Bearer key-of-the-example"]


def test_a_provider_that_fails_is_followed_by_the_next_one_with_its_own_model(examples: Scene) -> None:
    assert asked(examples, "wanted") == recorder.ANSWER
    (request,) = examples.recorded()
    assert _body(request["body"].encode())["model"] == "second-choice"
    assert scene.header(request, "authorization") == ["Bearer key-of-the-example"]


def test_mutations_of_backend_and_route_reach_the_provider(examples: Scene) -> None:
    assert asked(examples, "changed", user="somebody") == recorder.ANSWER
    (request,) = examples.recorded()
    assert [scene.header(request, f"x-of-the-{each}") for each in ("backend", "route")] == [["org"], ["premium"]]
    body = _body(request["body"].encode())
    assert (body["service_tier"], body["max_tokens"], "user" in body) == ("scale", 8192, False)


def test_an_ordinary_route_beside_ai_routes_is_none_of_our_business(examples: Scene) -> None:
    answer = httpx.get(f"http://{examples.gateway}/ordinary/path", timeout=20, trust_env=False)
    assert answer.json()["error"]["message"] == "the recorder knows no such path"
    (request,) = examples.recorded()
    assert request["target"] == "/ordinary/path"


def test_a_route_that_is_half_broken_serves_the_other_half(examples: Scene) -> None:
    assert asked(examples, "good-half") == recorder.ANSWER
    examples.forget()
    with pytest.raises(openai.InternalServerError) as caught:
        asked(examples, "bad-half")
    assert caught.value.code == "no_backend"
    assert examples.recorded() == []


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        (
            "aigatewayroute",
            "half",
            f"1 of 2 rules are not served. BackendSecurityPolicy examples/keyless: {NO_SECRET}",
        ),
        (
            "backendsecuritypolicy",
            "keyless",
            NO_SECRET,
        ),
        (
            "aigatewayroute",
            "elsewhere",
            "spec.parentRefs: Gateway examples/nowhere not found; create it or correct the name",
        ),
    ],
    ids=["half", "keyless", "elsewhere"],
)
def test_the_description_of_what_is_broken_names_cause_and_remedy(
    examples: Scene, kind: str, name: str, says: str
) -> None:
    assert f"Message: {says} " in described(examples, kind, name)
    scene.until(lambda: f"aigw-controller {says}" in described(examples, kind, name), "an Event says it, too")
    (_, line) = examples.cluster.kubectl("-n", NAMESPACE, "get", kind, name).strip().splitlines()
    assert line.split()[1] == "NotAccepted"
