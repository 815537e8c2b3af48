"""Envoy's header filter writes the lines that the CEL expression asks for which it stands for."""

from pathlib import Path

import pytest

from aigw.standalone.base_xds.access_log import condition
from aigw.standalone.xds_files import XdsFiles
from extension_server.xds import pool
from extension_server.xds.pool import Fields
from extension_server.xds.resources import HCM_FILTER
from tests.support.envoy import free_port, running_envoy
from tests.support.http_client import HttpClient

pytestmark = pytest.mark.envoy

EXPRESSION = "request.headers['x-ai-eg-model'] != ''"
_FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"


def _logger(path: Path, expression: str) -> Fields:
    line = {"text_format_source": {"inline_string": "%REQ(:PATH)%\n"}}
    config = pool.packed(_FILE, path=str(path), log_format=line)
    return {"name": "envoy.access_loggers.file", "filter": condition((expression,)), "typed_config": config}


async def test_the_header_filter_and_cel_agree(tmp_path: Path) -> None:
    by_header, by_cel = _logger(tmp_path / "header", EXPRESSION), _logger(tmp_path / "cel", f"{EXPRESSION} && true")
    assert "header_filter" in by_header["filter"]
    assert "extension_filter" in by_cel["filter"]
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = pool.packed(
        pool.HTTP_CONNECTION_MANAGER,
        stat_prefix="test",
        route_config={"virtual_hosts": [{"name": "h", "domains": ["*"], "routes": [route]}]},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": pool.packed(_ROUTER)}],
        access_log=[by_header, by_cel],
    )
    port = free_port()
    listener = pool.message(
        pool.LISTENER,
        name="test",
        address={"socket_address": {"address": "127.0.0.1", "port_value": port}},
        enable_reuse_port={"value": False},
        default_filter_chain={"filters": [{"name": HCM_FILTER, "typed_config": manager}]},
    )
    files = XdsFiles(tmp_path)
    packed = pool.packed_message(listener)
    files.lds.write_bytes(pool.serialized(pool.message(pool.DISCOVERY_RESPONSE, version_info="1", resources=[packed])))
    lds = {"path_config_source": {"path": str(files.lds)}}
    with running_envoy({"node": {"id": "t", "cluster": "t"}, "dynamic_resources": {"lds_config": lds}}):
        client = HttpClient(port)
        for path, headers in (
            ("/missing", {}),
            ("/empty", {"x-ai-eg-model": ""}),
            ("/given", {"X-AI-EG-Model": "m"}),
        ):
            assert (await client.post(b"", headers, path=path)).status == 200
        client.close()
    # Envoy has ended: everything is written.
    assert (tmp_path / "cel").read_text() == (tmp_path / "header").read_text() == "/given\n"
