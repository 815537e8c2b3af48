"""Users' policies beside AI routes: what a provider gets through a real Envoy, who asks, who sees what, how often."""

import asyncio
import base64
import contextlib
import hmac
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from aigw.cli import app
from conformance.upstream.http_server import Handler, Request, Response, Server, serve
from conformance.upstream.recorder import Recorder
from filters.contract import jsonlib
from tests.gateway.live.conftest import Live
from tests.gateway.live.worlds import CHAT, backend, gateway
from tests.support.envoy_gateway import Provider
from tests.support.waiting import LIMIT, wait_until

CERTIFICATES: Final = Path(__file__).parents[2] / "standalone" / "certificates"
OPEN, KEYS, TOKENS, SCRIPTED, SECURE, SECOND = 8900, 8901, 8902, 8903, 8904, 8910
TLS_PORT: Final = 7003
REFUSING_PORT: Final = 7004
SIGNING_KEY: Final = b"not-a-secret"
CLAIMS: Final = {"iss": "https://idp.test", "aud": "llm", "exp": 4_102_444_800, "tenant": "blue"}
"""Valid until the year 2100."""


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def indented(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)


JWKS: Final = {"keys": [{"kty": "oct", "kid": "k1", "alg": "HS256", "k": encoded(SIGNING_KEY)}]}
GATEWAY: Final = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: policies}}
spec:
  gatewayClassName: eg
  listeners:
    - {{name: open, protocol: HTTP, port: {OPEN}}}
    - {{name: keys, protocol: HTTP, port: {KEYS}}}
    - {{name: tokens, protocol: HTTP, port: {TOKENS}}}
    - {{name: scripted, protocol: HTTP, port: {SCRIPTED}}}
    - name: secure
      protocol: HTTPS
      port: {SECURE}
      hostname: gateway.test
      tls: {{certificateRefs: [{{name: policies-certificate}}]}}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {{name: policies-certificate}}
stringData:
  tls.crt: |
    {indented((CERTIFICATES / "gateway.crt").read_text(), 4)}
  tls.key: |
    {indented((CERTIFICATES / "gateway.key").read_text(), 4)}
"""
LABELLED: Final = gateway("policies-second", SECOND).replace(
    "{name: policies-second}", "{name: policies-second, labels: {policies: second}}"
)
API_KEYS: Final = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: policies-keys}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: policies, sectionName: keys}]
  apiKeyAuth:
    credentialRefs: [{name: policies-clients}]
    extractFrom: [{headers: [x-client-key]}]
    forwardClientIDHeader: x-client
    sanitize: true
---
apiVersion: v1
kind: Secret
metadata: {name: policies-clients}
stringData: {alice: key-of-alice}
"""
JWT: Final = f"""
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {{name: policies-tokens}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: policies, sectionName: tokens}}]
  jwt:
    providers:
      - name: idp
        issuer: https://idp.test
        audiences: [llm]
        localJWKS: {{type: Inline, inline: '{jsonlib.encode(JWKS).decode()}'}}
        claimToHeaders: [{{header: x-tenant, claim: tenant}}]
"""
LUA: Final = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: {name: policies-scripted}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: policies, sectionName: scripted}]
  lua:
    - type: Inline
      inline: |
        local names = {":path", "authorization", "x-api-key", "x-ai-eg-rule", "x-ai-eg-model"}
        function envoy_on_request(handle)
          local seen = "seen"
          for _, name in ipairs(names) do
            seen = seen .. " " .. name .. "=" .. (handle:headers():get(name) or "none")
          end
          handle:streamInfo():dynamicMetadata():set("test", "seen", seen)
        end
        function envoy_on_response(handle)
          local found = handle:streamInfo():dynamicMetadata():get("test")
          if found then
            handle:headers():add("x-seen", found["seen"])
          end
        end
"""
RETRIES: Final = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: policies-open}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: policies-open}]
  retry:
    numRetries: 2
    retryOn: {triggers: [retriable-status-codes], httpStatusCodes: [503]}
    perRetry: {backOff: {baseInterval: 10ms, maxInterval: 20ms}}
"""
TRUST: Final = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {{name: policies-tls}}
spec:
  targetRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: policies-tls}}]
  validation:
    hostname: provider.test
    caCertificateRefs: [{{group: "", kind: ConfigMap, name: policies-ca}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: policies-ca}}
data:
  ca.crt: |
    {indented((CERTIFICATES / "ca.crt").read_text(), 4)}
"""


REFUSED: Final = {
    "BackendTrafficPolicy": """
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: policies-secure}]
  rateLimit: {type: Global, global: {rules: [{limit: {requests: 1, unit: Hour}}]}}
""",
    "SecurityPolicy": """
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: policies-second}]
  basicAuth: {users: {name: not-there}}
""",
    "EnvoyExtensionPolicy": """
spec:
  targetSelectors: [{kind: Gateway, matchLabels: {policies: second}}]
  extProc: [{backendRefs: [{name: not-there, port: 9000}]}]
""",
    "ClientTrafficPolicy": """
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: policies-second, sectionName: http}]
  connection: {bufferLimit: 8Gi}
""",
    "BackendTLSPolicy": """
spec:
  targetRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: policies-shared}]
  validation: {hostname: provider.test, caCertificateRefs: [{group: "", kind: ConfigMap, name: not-there}]}
""",
}
"""kind → what Envoy Gateway cannot do"""


def route(section: str, models: dict[str, str], *more_parents: str) -> str:
    """`models`: model → AIServiceBackend."""
    rules = "".join(
        f"    - matches: [{{headers: [{{name: x-ai-eg-model, value: {model}}}]}}]\n"
        f"      backendRefs: [{{name: {name}}}]\n"
        for model, name in models.items()
    )
    parents = ", ".join(
        [f"{{name: policies, sectionName: {section}}}", *(f"{{name: {each}}}" for each in more_parents)]
    )
    return f"""
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {{name: policies-{section}}}
spec:
  parentRefs: [{parents}]
  rules:
{rules}"""


@contextlib.contextmanager
def serving(handler: Handler, port: int, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A provider in a thread of its own."""
    started = threading.Event()
    running: list[tuple[Server, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        async with serve(handler, host="0.0.0.0", port=port, tls=tls, record=True) as server:
            ended = asyncio.Event()
            running.append((server, asyncio.get_running_loop(), ended))
            started.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert started.wait(LIMIT)
    ((server, loop, ended),) = running
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


@pytest.fixture
def secure_provider() -> Iterator[Server]:
    """Behind TLS, as `provider.test` by the tests' authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "provider.crt", CERTIFICATES / "provider.key")
    with serving(Recorder(), TLS_PORT, context) as server:
        yield server


@pytest.fixture
def refusing_provider() -> Iterator[Server]:
    """Overloaded, whatever it is asked."""

    async def refuse(_: Request) -> Response:
        return Response(
            status=503, headers=(("content-type", "application/json"),), body=b'{"error":{"message":"overloaded"}}'
        )

    with serving(refuse, REFUSING_PORT) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def world(live: Live) -> None:
    live.apply(
        "---".join(
            (
                *(GATEWAY, LABELLED, API_KEYS, JWT, LUA, RETRIES, TRUST),
                backend("policies-plain", key="sk-plain"),
                backend("policies-shared", key="sk-shared"),
                backend("policies-tls", key="sk-tls", port=TLS_PORT),
                backend("policies-refused", key="sk-refused", port=REFUSING_PORT),
                route("open", {"m1": "policies-plain", "m-tls": "policies-tls", "m-refused": "policies-refused"}),
                route("keys", {"m1": "policies-plain"}),
                route("tokens", {"m1": "policies-plain"}),
                route("scripted", {"m1": "policies-plain"}),
                route("secure", {"m-shared": "policies-shared"}, "policies-second"),
            )
        )
    )
    live.proxy("default/policies")
    live.proxy("default/policies-second")


def asked(http: httpx.Client, model: str = "m1", **headers: str) -> httpx.Response | None:
    """None when there is no answer."""
    try:
        return http.post("/v1/chat/completions", json={**CHAT, "model": model}, headers=headers)
    except httpx.HTTPError:
        return None


def answered(http: httpx.Client, status: int, model: str = "m1", **headers: str) -> httpx.Response:
    """As soon as the answer has this status."""

    def look() -> httpx.Response | None:
        found = asked(http, model, **headers)
        return found if found is not None and found.status_code == status else None

    def what() -> str:
        found = asked(http, model, **headers)
        return f"{model} is answered with {status}: {'no answer' if found is None else (found.status_code, found.text)}"

    answer = wait_until(look, what)
    assert answer is not None
    return answer


def last(provider: Provider) -> dict[str, str]:
    """Headers of the newest request that the provider got."""
    return dict(provider.recorded()[-1]["headers"])


def token(key: bytes, claims: dict[str, Any]) -> str:
    """A JWT, signed with HS256."""
    head = encoded(jsonlib.encode({"alg": "HS256", "typ": "JWT", "kid": "k1"}))
    signed = f"{head}.{encoded(jsonlib.encode(claims))}"
    return f"{signed}.{encoded(hmac.digest(key, signed.encode(), 'sha256'))}"


def test_clients_without_their_api_key_reach_no_provider(live: Live, client: Callable[[int], httpx.Client]) -> None:
    http = client(KEYS)
    answered(http, 200, **{"x-client-key": "key-of-alice"})
    live.provider.forget()
    answered(http, 401)
    answered(http, 401, **{"x-client-key": "wrong", "x-ai-eg-model": "m1"})
    assert http.get("/v1/models").status_code == 401
    assert live.provider.recorded() == []
    answered(http, 200, **{"x-client-key": "key-of-alice"})
    (request,) = live.provider.recorded()
    headers = dict(request["headers"])
    assert headers["authorization"] == "Bearer sk-plain"
    assert headers["x-client"] == "alice"
    assert "key-of-alice" not in str(request)


def test_clients_without_a_valid_token_reach_no_provider(live: Live, client: Callable[[int], httpx.Client]) -> None:
    http = client(TOKENS)
    good = f"Bearer {token(SIGNING_KEY, CLAIMS)}"
    answered(http, 200, authorization=good)
    live.provider.forget()
    answered(http, 401)
    bad = (
        token(b"other", CLAIMS),
        token(SIGNING_KEY, {**CLAIMS, "aud": "x"}),
        token(SIGNING_KEY, {**CLAIMS, "exp": 1}),
    )
    for each in bad:
        found = asked(http, authorization=f"Bearer {each}")
        assert found is not None
        assert found.status_code in (401, 403)
    assert live.provider.recorded() == []
    answered(http, 200, authorization=good)
    (request,) = live.provider.recorded()
    assert dict(request["headers"])["authorization"] == "Bearer sk-plain"
    assert dict(request["headers"])["x-tenant"] == "blue"
    assert good.removeprefix("Bearer ") not in str(request)


def test_a_users_script_after_our_filter_never_sees_the_providers_credential(
    live: Live, client: Callable[[int], httpx.Client]
) -> None:
    answer = answered(client(SCRIPTED), 200, authorization="Bearer of-the-client")
    seen = answer.headers["x-seen"]
    assert ":path=/v1/chat/completions" in seen
    assert "authorization=Bearer of-the-client" in seen
    assert "x-ai-eg-model=m1" in seen
    assert "sk-plain" not in seen
    assert last(live.provider)["authorization"] == "Bearer sk-plain"


def test_no_request_passes_as_it_came_while_a_users_script_comes_and_goes(
    live: Live, client: Callable[[int], httpx.Client]
) -> None:
    """With it the plan changes, and Envoy keeps the cluster without our filter until that with it is warm."""
    http = client(OPEN)
    script = live.api.get("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy", "policies-scripted", "default")
    script["metadata"] = {"name": "policies-late", "namespace": "default"}
    script["spec"]["targetRefs"][0]["sectionName"] = "open"

    def served(seen: bool) -> bool:
        found = asked(http, authorization="Bearer of-the-client")
        return found is not None and found.status_code == 200 and ("x-seen" in found.headers) == seen

    wait_until(lambda: served(False), lambda: "served")
    live.provider.forget()
    live.api.apply(script)
    wait_until(lambda: served(True), lambda: "served with the script")
    live.api.delete(script)
    wait_until(lambda: served(False), lambda: "served without the script")
    credentials = {dict(each["headers"])["authorization"] for each in live.provider.recorded()}
    assert credentials == {"Bearer sk-plain"}


def test_an_https_listener_serves_with_its_certificate(live: Live) -> None:
    trusting = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.crt"))
    with httpx.Client(
        base_url=f"https://127.0.0.1:{SECURE}",
        headers={"host": "gateway.test"},
        verify=trusting,
        timeout=30,
        trust_env=False,
    ) as http:

        def look() -> bool:
            try:
                answer = http.post(
                    "/v1/chat/completions",
                    json={**CHAT, "model": "m-shared"},
                    extensions={"sni_hostname": "gateway.test"},
                )
            except httpx.HTTPError:
                return False
            return answer.status_code == 200

        wait_until(look, lambda: "the HTTPS listener serves the route")
    assert last(live.provider)["authorization"] == "Bearer sk-shared"


def test_gateways_that_share_a_route_share_nothing_else(live: Live, client: Callable[[int], httpx.Client]) -> None:
    http = client(SECOND)
    answered(http, 200, "m-shared")
    assert last(live.provider)["authorization"] == "Bearer sk-shared"
    live.provider.forget()
    answered(http, 404, "m1")
    answered(http, 404, "m-tls")
    assert live.provider.recorded() == []
    assert [each["id"] for each in http.get("/v1/models").json()["data"]] == ["m-shared"]
    kept = {name: state(live, name) for name in ("default/policies", "default/policies-second")}
    assert b"policies-shared" in kept["default/policies-second"]
    assert b"policies-plain" in kept["default/policies"]
    for other in (b"policies-plain", b"policies-tls", b"sk-plain", b"sk-tls"):
        assert other not in kept["default/policies-second"]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_policy_that_envoy_gateway_does_not_accept_is_named_by_doctor(
    live: Live, client: Callable[[int], httpx.Client], kind: str
) -> None:
    http = client(SECOND)
    answered(http, 200, "m-shared")
    group = "gateway.networking.k8s.io/v1" if kind == "BackendTLSPolicy" else "gateway.envoyproxy.io/v1alpha1"
    metadata = {"name": "policies-refused", "namespace": "default"}
    policy = {"apiVersion": group, "kind": kind, "metadata": metadata, **yaml.safe_load(REFUSED[kind])}
    live.api.apply(policy)
    try:
        answer = answered(http, 500, "m-shared")
        assert answer.json()["error"]["code"] == "proxy_error"

        def said() -> list[dict[str, Any]]:
            result = CliRunner().invoke(app, ["doctor", "--kubeconfig", str(live.api.kubeconfig), "--output", "json"])
            report = jsonlib.decode(result.stdout.encode(), dict[str, Any])
            (checked,) = (each for each in report["checks"] if each["check"] == "policies")
            return [each for each in checked["findings"] if each["severity"] == "error"]

        (finding,) = wait_until(said, "doctor names it", every=1)
        assert finding["title"].startswith(f"{kind} default/policies-refused for ")
        assert "is not accepted by Envoy Gateway" in finding["title"]
        assert "500 proxy_error" in finding["meaning"]
    finally:
        live.api.delete(policy)
    answered(http, 200, "m-shared")


def state(live: Live, name: str) -> bytes:
    """What the Gateway's filter keeps of the configuration that it got."""
    folder = live.folder / live.proxy(name).name / "state"
    return b"\n".join(each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file())


def test_a_provider_behind_tls_is_trusted_by_its_own_authority(
    live: Live, client: Callable[[int], httpx.Client], secure_provider: Server
) -> None:
    live.provider.forget()
    answered(client(OPEN), 200, "m-tls")
    assert secure_provider.requests[-1].headers.get("authorization") == "Bearer sk-tls"
    assert live.provider.recorded() == []


def test_a_users_retries_send_the_same_request_as_often_as_they_say(
    client: Callable[[int], httpx.Client], refusing_provider: Server
) -> None:
    http = client(OPEN)
    answered(http, 200)
    refusing_provider.requests.clear()
    answer = http.post("/v1/chat/completions", json={**CHAT, "model": "m-refused"})
    assert answer.status_code == 503
    assert "overloaded" in answer.text
    requests = refusing_provider.requests
    assert len(requests) == 3
    assert {each.body for each in requests} == {requests[0].body}
    assert {each.headers.get("authorization") for each in requests} == {"Bearer sk-refused"}
    assert {each.target for each in requests} == {"/v1/chat/completions"}
