"""AI routes on the Gateways that the suite tests: its requests pass through proxies that have our filter.

They are applied before the suite makes its Gateways, and are away only while a test wants Gateways without any route.
`problems` says afterwards whether they were really there.
"""

import string
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from conformance.cluster.cluster import Cluster
from conformance.gateway_api.suite import SuiteGateway
from filters.contract import jsonlib

_PROXIES: Final = "envoy-gateway-system"
_FILTER: Final = "ai-gateway-extproc"
_LABEL: Final = "gateway.envoyproxy.io/owning-gateway-"
_ANSWER_LIMIT: Final = 60.0
_REQUEST: Final = {"model": "recorded", "messages": [{"role": "user", "content": "hello"}]}


def class_objects(values: Mapping[str, str]) -> list[dict[str, Any]]:
    """GatewayClass, EnvoyProxy, provider. `values`: what objects.yaml leaves open."""
    return _filled("objects.yaml", values)


class AIRoutes:
    """On the Gateways of the suite, from `attach` on."""

    def __init__(self, cluster: Cluster, gateways: Iterable[SuiteGateway], unwanted: Collection[str]) -> None:
        """`unwanted`: tests that hold that their Gateway has no route."""
        self._kubectl = cluster.kubectl
        self._objects = [*routes(gateways)]
        self._unwanted = unwanted
        self._attached = False

    def attach(self) -> None:
        if not self._attached:
            self._kubectl.apply(*self._objects)
        self._attached = True

    def follow(self, test: str) -> None:
        """A test of the suite has begun."""
        if test not in self._unwanted:
            self.attach()
        elif self._attached:
            self._kubectl.delete(*(each for each in self._objects if each["kind"] == "AIGatewayRoute"))
            self._attached = False


def routes(gateways: Iterable[SuiteGateway]) -> Iterator[dict[str, Any]]:
    """One AI route per namespace that has to have one, with what it refers to."""
    parents = defaultdict[str, list[dict[str, str]]](list)
    for gateway in gateways:
        parents[gateway.route_namespace].append({"name": gateway.name, "namespace": gateway.namespace})
    for namespace, listed in parents.items():
        yield from _filled("route.yaml", {"namespace": namespace, "parents": jsonlib.encode(listed).decode()})


def _filled(name: str, values: Mapping[str, str]) -> list[dict[str, Any]]:
    text = string.Template((Path(__file__).parent / name).read_text()).substitute(values)
    return [*yaml.safe_load_all(text)]


def problems(cluster: Cluster, gateways: Iterable[SuiteGateway]) -> Iterator[str]:
    """One sentence for each Gateway whose proxy has no filter, or does not serve the AI route."""
    for gateway in gateways:
        name = f"Gateway {gateway.namespace}/{gateway.name}"
        selector = f"{_LABEL}name={gateway.name},{_LABEL}namespace={gateway.namespace}"
        pods = cluster.kubectl.list("pods", _PROXIES, selector)
        if not pods or not all(_filtered(pod) for pod in pods if "deletionTimestamp" not in pod["metadata"]):
            yield f"{name}: its proxies do not have the filter"
            continue
        services = cluster.kubectl.list("services", _PROXIES, selector)
        with cluster.reach(_PROXIES, services[0]["metadata"]["name"], gateway.port) as address:
            answer = _answer(f"{'https' if gateway.tls else 'http'}://{address}")
        if answer:
            yield f"{name} does not serve the AI route: {answer}"


def _filtered(pod: Mapping[str, Any]) -> bool:
    spec = pod["spec"]
    return any(each["name"] == _FILTER for each in (*spec.get("initContainers", ()), *spec["containers"]))


def _answer(url: str) -> str:
    """Empty when the provider has answered, else what came instead, to the last. Certificates are the suite's own, and
    not looked at."""
    deadline = time.monotonic() + _ANSWER_LIMIT
    while True:
        try:
            path = f"{url}/v1/chat/completions"
            answer = httpx.post(path, json=_REQUEST, timeout=20, trust_env=False, verify=False)
            if answer.status_code == httpx.codes.OK and answer.json().get("model") == _REQUEST["model"]:
                return ""
            said = f"{answer.status_code} {answer.text[:200]}"
        except (httpx.HTTPError, ValueError) as exc:
            said = f"{type(exc).__name__}: {exc}"
        if time.monotonic() > deadline:
            return said
        time.sleep(0.5)
