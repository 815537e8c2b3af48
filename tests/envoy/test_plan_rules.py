"""The rules that came out of measurement (docs/architecture.md, "plans"), each against the real Envoy of `aigw run`.

A recording upstream stands for the providers: it notes every request, and fails the first ones when told to.
"""

import concurrent.futures
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from filters.contract import jsonlib
from tests.standalone import files
from tests.standalone.gateway import Gateway, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.envoy

ANSWER = jsonlib.encode(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)
MESSAGE = jsonlib.encode(
    {
        "id": "x",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "ok"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
)


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Upstream:
    """One provider: its requests, in order, and how many of them still fail."""

    answer: bytes
    port: int = 0
    failures: int = 0
    held: threading.Event | None = None
    """no answer before this is set"""
    seen: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, request: Seen) -> int:
        with self.lock:
            self.seen.append(request)
            if self.failures:
                self.failures -= 1
                return 503
            return 200


@contextlib.contextmanager
def upstream(answer: bytes, failures: int = 0) -> Iterator[Upstream]:
    provider = Upstream(answer, failures=failures)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = provider.take(Seen(self.path, headers, body))
            if provider.held is not None:
                provider.held.wait(10)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(provider.answer)))
            self.end_headers()
            self.wfile.write(provider.answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class World:
    gateway: Gateway
    client: httpx.Client
    one: Upstream
    two: Upstream

    def ask(self, model: str, content: str = "hi", headers: dict[str, str] | None = None) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": content}]}
        return self.client.post("/v1/chat/completions", json=body, headers=headers)

    def envoy(self, target: str) -> str:
        (path,) = self.gateway.runtime.rglob("envoy.sock")
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), trust_env=False) as client:
            return client.get(f"http://envoy{target}").text

    def configuration(self, kind: str) -> list[dict[str, Any]]:
        dump = jsonlib.decode(self.envoy("/config_dump").encode(), dict[str, list[dict[str, Any]]])
        return [found for section in dump["configs"] for found in _of_type(section, kind)]


def _of_type(node: object, kind: str) -> Iterator[dict[str, Any]]:
    """Every object below whose `@type` ends with `kind`."""
    if isinstance(node, dict):
        if str(node.get("@type", "")).endswith(kind):
            yield node
        for value in node.values():
            yield from _of_type(value, kind)
    elif isinstance(node, list):
        for value in node:
            yield from _of_type(value, kind)


def _matched_and_changed() -> files.Document:
    """A route whose match reads headers that do not reach the provider as they came."""
    headers = [
        {"name": "x-ai-eg-model", "value": "tenant"},
        {"name": "x-tenant", "value": "a"},
        {"name": "authorization", "type": "RegularExpression", "value": "Bearer .*"},
    ]
    refs = [{"name": "one", "headerMutation": {"remove": ["x-tenant"]}}]
    return files.object_(
        f"{files.GROUP}/v1beta1",
        "AIGatewayRoute",
        "tenants",
        {"parentRefs": [{"name": "aigw"}], "rules": [{"matches": [{"headers": headers}], "backendRefs": refs}]},
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`single` is served by one provider, `attempt` by two of different schemas, in order."""
    directory: Path = tmp_path_factory.mktemp("rules")
    with upstream(ANSWER) as one, upstream(MESSAGE) as two:
        text = files.text(
            files.gateway(),
            files.backend("one", "OpenAI", one.port),
            files.backend("two", "Anthropic", two.port),
            files.api_key("one", "key-one"),
            files.api_key("two", "key-two", "AnthropicAPIKey"),
            files.route(
                {
                    "single": [{"name": "one"}],
                    "attempt": [{"name": "one", "priority": 0}, {"name": "two", "priority": 1}],
                }
            ),
            _matched_and_changed(),
            files.retry(),
        )
        with (
            running(directory, text) as gateway,
            httpx.Client(base_url=gateway.url, timeout=20, trust_env=False) as client,
        ):
            yield World(gateway, client, one, two)


@pytest.fixture(autouse=True)
def _forget(world: World) -> None:
    for provider in (world.one, world.two):
        provider.seen.clear()
        provider.failures = 0


# ── 1 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rule_1_the_upstream_level_carries_no_body_and_has_a_cluster_of_its_own(world: World) -> None:
    processors = world.configuration("ext_proc.v3.ExternalProcessor")
    levels = {_level(processor): processor for processor in processors}
    assert set(levels) == {"listener", "upstream"}
    mode = levels["upstream"]["processing_mode"]
    assert mode.get("request_body_mode", "NONE") == "NONE"
    assert mode.get("response_body_mode", "NONE") == "NONE"
    assert mode["response_header_mode"] == "SKIP"
    clusters = [levels[level]["grpc_service"]["envoy_grpc"]["cluster_name"] for level in ("listener", "upstream")]
    assert len(set(clusters)) == 2


def _level(processor: dict[str, Any]) -> str:
    (level,) = [
        header["value"] for header in processor["grpc_service"]["initial_metadata"] if header["key"] == "x-ai-eg-level"
    ]
    return str(level)


# ── 2 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", ["single", "attempt"])
def test_rule_2_a_retried_request_carries_its_body_once(world: World, model: str) -> None:
    content = "x" * 200_000
    world.one.failures = 1
    assert world.ask(model, content).status_code == 200
    received = [*world.one.seen, *world.two.seen]
    assert len(received) == 2
    for request in received:
        assert request.body.count(content.encode()) == 1
        assert request.headers["content-length"] == str(len(request.body))
        assert "transfer-encoding" not in request.headers


# ── 3 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rule_3_nothing_of_the_first_attempt_reaches_the_second_provider(world: World) -> None:
    world.one.failures = 1
    sent = {"authorization": "Bearer client", "x-api-key": "client", "api-key": "client", "x-client": "mine"}
    assert world.ask("attempt", headers={**sent, "x-ai-eg-rule": "guess"}).status_code == 200
    (first,), (second,) = world.one.seen, world.two.seen
    assert (first.path, second.path) == ("/v1/chat/completions", "/v1/messages")
    assert first.headers["authorization"] == "Bearer key-one"
    assert second.headers["x-api-key"] == "key-two"
    assert "authorization" not in second.headers
    for request in (first, second):
        text = str(request.headers)
        assert "client" not in text.replace("x-client", "")
        assert request.headers["x-client"] == "mine"
        internal = [name for name in request.headers if name.startswith("x-ai-eg-")]
        assert internal in ([], ["x-ai-eg-model"])
    assert "key-one" not in str(second.headers)


def test_rule_3_a_match_may_read_a_header_that_the_provider_does_not_get(world: World) -> None:
    assert world.ask("tenant", headers={"x-tenant": "a", "authorization": "Bearer client"}).status_code == 200
    (request,) = world.one.seen
    assert "x-tenant" not in request.headers
    assert request.headers["authorization"] == "Bearer key-one"


def test_rule_3_a_client_cannot_choose_its_rule(world: World) -> None:
    assert world.ask("nothing", headers={"x-ai-eg-model": "single"}).status_code == 404
    assert (world.one.seen, world.two.seen) == ([], [])


# ── 4 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rule_4_thousands_of_streams_end_without_a_connection_lost(world: World) -> None:
    lost = "/stats?filter=cluster.ai-gateway-extproc-uds.upstream_cx_destroy_remote_with_active_rq"
    before = world.envoy(lost)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(lambda _: world.ask("nothing").status_code, range(2000)))
    assert set(refused) == {404}
    assert world.envoy(lost) == before


def test_rule_4_clients_that_hang_up_while_the_filter_is_silent_do_not_end_envoy(world: World) -> None:
    envoy, old = world.gateway.child("_bin/envoy"), world.gateway.child("filters.main")
    os.kill(old, signal.SIGKILL)  # so that Envoy's connection to the filter is a new one
    wait_until(lambda: old not in world.gateway.children() and _healthy(world), lambda: "no new filter process")
    filter_process = world.gateway.child("filters.main")
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
    os.kill(filter_process, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as clients:
            for _ in range(20):
                address = (world.client.base_url.host, world.client.base_url.port)
                clients.enter_context(socket.create_connection(address, timeout=5)).sendall(request)
            wait_until(lambda: _streams(world) >= 20, lambda: "Envoy has not asked the filter")
        wait_until(lambda: _streams(world) == 0, lambda: "Envoy has not ended the streams of clients that left")
    finally:
        os.kill(filter_process, signal.SIGCONT)
    assert world.ask("single").status_code == 200
    assert world.gateway.child("_bin/envoy") == envoy


def test_rule_4_a_crowd_that_hangs_up_at_once_takes_nobody_with_it(world: World) -> None:
    """Envoy's guards against floods count frames that the filter has not read: it must not cut its own filter off."""
    filter_process = world.gateway.child("filters.main")
    address = (world.client.base_url.host, world.client.base_url.port)
    body = jsonlib.encode({"model": "nothing", "text": "x" * 2000})
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    crowd = 1500
    os.kill(filter_process, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as clients:
            for _ in range(crowd):
                clients.enter_context(socket.create_connection(address, timeout=5)).sendall(request)
            wait_until(lambda: _streams(world) >= crowd, lambda: f"Envoy has asked the filter {_streams(world)} times")
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                other = pool.submit(world.ask, "single")
                wait_until(lambda: _streams(world) > crowd, lambda: "the request of another client has not come")
                clients.close()
                wait_until(lambda: _streams(world) <= 1, lambda: "Envoy has not ended the streams of clients that left")
                os.kill(filter_process, signal.SIGCONT)
                assert other.result().status_code == 200
    finally:
        os.kill(filter_process, signal.SIGCONT)
    floods = world.envoy("/stats?filter=cluster.ai-gateway-extproc-uds.http2.outbound_.*flood")
    assert [line for line in floods.splitlines() if not line.endswith(": 0")] == []


def _streams(world: World) -> int:
    """Streams to the filter that are open in Envoy; raises when there is no Envoy any more."""
    stats = world.envoy("/stats?filter=cluster.ai-gateway-extproc-uds.upstream_rq_active$")
    return int(stats.rpartition(" ")[2])


def _healthy(world: World) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{world.gateway.admin_port}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


# ── 5 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_rule_5_a_filter_process_that_ends_is_replaced_and_no_new_request_is_lost(
    world: World, number: signal.Signals
) -> None:
    old = world.gateway.child("filters.main")
    os.kill(old, number)
    if number == signal.SIGKILL:
        # What it held is lost. What comes from now on meets a socket without a process.
        wait_until(lambda: old not in world.gateway.children(), lambda: "the killed process is still there")
    assert [world.ask("single").status_code for _ in range(20)] == [200] * 20
    assert world.ask("attempt").status_code == 200
    assert world.gateway.child("filters.main") != old


def test_rule_5_a_request_that_a_draining_process_holds_gets_its_next_attempt(world: World) -> None:
    world.one.failures = 1
    world.one.held = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            answer = pool.submit(world.ask, "attempt")
            wait_until(lambda: len(world.one.seen) == 1, lambda: "no attempt has begun")
            os.kill(world.gateway.child("filters.main"), signal.SIGTERM)
            wait_until(lambda: not _healthy(world), lambda: "the filter process does not drain")
        finally:
            world.one.held.set()
            world.one.held = None
        assert answer.result(20).status_code == 200
    assert [seen.path for seen in world.two.seen] == ["/v1/messages"]


# ── 7 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_rule_7_the_ext_proc_clusters_take_a_hundred_thousand_streams(world: World) -> None:
    clusters = {
        cluster["name"]: cluster
        for cluster in world.configuration("cluster.v3.Cluster")
        if cluster["name"].startswith("ai-gateway-extproc-uds")
    }
    assert len(clusters) == 2
    for cluster in clusters.values():
        (thresholds, *_) = cluster["circuit_breakers"]["thresholds"]
        assert {thresholds[name] for name in ("max_requests", "max_connections", "max_pending_requests")} == {100_000}
