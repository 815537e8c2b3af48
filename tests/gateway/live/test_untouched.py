"""What a user has beside AI routes is in Envoy what Envoy Gateway made of it, and lives without our filter."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from filters.contract import jsonlib
from tests.gateway.live.conftest import Live
from tests.gateway.live.worlds import CHAT, backend, route
from tests.support import envoy_gateway, isolation
from tests.support.envoy_gateway import Proxy
from tests.support.waiting import wait_until

AIGW: Final = "aigateway.envoyproxy.io/v1beta1"
SHARED, PLAIN, RAW = 8920, 8921, 8922
USERS: Final = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: beside}}
spec:
  gatewayClassName: eg
  listeners:
    - {{name: shared, protocol: HTTP, port: {SHARED}}}
    - {{name: plain, protocol: HTTP, port: {PLAIN}}}
    - {{name: raw, protocol: TCP, port: {RAW}}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: beside-web}}
spec: {{endpoints: [{{ip: {{address: {isolation.ADDRESS}, port: 7000}}}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: beside-filters}}
spec:
  parentRefs: [{{name: beside, sectionName: shared}}, {{name: beside, sectionName: plain}}]
  rules:
    - matches: [{{path: {{type: PathPrefix, value: /web}}}}]
      timeouts: {{request: 20s, backendRequest: 10s}}
      filters:
        - type: URLRewrite
          urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /chat/completions}}}}
        - type: RequestHeaderModifier
          requestHeaderModifier: {{set: [{{name: x-users, value: own}}], remove: [x-gone]}}
        - type: ResponseHeaderModifier
          responseHeaderModifier: {{add: [{{name: x-answered, value: "yes"}}]}}
      backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: beside-web}}]
    - matches: [{{path: {{type: Exact, value: /moved}}}}]
      filters: [{{type: RequestRedirect, requestRedirect: {{hostname: moved.test, statusCode: 301}}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: beside-hosts}}
spec:
  parentRefs: [{{name: beside, sectionName: shared}}]
  hostnames: [web.test]
  rules:
    - matches:
        - {{path: {{type: RegularExpression, value: "/a/[0-9]+"}}, method: POST}}
        - {{headers: [{{name: x-kind, value: b}}]}}
      backendRefs:
        - {{group: gateway.envoyproxy.io, kind: Backend, name: beside-web, weight: 3}}
        - {{group: gateway.envoyproxy.io, kind: Backend, name: beside-web, weight: 1}}
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {{name: beside-raw}}
spec:
  parentRefs: [{{name: beside, sectionName: raw}}]
  rules: [{{backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: beside-web}}]}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: beside-filters}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: beside-filters}}]
  retry: {{numRetries: 1, retryOn: {{triggers: [connect-failure]}}}}
  circuitBreaker: {{maxConnections: 50}}
"""
AI: Final = "---".join(
    (
        backend("beside-ai", key="sk-beside"),
        route("beside-ai", "beside", {"m1": "[{name: beside-ai}]"}).replace(
            "{name: beside}", "{name: beside, sectionName: shared}"
        ),
    )
)
Named = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dump:
    """What Envoy has, by name, without when it got it."""

    listeners: Named
    clusters: Named
    hosts: dict[str, Named]
    """RouteConfiguration → virtual hosts"""

    def routes(self, listener: str) -> dict[str, list[Any]]:
        """Virtual host → the routes of the user, in order, of the RouteConfiguration of one listener."""
        (found,) = (hosts for name, hosts in self.hosts.items() if name.endswith(f"/{listener}"))
        users = {
            name: [each for each in listed(host) if "/beside-ai/" not in each["name"]] for name, host in found.items()
        }
        return {name: each for name, each in users.items() if each}


def listed(host: Named) -> list[Named]:
    """The routes of a virtual host that a request without a token meets (docs/adr/0012)."""
    routes: list[Named] = host.get("routes", [])
    if "matcher" in host:
        routes = host["matcher"]["on_no_match"]["action"]["typed_config"]["routes"]
    return routes


def dumped(proxy: Proxy) -> Dump:
    def configs(resource: str) -> list[dict[str, Any]]:
        found = jsonlib.decode(proxy.admin(f"/config_dump?resource={resource}").encode(), dict[str, Any])
        return found.get("configs", [])  # type: ignore[no-any-return]

    listeners = {each["name"]: each["active_state"]["listener"] for each in configs("dynamic_listeners")}
    clusters = {each["cluster"]["name"]: each["cluster"] for each in configs("dynamic_active_clusters")}
    tables = [each["route_config"] for each in configs("dynamic_route_configs")]
    hosts = {each["name"]: {host["name"]: host for host in each.get("virtual_hosts", ())} for each in tables}
    return Dump(listeners, clusters, hosts)


@dataclass
class Beside:
    proxy: Proxy
    alone: Dump
    """without hooks and AI routes"""
    together: Dump


@pytest.fixture(scope="module")
def beside(live: Live, client_of_module: Callable[[int], httpx.Client]) -> Beside:
    """One Gateway before anything of ours was there, and after."""
    live.envoy_gateway.stop()
    live.envoy_gateway.start(envoy_gateway.configuration(hooks=False))
    try:
        live.apply(USERS)
        proxy = Proxy(live.api, live.processes, live.folder, "default/beside", len(live.proxies))
        live.proxies["default/beside"] = proxy
        live.envoy_gateway.wait(proxy.workload, "a Deployment for default/beside")
        assert not proxy.roll_out()
        proxy.create_pod()
        assert "ai-gateway-extproc" not in str(proxy.pod)
        proxy.start()
        for port in (SHARED, PLAIN):
            served(client_of_module(port), "/web")
        served(client_of_module(RAW), "/chat/completions")
        alone = dumped(proxy)
    finally:
        live.envoy_gateway.stop()
        live.envoy_gateway.start()
    live.apply(AI)
    wait_until(proxy.roll_out, lambda: f"the Gateway is to have the filter\n{live.controller.log()[-3000:]}")
    proxy.stop()
    proxy.create_pod()
    proxy.start()
    assert proxy.has_filter
    served(client_of_module(SHARED), "/v1/chat/completions")
    for port in (SHARED, PLAIN):
        served(client_of_module(port), "/web")
    return Beside(proxy, alone, dumped(proxy))


@pytest.fixture(scope="module")
def client_of_module() -> Iterator[Callable[[int], httpx.Client]]:
    """HTTP clients by port; each request has a connection of its own, since listeners come and go."""
    opened: list[httpx.Client] = []

    def made(port: int) -> httpx.Client:
        limits = httpx.Limits(max_keepalive_connections=0)
        opened.append(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False, limits=limits))
        return opened[-1]

    yield made
    for each in opened:
        each.close()


def served(http: httpx.Client, path: str, **headers: str) -> httpx.Response:
    seen = ["no answer"]

    def look() -> httpx.Response | None:
        try:
            answer = http.post(path, json=CHAT, headers=headers)
        except httpx.HTTPError as exc:
            seen.append(repr(exc))
            return None
        seen.append(f"{answer.status_code} {answer.text}")
        return answer if answer.status_code == 200 else None

    answer = wait_until(look, lambda: f"{http.base_url}{path} is served: {seen[-1]}")
    assert answer is not None
    return answer


def test_listeners_without_ai_routes_are_what_envoy_gateway_made(beside: Beside) -> None:
    untouched = [name for name in beside.alone.listeners if not name.endswith("/shared")]
    assert len(untouched) >= 2
    for name in untouched:
        assert beside.together.listeners[name] == beside.alone.listeners[name]
    assert set(beside.together.listeners) == set(beside.alone.listeners)


def test_users_routes_are_what_envoy_gateway_made(beside: Beside) -> None:
    alone, together = beside.alone.routes("shared"), beside.together.routes("shared")
    assert sum(len(each) for each in alone.values()) >= 4
    assert together == alone
    (plain,) = (name for name in beside.alone.hosts if name.endswith("/plain"))
    assert beside.together.hosts[plain] == beside.alone.hosts[plain]


def test_users_clusters_are_what_envoy_gateway_made(beside: Beside) -> None:
    users = [name for name in beside.alone.clusters if "/beside-" in name]
    assert len(users) >= 3
    for name in users:
        assert beside.together.clusters[name] == beside.alone.clusters[name]


def test_users_routes_work_with_and_without_the_filters_process(
    live: Live, beside: Beside, client_of_module: Callable[[int], httpx.Client]
) -> None:
    def check() -> None:
        live.provider.forget()
        for port in (SHARED, PLAIN):
            http = client_of_module(port)
            answer = http.post("/web", json=CHAT, headers={"x-gone": "1", "authorization": "Bearer of-the-client"})
            assert answer.status_code == 200
            assert answer.headers["x-answered"] == "yes"
            assert http.get("/moved").headers["location"].startswith("http://moved.test")
        hosted = client_of_module(SHARED).post("/a/1", json=CHAT, headers={"host": "web.test"})
        # The provider's own answer to a path that it does not know.
        assert (hosted.status_code, "recorder" in hosted.text) == (404, True)
        assert client_of_module(RAW).post("/chat/completions", json=CHAT).status_code == 200
        recorded = [dict(each["headers"]) for each in live.provider.recorded()]
        assert len(recorded) == 4
        for headers in recorded[:2]:
            assert headers["x-users"] == "own"
            assert "x-gone" not in headers
            assert headers["authorization"] == "Bearer of-the-client"

    check()
    live.processes.end(f"{beside.proxy.name}-filter", signal.SIGKILL)
    try:
        check()
        assert client_of_module(SHARED).post("/v1/chat/completions", json=CHAT).status_code in (500, 503, 504)
        assert len(live.provider.recorded()) == 4
    finally:
        beside.proxy.start_filter()
    served(client_of_module(SHARED), "/v1/chat/completions")
    check()


def test_a_gateway_is_what_it_was_when_its_last_ai_route_is_gone(live: Live, beside: Beside) -> None:
    live.api.delete(live.api.get(AIGW, "AIGatewayRoute", "beside-ai"))
    try:
        wait_until(lambda: dumped(beside.proxy) == beside.alone, lambda: difference(beside.alone, dumped(beside.proxy)))
    finally:
        live.apply(AI)


def difference(before: Dump, after: Dump) -> str:
    parts = (("listeners", before.listeners, after.listeners), ("clusters", before.clusters, after.clusters))
    lines = [
        f"{kind} {name}\n  {old.get(name)}\n  {new.get(name)}"
        for kind, old, new in (*parts, ("routes", before.hosts, after.hosts))
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]
    return "\n".join(lines)
