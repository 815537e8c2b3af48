"""Listeners that share a port, told apart by host names."""

from pathlib import Path

import httpx
import pytest

from conformance.upstream.http_server import serve
from tests.standalone import files
from tests.standalone.gateway import Gateway, running
from tests.standalone.test_traffic import in_thread, openai

pytestmark = pytest.mark.envoy


async def models(gateway: Gateway, host: str) -> set[str]:
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
        answer = await client.get("/v1/models", headers={"host": host})
    return {model["id"] for model in answer.json()["data"]} if answer.status_code == 200 else {answer.reason_phrase}


async def status(gateway: Gateway, host: str, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as client:
        return (await client.post("/v1/chat/completions", json=body, headers={"host": host})).status_code


async def test_each_host_has_the_routes_of_the_listener_that_names_it_best(tmp_path: Path) -> None:
    """Host names that lie within each other, on one port; routes for all of them, one of them, one host."""
    base = files.gateway()
    base[1]["spec"]["listeners"] = [
        {"name": "all", "protocol": "HTTP", "port": "PORT"},
        {"name": "domain", "protocol": "HTTP", "port": "PORT", "hostname": "*.example.com"},
        {"name": "one", "protocol": "HTTP", "port": "PORT", "hostname": "one.example.com"},
        {
            "name": "closed",
            "protocol": "HTTP",
            "port": "PORT",
            "hostname": "closed.test",
            "allowedRoutes": {"kinds": [{"group": files.GATEWAY_API, "kind": "GRPCRoute"}]},
        },
    ]
    async with serve(openai) as server:
        one = files.route({"one": [{"name": "b"}]}, name="one", hostnames=["one.example.com"])
        one["spec"]["parentRefs"] = [{"name": "aigw", "sectionName": "one"}]
        text = files.text(
            base,
            files.route({"everywhere": [{"name": "b"}]}, name="everywhere"),
            files.route({"domain": [{"name": "b"}]}, name="domain", hostnames=["*.example.com", "x.example.com"]),
            one,
            files.backend("b", "OpenAI", server.port),
        )
        with running(tmp_path / "run", text) as gateway:
            expected = {
                "other.test": {"everywhere"},
                "y.example.com": {"everywhere", "domain"},
                "one.example.com": {"everywhere", "domain", "one"},
                "one.example.com:8080": {"everywhere", "domain", "one"},
            }
            for host, names in expected.items():
                assert await models(gateway, host) == names, host
                for model in ("everywhere", "domain", "one"):
                    assert await status(gateway, host, model) == (200 if model in names else 404), (host, model)
            assert (await in_thread(gateway.chat, "everywhere")).status_code == 200
