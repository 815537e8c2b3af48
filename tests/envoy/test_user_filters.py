"""Rule 6 of the plans against the real Envoy: a filter of the user's that runs after ours sees the client's request.

The user's filter is Lua, put into the base xDS as Envoy Gateway puts an EnvoyExtensionPolicy's; it writes down what it
sees in headers that the provider records.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua

from extension_server.xds import pool
from extension_server.xds.resources import Resources
from tests.envoy.test_plan_rules import MESSAGE, Upstream, upstream
from tests.standalone import files
from tests.support.patched import Patched

pytestmark = pytest.mark.envoy

KEY = "provider-key"
LISTENER = "default/aigw/http"
LUA = """
function envoy_on_request(handle)
  local body = handle:body()
  local text = body:getBytes(0, body:length())
  local headers = handle:headers()
  headers:add("x-seen-path", headers:get(":path"))
  headers:add("x-seen-key", headers:get("x-api-key") or "none")
  headers:add("x-seen-body", text)
end
"""
BODY = b'{"model": "m",  "messages": [{"role": "user", "content": "hi"}]}'


@dataclass
class Gateway:
    url: str
    provider: Upstream

    def ask(self) -> httpx.Response:
        headers = {"content-type": "application/json"}
        url = f"{self.url}/v1/chat/completions"
        return httpx.post(url, content=BODY, headers=headers, trust_env=False, timeout=20)


@contextmanager
def gateway(directory: Path, *, told: bool) -> Iterator[Gateway]:
    """`told`: compile knows that the listener has a filter of the user's."""
    with ExitStack() as stack:
        provider = stack.enter_context(upstream(MESSAGE))
        text = files.text(
            files.gateway(),
            files.backend("up", "Anthropic", provider.port),
            files.api_key("up", KEY, "AnthropicAPIKey"),
            files.route({"m": [{"name": "up"}]}),
        )
        patched = Patched(directory, text, user_filters={LISTENER} if told else ())
        filter_ = stack.enter_context(patched.filter())
        stack.enter_context(patched.envoy(filter_.socket, _add_lua))
        yield Gateway(patched.url, provider)


def _add_lua(resources: Resources) -> None:
    script = Lua(default_source_code=DataSource(inline_string=LUA))
    packed = {"type_url": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua", "value": bytes(script)}
    for listener in resources.listeners:
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            for network_filter in chain.filters:
                manager = pool.unpacked(network_filter.typed_config)
                lua = pool.message(
                    pool.HTTP_FILTER,
                    name="envoy.filters.http.lua/envoyextensionpolicy/default/p/lua/0",
                    typed_config=packed,
                )
                chain_of_filters = [*manager.http_filters]
                del manager.http_filters[:]
                manager.http_filters.extend([*chain_of_filters[:-1], lua, chain_of_filters[-1]])
                pool.replace(network_filter.typed_config, manager)


def test_rule_6_a_filter_after_ours_sees_the_clients_own_request_and_no_credential(tmp_path: Path) -> None:
    with gateway(tmp_path, told=True) as served:
        answer = served.ask()
        assert answer.status_code == 200, answer.text
        (request,) = served.provider.seen
        assert request.headers["x-seen-path"] == "/v1/chat/completions"
        assert request.headers["x-seen-key"] == "none"
        assert request.headers["x-seen-body"].encode() == BODY
        assert (request.path, request.headers["x-api-key"]) == ("/v1/messages", KEY)


def test_rule_6_a_rule_that_would_show_the_credential_is_closed(tmp_path: Path) -> None:
    with gateway(tmp_path, told=False) as served:
        assert served.ask().status_code == 503
        assert served.provider.seen == []
