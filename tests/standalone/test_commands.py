"""What the commands say about a file, against what a gateway with that file does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from conformance.upstream.http_server import Request, Response, Server, serve
from filters.contract import jsonlib
from tests.standalone.gateway import Gateway, running
from tests.support.envoy import free_port
from tests.unit.aigw.commands.world import example, invoke

pytestmark = pytest.mark.envoy

HOST = "ai.example.com"
PROVIDERS = ("openai", "anthropic", "bedrock")
OF_ENVOY = {
    "connection",
    "host",
    "transfer-encoding",
    "x-envoy-attempt-count",
    "x-envoy-external-address",
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
}
"""headers that Envoy itself adds, or that HTTP/1.1 does"""
OF_CLIENT = {"accept", "accept-encoding", "user-agent"}
"""headers that httpx adds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    model: str
    host: str = HOST
    path: str = "/v1/chat/completions"
    headers: tuple[tuple[str, str], ...] = ()
    more: str = ""
    """members of the body"""

    def __str__(self) -> str:
        return " ".join([self.model or "-", self.host, self.path, *(f"{name}={value}" for name, value in self.headers)])

    @property
    def body(self) -> str:
        return f'{{"model":"{self.model}","messages":[{{"role":"user","content":"hi"}}]{self.more}}}'


TABLE = (
    Asked(model="gpt-4o"),
    Asked(model="gpt-4o", more=',"seed":1,"temperature":0.5'),
    Asked(model="gpt-4o", host="ai.example.com:8080"),
    Asked(model="gpt-4o", host="eu.models.example.com"),
    Asked(model="gpt-4o", host="models.example.com"),
    Asked(model="gpt-4o", host="elsewhere.example.com"),
    Asked(model="gpt-4o", headers=(("x-unwanted", "1"), ("x-kept", "2"))),
    Asked(model="alias"),
    Asked(model="shared"),
    Asked(model="claude-3"),
    Asked(model="claude-3", more=',"seed":1'),
    Asked(model="claude-3", headers=(("x-team", "blue"),)),
    Asked(model="claude-3", headers=(("x-team", "red"),)),
    Asked(model="my-claude-3"),
    Asked(model="unknown"),
    Asked(model="GPT-4O"),
    Asked(model=""),
    Asked(model="gpt-4o", path="/v1/nothing"),
    Asked(model="gpt-4o", path="/anthropic/v1/messages"),
    Asked(model="gpt-4o", path="/v1/chat/completions?a=b"),
    Asked(model="gpt-4o", more=',"n":"two"'),
)


async def refuses(_: Request) -> Response:
    """Each request ends at its first provider."""
    return Response(status=400, headers=(("content-type", "application/json"),), body=b'{"error":{"message":"no"}}')


@contextlib.asynccontextmanager
async def providers() -> AsyncIterator[dict[str, Server]]:
    async with contextlib.AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(serve(refuses, record=True)) for name in PROVIDERS}


def explained(file: Path, asked: Asked) -> tuple[int, dict[str, Any]]:
    headers = [part for name, value in asked.headers for part in ("-H", f"{name}: {value}")]
    where = ("--host", asked.host, "--path", asked.path)
    result = invoke("explain", str(file), *where, *headers, "--body", "-", "-o", "json", stdin=asked.body)
    assert result.exit_code in (0, 1), result.output
    (one,) = jsonlib.decode(result.stdout.encode(), dict[str, Any])["requests"]
    return result.exit_code, one


async def test_explain_says_of_each_request_what_the_gateway_does(tmp_path: Path) -> None:
    async with providers() as servers:
        text = example(port="PORT", ports={name: server.port for name, server in servers.items()})
        with running(tmp_path / "run", text) as gateway:
            async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
                for asked in TABLE:
                    await _compare(asked, gateway, client, servers)


async def _compare(asked: Asked, gateway: Gateway, client: httpx.AsyncClient, servers: dict[str, Server]) -> None:
    code, said = explained(gateway.directory / "gateway.yaml", asked)
    for server in servers.values():
        server.requests.clear()
    headers = {"host": asked.host, "content-type": "application/json", **dict(asked.headers)}
    answer = await client.post(f"{gateway.url}{asked.path}", content=asked.body, headers=headers)
    got = [(name, request) for name, server in servers.items() for request in server.requests]
    if said["answer"] is not None:
        assert (str(asked), code, got, answer.status_code) == (str(asked), 1, [], said["answer"]["status"])
        return
    assert len(got) == 1, (str(asked), answer.status_code, answer.text)
    ((name, request),) = got
    sent = {each["backend"]: each for each in said["sent"]}
    assert f"default/{name}" in sent, asked
    one = sent[f"default/{name}"]
    if one["refusal"] is not None:
        raise AssertionError(f"{asked}: explain has it refused, the gateway does not: {one['refusal']}")
    assert (str(asked), code, request.target) == (str(asked), 0, one["path"])
    assert jsonlib.decode(request.body, object) == _unredacted(one["body"], request)
    assert said["rule"]["plan"] == ("attempt" if asked.model == "shared" else "single")
    assert answer.headers.get("x-aigw-dropped", "") == ", ".join(one["dropped"])
    others = OF_ENVOY | OF_CLIENT
    received = {header: value for header, value in request.headers.items if header not in others}
    shown = {
        header: value for header, value in one["headers"].items() if not header.startswith(":") and header not in others
    }
    assert received.keys() == shown.keys(), asked
    different = {header for header in shown if shown[header] not in (received[header], "[redacted]")}
    assert different <= {"x-amz-date", "x-amz-content-sha256"}, asked


def _unredacted(body: Any, request: Request) -> Any:
    """What explain hides, from what was received."""
    real = jsonlib.decode(request.body, dict[str, Any])
    return {name: real.get(name) if value == "[redacted]" else value for name, value in body.items()}


# ---- doctor


def findings(*arguments: str) -> dict[str, list[dict[str, str]]]:
    result = invoke("doctor", *arguments, "--output", "json")
    assert result.exit_code in (0, 1), result.output
    report = jsonlib.decode(result.stdout.encode(), dict[str, Any])
    assert (report["verdict"] == "error") == (result.exit_code == 1)
    return {each["check"]: each["findings"] for each in report["checks"]}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("doctor") / "run", example(port="PORT")) as started:
        yield started


def test_doctor_finds_the_running_gateway_and_sees_that_it_serves_the_file(gateway: Gateway) -> None:
    file = str(gateway.directory / "gateway.yaml")
    found = findings(file, "--admin-port", str(gateway.admin_port))
    assert [each["severity"] for each in found["instance"]] == ["ok", "ok", "ok"], found["instance"]
    assert "is what" in found["instance"][1]["title"]
    assert {each["severity"] for each in found["ports"]} == {"ok"}, found["ports"]


def test_doctor_names_the_rule_that_is_not_the_running_one(gateway: Gateway, tmp_path: Path) -> None:
    text = (gateway.directory / "gateway.yaml").read_text()
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("value: alias", "value: another"))
    found = findings(str(other), "--admin-port", str(gateway.admin_port))
    (error,) = [each for each in found["instance"] if each["severity"] == "error"]
    assert "listener default/aigw/http" in error["title"]
    assert error["fix"]


def test_doctor_tells_other_credentials_from_other_rules(gateway: Gateway, tmp_path: Path) -> None:
    text = (gateway.directory / "gateway.yaml").read_text()
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("sk-planted-openai-key", "sk-planted-newer-key"))
    found = findings(str(other), "--admin-port", str(gateway.admin_port))
    assert [each["severity"] for each in found["instance"]] == ["ok", "warning", "ok"], found["instance"]
    assert "credentials" in found["instance"][1]["title"]
    assert "newer-key" not in str(found)


def test_doctor_says_when_nothing_answers_where_it_was_told_to_look(gateway: Gateway) -> None:
    found = findings(str(gateway.directory / "gateway.yaml"), "--admin-port", str(free_port()))
    (error,) = found["instance"]
    assert (error["severity"], "does not answer" in error["title"]) == ("error", True)


async def test_doctor_connects_to_providers_when_it_is_asked_to(tmp_path: Path) -> None:
    closed = free_port()
    file = tmp_path / "gateway.yaml"
    async with serve(refuses) as server:
        file.write_text(
            example(port=free_port(), ports={"openai": server.port, "anthropic": closed, "bedrock": closed})
        )
        found = await _in_thread(str(file), "--connect")
    said = {each["title"].partition(": ")[0]: each for each in found["connections"]}
    assert said[f"127.0.0.1:{server.port}"]["severity"] == "ok"
    assert said[f"127.0.0.1:{closed}"]["severity"] == "error"
    assert "start what is there" in said[f"127.0.0.1:{closed}"]["fix"]


async def _in_thread(*arguments: str) -> dict[str, list[dict[str, str]]]:
    return await asyncio.get_running_loop().run_in_executor(None, lambda: findings(*arguments))
