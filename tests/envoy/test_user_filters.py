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

from aigw.standalone import resources as files_of_resources
from aigw.standalone import verdicts
from aigw.standalone.base_xds import build, tls
from aigw.standalone.base_xds.world import World
from aigw.standalone.default_log import default_access_log
from aigw.standalone.xds_files import XdsFiles
from extension_server.compile.gateway import compile_gateway
from extension_server.xds import patches, pool, route_table
from extension_server.xds.resources import Mediation, Resources
from tests.envoy.test_plan_rules import MESSAGE, Upstream, upstream
from tests.standalone import files
from tests.support.envoy import free_port, running_envoy
from tests.support.filter_process import running_filter

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
        port = free_port()
        text = files.text(
            files.gateway(),
            files.backend("up", "Anthropic", provider.port),
            files.api_key("up", KEY, "AnthropicAPIKey"),
            files.route({"m": [{"name": "up"}]}),
        ).replace("PORT", str(port))
        loaded = files_of_resources.read(text, "file", {})
        compiled = compile_gateway(
            loaded.snapshot,
            verdicts.the_gateway(loaded),
            token_key=b"k" * 32,
            user_filters={LISTENER} if told else set(),
        )
        document = directory / "filter.json"
        document.write_bytes(compiled.document)
        filter_ = stack.enter_context(running_filter("--config", str(document), module="filters.main"))
        resources = build.build(
            World(loaded.snapshot, compiled),
            tls.Files(directory, directory),
            default_log=default_access_log(),
            address="127.0.0.1",
        )
        _add_lua(resources)
        patches.apply(resources, Mediation(compiled, (filter_.socket,)))
        route_table.fold(resources)
        written = XdsFiles(directory)
        written.write_clusters(resources.clusters)
        written.write_routes(resources.routes)
        written.write_listeners(resources.listeners)
        stack.enter_context(running_envoy(_bootstrap(written)))
        yield Gateway(f"http://127.0.0.1:{port}", provider)


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


def _bootstrap(written: XdsFiles) -> dict[str, object]:
    def from_file(path: Path) -> dict[str, object]:
        return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}

    return {
        "node": {"id": "test", "cluster": "test"},
        "dynamic_resources": {"cds_config": from_file(written.cds), "lds_config": from_file(written.lds)},
    }


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
