"""A file of a user's: TLS to providers, failover over three of them, credentials, clients that must sign in."""

import asyncio
import base64
import hmac
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.upstream.http_server import Request, Response, Server, serve
from filters.contract import jsonlib
from tests.standalone import files
from tests.standalone.gateway import Gateway, refused, running

pytestmark = pytest.mark.envoy

CERTIFICATES = Path(__file__).parent / "certificates"
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CLIENT_KEY = "sk-clients-own-key"


def certificate(name: str) -> str:
    return (CERTIFICATES / name).read_text()


async def openai(_: Request) -> Response:
    message = {"role": "assistant", "content": "from openai"}
    body = {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    return Response(headers=(("content-type", "application/json"),), body=jsonlib.encode(body))


async def anthropic(_: Request) -> Response:
    body = {
        "id": "x",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "from anthropic"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    return Response(headers=(("content-type", "application/json"),), body=jsonlib.encode(body))


async def down(_: Request) -> Response:
    return Response(status=503, headers=(("content-type", "application/json"),), body=b'{"error":{"message":"down"}}')


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


async def ask(gateway: Gateway, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        return await client.post(f"{gateway.url}/v1/chat/completions", json=QUESTION, headers=headers)


def tls_policy(name: str, hostname: str, ca: str | None) -> list[files.Document]:
    validation: files.Document = {"hostname": hostname}
    if ca is None:
        validation["wellKnownCACertificates"] = "System"
        return [_policy(name, validation)]
    validation["caCertificateRefs"] = [{"group": "", "kind": "ConfigMap", "name": f"{name}-ca"}]
    return [_policy(name, validation), files.object_("v1", "ConfigMap", f"{name}-ca", data={"ca.crt": ca})]


def _policy(name: str, validation: files.Document) -> files.Document:
    target = {"group": files.EG, "kind": "Backend", "name": name}
    spec = {"targetRefs": [target], "validation": validation}
    return files.object_(f"{files.GATEWAY_API}/v1", "BackendTLSPolicy", name, spec)


class Tls:
    """A provider behind TLS that remembers which names clients asked for."""

    def __init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(CERTIFICATES / "provider.crt", CERTIFICATES / "provider.key")
        self.names: list[str | None] = []
        self.context.sni_callback = lambda _, name, __: self.names.append(name)  # type: ignore[assignment]


@pytest.fixture
async def secure() -> AsyncIterator[tuple[Server, Tls]]:
    tls = Tls()
    async with serve(openai, tls=tls.context, record=True) as server:
        yield server, tls


async def test_tls_to_a_provider_uses_the_given_ca_and_the_policys_name(
    tmp_path: Path, secure: tuple[Server, Tls]
) -> None:
    server, tls = secure
    text = files.text(
        files.gateway(),
        files.route({"m": [{"name": "b"}]}),
        files.backend("b", "OpenAI", server.port, host="localhost"),
        tls_policy("b", "provider.test", certificate("ca.crt")),
        files.api_key("b", "key-of-b"),
    )
    with running(tmp_path / "run", text) as gateway:
        answer = await ask(gateway)
    assert answer.json()["choices"][0]["message"]["content"] == "from openai"
    assert set(tls.names) == {"provider.test"}
    assert server.requests[-1].headers.get("authorization") == "Bearer key-of-b"


@pytest.mark.parametrize(
    ("hostname", "ca"), [("other.test", "ca.crt"), ("provider.test", None)], ids=["wrong name", "unknown CA"]
)
async def test_a_provider_that_cannot_be_trusted_gets_nothing(
    tmp_path: Path, secure: tuple[Server, Tls], hostname: str, ca: str | None
) -> None:
    server, _ = secure
    text = files.text(
        files.gateway(),
        files.route({"m": [{"name": "b"}]}),
        files.backend("b", "OpenAI", server.port, host="localhost"),
        tls_policy("b", hostname, certificate(ca) if ca else None),
    )
    with running(tmp_path / "run", text) as gateway:
        assert (await ask(gateway)).status_code == 503
    assert server.requests == []


async def test_failover_goes_from_plain_ip_to_tls_to_another_schema_and_leaks_nothing(
    tmp_path: Path, secure: tuple[Server, Tls]
) -> None:
    """Three providers, three priorities: plain text by address, TLS by name, Anthropic."""
    _, tls = secure
    async with (
        serve(down, record=True) as first,
        serve(down, tls=tls.context, record=True) as second,
        serve(anthropic, record=True) as third,
    ):
        refs = [
            {"name": "first", "priority": 0, "modelNameOverride": "first-model"},
            {"name": "second", "priority": 1, "modelNameOverride": "second-model"},
            {"name": "third", "priority": 2, "modelNameOverride": "third-model"},
        ]
        text = files.text(
            files.gateway(),
            files.route({"m": refs}),
            files.retry(),
            files.backend("first", "OpenAI", first.port),
            files.backend("second", "OpenAI", second.port, host="localhost"),
            files.backend("third", "Anthropic", third.port),
            tls_policy("second", "provider.test", certificate("ca.crt")),
            files.api_key("first", "key-of-first"),
            files.api_key("second", "key-of-second"),
            files.api_key("third", "key-of-third", "AnthropicAPIKey"),
        )
        with running(tmp_path / "run", text) as gateway:
            answer = await ask(gateway, authorization=f"Bearer {CLIENT_KEY}")
        assert answer.json()["choices"][0]["message"]["content"] == "from anthropic", answer.text
        received = [server.requests[-1] for server in (first, second, third)]
    keys = ["authorization", "authorization", "x-api-key"]
    for request, name, header in zip(received, ("first", "second", "third"), keys, strict=True):
        everything = f"{request.headers.items} {request.body!r}"
        assert f"key-of-{name}" in request.headers.get(header)
        assert jsonlib.decode(request.body, dict[str, Any])["model"] == f"{name}-model"
        assert int(request.headers.get("content-length")) == len(request.body)
        assert CLIENT_KEY not in everything
        for other in {"first", "second", "third"} - {name}:
            assert f"key-of-{other}" not in everything
            assert f"{other}-model" not in everything
        assert not [each for each in request.headers if each.startswith("x-ai-eg-") and each != "x-ai-eg-model"]
    assert [request.target for request in received] == ["/v1/chat/completions", "/v1/chat/completions", "/v1/messages"]
    assert "authorization" not in received[2].headers


async def test_a_client_that_knows_a_rules_token_still_cannot_use_it(tmp_path: Path) -> None:
    async with serve(openai, record=True) as server:
        text = files.text(
            files.gateway(), files.route({"hidden": [{"name": "b"}]}), files.backend("b", "OpenAI", server.port)
        )
        with running(tmp_path / "run", text) as gateway:
            document = next(gateway.runtime.glob("*/filter-*.json"))
            (rule,) = jsonlib.decode(document.read_bytes(), dict[str, Any])["rules"]
            ours = {"x-ai-eg-rule": rule["token"], "X-Ai-Eg-Model": "hidden", "x-ai-eg-anything": "1"}
            # Model m is not served; on a path of no endpoint nothing is mediated at all.
            assert (await ask(gateway, **ours)).status_code == 404
            async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
                assert (await client.get("/anything", headers=ours)).status_code == 404
                assert server.requests == []
                body = {**QUESTION, "model": "hidden"}
                assert (await client.post("/v1/chat/completions", json=body, headers=ours)).status_code == 200
        assert "x-ai-eg-anything" not in server.requests[0].headers


async def test_weights_share_the_requests(tmp_path: Path) -> None:
    async with serve(openai, record=True) as one, serve(anthropic, record=True) as two:
        text = files.text(
            files.gateway(),
            files.route({"m": [{"name": "one", "weight": 1}, {"name": "two", "weight": 1}]}),
            files.backend("one", "OpenAI", one.port),
            files.backend("two", "Anthropic", two.port),
        )
        with running(tmp_path / "run", text) as gateway:
            for _ in range(24):
                assert (await ask(gateway)).status_code == 200
        assert len(one.requests) + len(two.requests) == 24
        assert len(one.requests) > 2
        assert len(two.requests) > 2


async def test_an_https_listener_serves_with_its_certificate(tmp_path: Path) -> None:
    async with serve(openai) as server:
        listener = {
            "name": "https",
            "protocol": "HTTPS",
            "port": "PORT",
            "hostname": "gateway.test",
            "tls": {"certificateRefs": [{"name": "cert"}]},
        }
        keys = {"tls.crt": certificate("gateway.crt"), "tls.key": certificate("gateway.key")}
        text = files.text(
            files.gateway(listener),
            files.route({"m": [{"name": "b"}]}),
            files.backend("b", "OpenAI", server.port),
            files.object_("v1", "Secret", "cert", type="kubernetes.io/tls", stringData=keys),
        )
        with running(tmp_path / "run", text) as gateway:
            trusting = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.crt"))
            async with httpx.AsyncClient(verify=trusting, timeout=20, trust_env=False) as client:
                answer = await client.post(
                    f"https://127.0.0.1:{gateway.port}/v1/chat/completions",
                    json=QUESTION,
                    headers={"host": "gateway.test"},
                    extensions={"sni_hostname": "gateway.test"},
                )
            assert answer.status_code == 200, answer.text
            secret = certificate("gateway.key").splitlines()[1]
            for path in gateway.state.rglob("*"):
                assert path.is_dir() or secret.encode() not in path.read_bytes()


async def test_clients_sign_in_before_anything_else_happens(tmp_path: Path) -> None:
    async with serve(openai, record=True) as server:
        policy = files.object_(
            f"{files.EG}/v1alpha1",
            "SecurityPolicy",
            "clients",
            {
                "targetRefs": [{"group": files.GATEWAY_API, "kind": "Gateway", "name": "aigw"}],
                "apiKeyAuth": {
                    "credentialRefs": [{"name": "clients"}],
                    "extractFrom": [{"headers": ["x-client-key"]}],
                    "forwardClientIDHeader": "x-client",
                    "sanitize": True,
                },
            },
        )
        text = files.text(
            files.gateway(),
            files.route({"m": [{"name": "b"}]}),
            files.backend("b", "OpenAI", server.port),
            policy,
            files.object_("v1", "Secret", "clients", stringData={"alice": "key-of-alice"}),
        )
        with running(tmp_path / "run", text) as gateway:
            async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
                assert (await client.get("/v1/models")).status_code == 401
            assert (await ask(gateway)).status_code == 401
            assert (await ask(gateway, **{"x-client-key": "wrong"})).status_code == 401
            assert (await ask(gateway, **{"x-client-key": "key-of-alice"})).status_code == 200
        (request,) = server.requests
        assert request.headers.get("x-client") == "alice"
        assert "x-client-key" not in request.headers


def token(key: bytes, **claims: object) -> str:
    """A JWT, signed with HS256."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    head = part(jsonlib.encode({"alg": "HS256", "typ": "JWT", "kid": "k1"}))
    signed = f"{head}.{part(jsonlib.encode(claims))}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), 'sha256'))}"


async def test_clients_sign_in_with_a_jwt(tmp_path: Path) -> None:
    key = b"not-a-secret"
    encoded = base64.urlsafe_b64encode(key).rstrip(b"=").decode()
    keys = jsonlib.encode({"keys": [{"kty": "oct", "kid": "k1", "alg": "HS256", "k": encoded}]}).decode()
    provider = {
        "name": "idp",
        "issuer": "https://idp.test",
        "audiences": ["llm"],
        "localJWKS": {"type": "Inline", "inline": keys},
        "claimToHeaders": [{"header": "x-tenant", "claim": "tenant"}],
    }
    target = {"group": files.GATEWAY_API, "kind": "HTTPRoute", "name": "llm"}
    spec = {"targetRefs": [target], "jwt": {"providers": [provider]}}
    async with serve(openai, record=True) as server:
        text = files.text(
            files.gateway(),
            files.route({"m": [{"name": "b"}]}),
            files.backend("b", "OpenAI", server.port),
            files.object_(f"{files.EG}/v1alpha1", "SecurityPolicy", "jwt", spec),
        )
        claims = {"iss": "https://idp.test", "aud": "llm", "exp": 4_102_444_800, "tenant": "blue"}
        with running(tmp_path / "run", text) as gateway:
            assert (await ask(gateway)).status_code == 401
            for bad in (
                token(b"other", **claims),
                token(key, **{**claims, "aud": "x"}),
                token(key, **{**claims, "exp": 1}),
            ):
                assert (await ask(gateway, authorization=f"Bearer {bad}")).status_code in (401, 403)
            assert server.requests == []
            answer = await ask(gateway, authorization=f"Bearer {token(key, **claims)}")
            assert answer.status_code == 200, answer.text
        assert server.requests[0].headers.get("x-tenant") == "blue"


async def test_two_policies_on_one_host_are_refused(tmp_path: Path) -> None:
    """The first AI route of a host authenticates for all of them."""
    policy = files.object_(
        f"{files.EG}/v1alpha1",
        "SecurityPolicy",
        "only-one",
        {
            "targetRefs": [{"group": files.GATEWAY_API, "kind": "HTTPRoute", "name": "one"}],
            "apiKeyAuth": {"credentialRefs": [{"name": "c"}], "extractFrom": [{"headers": ["x-client-key"]}]},
        },
    )
    text = files.text(
        files.gateway(),
        files.route({"m": [{"name": "b"}]}, name="one"),
        files.route({"n": [{"name": "b"}]}, name="two"),
        files.backend("b", "OpenAI", 9),
        policy,
        files.object_("v1", "Secret", "c", stringData={"alice": "key-of-alice"}),
    ).replace("PORT", "19998")
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    message = await in_thread(refused, tmp_path, str(file))
    assert "SecurityPolicy default/only-one" in message
    assert "target the Gateway" in message


async def test_secrets_are_in_no_log_file_argument_or_dump(tmp_path: Path) -> None:
    """At the most talkative level, with requests that succeed, fail, and fail over."""
    secrets = ("SECRET-KEY-ONE", "SECRET-KEY-TWO", "SECRET-AWS-KEY")
    aws = f"[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = {secrets[2]}\n"
    async with serve(openai, record=True) as one, serve(down) as two:
        bedrock = [
            files.object_("v1", "Secret", "aws", stringData={"credentials": aws}),
            files.object_(
                f"{files.GROUP}/v1beta1",
                "BackendSecurityPolicy",
                "aws",
                {
                    "targetRefs": [{"group": files.GROUP, "kind": "AIServiceBackend", "name": "three"}],
                    "type": "AWSCredentials",
                    "awsCredentials": {"region": "us-east-1", "credentialsFile": {"secretRef": {"name": "aws"}}},
                },
            ),
        ]
        proxy = {"logging": {"level": {"default": "trace", "router": "trace", "http": "debug"}}}
        base = files.gateway()
        reference = {"group": files.EG, "kind": "EnvoyProxy", "name": "proxy"}
        base[1]["spec"]["infrastructure"] = {"parametersRef": reference}
        text = files.text(
            base,
            files.object_(f"{files.EG}/v1alpha1", "EnvoyProxy", "proxy", proxy),
            files.route(
                {
                    "m": [{"name": "two", "priority": 0}, {"name": "one", "priority": 1}],
                    "plain": [{"name": "one"}],
                    "aws": [{"name": "three"}],
                }
            ),
            files.retry(),
            files.backend("one", "OpenAI", one.port),
            files.backend("two", "Anthropic", two.port),
            files.backend("three", "AWSBedrock", two.port),
            files.api_key("one", secrets[0]),
            files.api_key("two", secrets[1], "AnthropicAPIKey"),
            bedrock,
        )
        more = {"OPENAI_API_KEY": secrets[0], "AWS_SECRET_ACCESS_KEY": secrets[2]}
        with running(tmp_path / "run", text, "--debug", more=more) as gateway:
            # The file itself holds them, as its owner wrote it.
            (gateway.directory / "gateway.yaml").unlink()
            for model in ("m", "plain", "aws", "nothing"):
                await in_thread(gateway.chat, model)
            assert one.requests[-1].headers.get("authorization") == f"Bearer {secrets[0]}"
            socket = next(gateway.runtime.glob("*/envoy.sock"))
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
            async with httpx.AsyncClient(transport=transport, timeout=20) as client:
                seen = {
                    path: (await client.get(f"http://envoy{path}")).text
                    for path in ("/config_dump?include_eds", "/server_info", "/clusters", "/stats")
                }
            async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
                metrics = (await client.get(f"http://127.0.0.1:{gateway.admin_port}/metrics")).text
            arguments = " ".join(gateway.children().values())
            seen |= gateway.environments()
            for path in gateway.state.rglob("*"):
                if path.is_file():
                    seen[str(path)] = path.read_text(errors="replace")
        seen |= {"stderr": gateway.err(), "stdout": gateway.out(), "metrics": metrics, "arguments": arguments}
        assert "debug" in seen["stderr"]
        for where, content in seen.items():
            for secret in secrets:
                assert secret not in content, where
