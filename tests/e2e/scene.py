"""The Gateway, the route and the provider of these tests, and what they look like from outside."""

import functools
import string
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import openai
import yaml

from conformance.cluster.cluster import Cluster, KubectlFailed
from conformance.upstream import recorder
from extension_server.sidecar import mutation
from tests.support.waiting import wait_until

NAMESPACE: Final = "e2e"
GATEWAY: Final = "ai"
ROUTE: Final = "chat"
MODEL: Final = "recorded"
KEY: Final = "key-of-the-provider"
FILTER: Final = "ai-gateway-extproc"
PROXIES: Final = "envoy-gateway-system"
CONTROLLER: Final = "envoy-ai-gateway-system"
LIMIT: Final = 120.0
"""seconds that anything may take"""
until = functools.partial(wait_until, limit=LIMIT, every=0.25)


def of_gateway(namespace: str, name: str) -> str:
    """Selects what Envoy Gateway makes for a Gateway."""
    return f"{mutation.OWNER_NAME}={name},{mutation.OWNER_NAMESPACE}={namespace}"


_OF_GATEWAY: Final = of_gateway(NAMESPACE, GATEWAY)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a test has at hand."""

    cluster: Cluster
    images: Mapping[str, str]
    gateway: str
    """`host:port` on this host"""
    provider: str

    def client(self, **options: Any) -> openai.OpenAI:
        """The SDK with a key that only the client has, and without retries: they would hide errors. To be closed."""
        given = {"api_key": "key-of-the-client", "max_retries": 0, "timeout": 20.0, **options}
        return openai.OpenAI(base_url=f"http://{self.gateway}/v1", **given)

    def post(self, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """A chat request without any SDK, on a connection of its own."""
        asked = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]} if body is None else body
        url = f"http://{self.gateway}/v1/chat/completions"
        return httpx.post(url, json=asked, headers=headers, timeout=20, trust_env=False)

    def recorded(self) -> list[dict[str, Any]]:
        """What has reached the provider since `forget`."""
        answer = httpx.get(f"http://{self.provider}{recorder.RECORDED}", timeout=20, trust_env=False)
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    def forget(self) -> None:
        httpx.delete(f"http://{self.provider}{recorder.RECORDED}", timeout=20, trust_env=False).raise_for_status()

    def pods(self) -> list[dict[str, Any]]:
        """Of the Gateway's Envoy, those that are not on their way out."""
        found = self.cluster.kubectl.list("pods", PROXIES, _OF_GATEWAY)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def deployment(self) -> dict[str, Any]:
        """Of the Gateway's Envoy."""
        (found,) = self.cluster.kubectl.list("deployments", PROXIES, _OF_GATEWAY)
        return found

    def route(self, name: str = ROUTE) -> dict[str, Any]:
        return self.cluster.kubectl.get("aigatewayroute", name, NAMESPACE)

    def serves(self) -> bool:
        return _succeeds(lambda: self.post().status_code == httpx.codes.OK)

    def wait_until_served(self) -> None:
        """By every pod: one whose filter has just been started again still answers, until its Service is told."""
        until(self._ready, "Envoy's pods are ready")
        until(self.serves, "the Gateway serves the route")

    def _ready(self) -> bool:
        pods = self.pods()
        return bool(pods) and all(conditions(pod).get("Ready", {}).get("status") == "True" for pod in pods)


def _succeeds(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except httpx.HTTPError:
        return False


def conditions(of: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Type → condition, of a status or of each parent's."""
    status = of.get("status", {})
    listed = [*status.get("conditions", []), *(each for one in status.get("parents", []) for each in one["conditions"])]
    return {each["type"]: each for each in listed}


def header(request: Mapping[str, Any], name: str) -> list[str]:
    """Values of a header of a recorded request."""
    return [value for key, value in request["headers"] if key == name]


def objects(values: Mapping[str, str], file: str = "scene.yaml") -> list[dict[str, Any]]:
    text = string.Template((Path(__file__).parent / file).read_text()).substitute(values)
    return [*yaml.safe_load_all(text)]


def _picture(cluster: Cluster) -> str:
    """What a person would look at first."""
    kubectl = cluster.kubectl
    shown = [kubectl("get", "pods", "--all-namespaces")]
    for pod in kubectl.list("pods", PROXIES, _OF_GATEWAY):
        shown.append(kubectl("-n", PROXIES, "describe", "pod", pod["metadata"]["name"]).partition("Events:")[2])
        with suppress(KubectlFailed):
            shown.append(kubectl("-n", PROXIES, "logs", pod["metadata"]["name"], "-c", FILTER, "--tail=20"))
    shown.append(kubectl("-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp"))
    return "\n".join(shown)


@contextmanager
def set_up(cluster: Cluster, images: Mapping[str, str]) -> Iterator[Scene]:
    """Everything applied, programmed and reachable; goes with the block."""
    kubectl = cluster.kubectl
    applied = objects({**images, "service_type": cluster.gateway_service})
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    try:
        kubectl.apply(*applied)
        kubectl.wait("condition=Available", "deployment/provider", NAMESPACE)
        kubectl.wait("condition=Programmed", f"gateway/{GATEWAY}", NAMESPACE)
        services = kubectl.list("services", PROXIES, _OF_GATEWAY)
        with ExitStack() as stack:
            gateway = stack.enter_context(cluster.reach(PROXIES, services[0]["metadata"]["name"], 80))
            provider = stack.enter_context(cluster.reach(NAMESPACE, "recorded", 80))
            scene = Scene(cluster, images, gateway, provider)
            scene.wait_until_served()
            yield scene
    except BaseException:
        print(_picture(cluster))
        raise
    finally:
        kubectl("delete", "gatewayclass,namespace", "e2e", "--ignore-not-found", "--wait=false")
