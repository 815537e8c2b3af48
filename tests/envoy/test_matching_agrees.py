"""Filter and Envoy decide alike: what the filter's match index picks, Envoy's route table serves.

Random rules (fixed seed) in one file, random requests against them. A rule's override names it, so the upstream tells
who served. Disagreement would be a 503 `not_mediated`; a wrong rule would show in the answer.
"""

import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from filters.contract import jsonlib
from tests.standalone import files
from tests.standalone.gateway import Gateway, running
from tests.support.http_client import HttpClient, Reply

pytestmark = pytest.mark.envoy

SEED = 20261125
RULES_PER_ROUTE = 12
REQUESTS = 400
HOSTNAMES: list[list[str] | None] = [None, ["a.test"], ["*.a.test", "b.test"], ["*.test"]]
MODELS = ["m1", "m2", "modèle"]
VALUES = ["1", "2", "1,2", "é"]


def _matches(source: random.Random) -> list[dict[str, Any]]:
    return [{"headers": _headers(source)} for _ in range(source.choice((1, 1, 1, 2)))]


def _headers(source: random.Random) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if source.random() < 0.8:
        found.append({"name": "x-ai-eg-model", "value": source.choice(MODELS)})
    for name in source.sample(("x-one", "x-two"), source.randrange(3)):
        if source.random() < 0.4:
            found.append({"name": name, "type": "RegularExpression", "value": source.choice(("[12]", "1.*", "1|é"))})
        else:
            found.append({"name": name, "value": source.choice(VALUES)})
    return found or [{"name": "x-ai-eg-model", "value": source.choice(MODELS)}]


def _route(name: str, hostnames: list[str] | None, source: random.Random) -> files.Document:
    rules = [
        {"matches": _matches(source), "backendRefs": [{"name": "up", "modelNameOverride": f"{name}-{number}"}]}
        for number in range(RULES_PER_ROUTE)
    ]
    spec: dict[str, Any] = {"parentRefs": [{"name": "aigw"}], "rules": rules}
    if hostnames is not None:
        spec["hostnames"] = hostnames
    return files.object_(f"{files.GROUP}/v1beta1", "AIGatewayRoute", name, spec)


class _Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = jsonlib.encode({"model": jsonlib.decode(body, dict[str, Any])["model"], "choices": []})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    source = random.Random(SEED)
    routes = [_route(f"r{number}", hostnames, source) for number, hostnames in enumerate(HOSTNAMES)]
    text = files.text(files.gateway(), files.backend("up", "OpenAI", server.server_address[1]), *routes)
    try:
        with running(tmp_path_factory.mktemp("matching"), text) as gateway:
            yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_envoy_serves_every_request_by_the_rule_that_the_filter_picked(gateway: Gateway) -> None:
    source = random.Random(SEED + 1)
    client = HttpClient(gateway.port)
    served: set[str] = set()
    refused = 0
    try:
        for _ in range(REQUESTS):
            headers = {"host": source.choice(("a.test", "A.Test:1", "x.a.test", "b.test", "c.test", "other"))}
            for name in source.sample(("x-one", "x-two"), source.randrange(3)):
                headers[name] = source.choice(VALUES)
            model = source.choice(MODELS)
            reply = await _ask(client, model, headers)
            if reply.status == 404:
                refused += 1
                assert b"model_not_found" in reply.body
            else:
                assert reply.status == 200, (reply.body, headers, model)
                served.add(str(jsonlib.decode(reply.body, dict[str, Any])["model"]))
    finally:
        client.close()
    assert refused  # both outcomes were met, and many rules
    assert len(served) > 15


async def _ask(client: HttpClient, model: str, headers: dict[str, str]) -> Reply:
    encoded: dict[str, Any] = {name: value.encode() for name, value in headers.items()}
    return await client.post(jsonlib.encode({"model": model}), encoded, path="/v1/chat/completions")
