from typing import Any

import pytest

from extension_server.compile.result import ObjectRef
from extension_server.controller.client import ApiError, Resource
from extension_server.webhook.admission import Known, NotKnown
from extension_server.webhook.live import LiveGateways
from tests.support.fake_api import FakeApi
from tests.unit.extension_server.sidecar.proxies import config

GATEWAY = ObjectRef("Gateway", "default", "gw")
ROUTES = Resource("aigateway.envoyproxy.io", "v1beta1", "AIGatewayRoute", "aigatewayroutes")
CONFIGS = Resource("aigateway.envoyproxy.io", "v1beta1", "GatewayConfig", "gatewayconfigs")
GATEWAYS = Resource("gateway.networking.k8s.io", "v1", "Gateway", "gateways")
CLASSES = Resource("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses", namespaced=False)
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"


def cluster(parent: dict[str, Any] | None = None, *, controller: str = CONTROLLER, named: str = "") -> FakeApi:
    """With a Gateway, and a route of its namespace."""
    api = FakeApi()
    api.served = {
        ROUTES.group: {"v1beta1": frozenset({ROUTES.plural, CONFIGS.plural})},
        GATEWAYS.group: {"v1": frozenset({GATEWAYS.plural, CLASSES.plural})},
    }
    api.put(CLASSES, None, "eg", spec={"controllerName": controller})
    made = api.put(GATEWAYS, "default", "gw", spec={"gatewayClassName": "eg"})
    if named:
        made["metadata"]["annotations"] = {"aigateway.envoyproxy.io/gateway-config": named}
    if parent is not None:
        api.put(ROUTES, "default", "route", spec={"parentRefs": [{"name": "another"}, parent]})
    return api


async def known(api: FakeApi, *namespaces: str) -> Known:
    return await LiveGateways(api, CONTROLLER, namespaces).known(GATEWAY)


async def test_a_gateway_that_a_route_names_has_ai_routes() -> None:
    assert await known(cluster({"name": "gw"})) == Known(mediated=True)


async def test_a_route_of_another_namespace_says_which_one_it_means() -> None:
    api = cluster()
    api.put(ROUTES, "team", "route", spec={"parentRefs": [{"name": "gw"}]})
    assert not (await known(api)).mediated
    api.put(ROUTES, "team", "route", spec={"parentRefs": [{"name": "gw", "namespace": "default"}]})
    assert (await known(api)).mediated
    assert not (await known(api, "default")).mediated
    assert (await known(api, "default", "team")).mediated


@pytest.mark.parametrize("parent", [None, {"name": "other"}, {"name": "gw", "kind": "Service", "group": ""}])
async def test_a_gateway_that_no_route_names_has_none(parent: dict[str, Any] | None) -> None:
    assert await known(cluster(parent)) == Known(mediated=False)


async def test_a_gateway_of_another_controller_or_of_a_namespace_that_is_not_watched_is_not_ours() -> None:
    assert not (await known(cluster({"name": "gw"}, controller="example.com/other"))).mediated
    assert not (await known(cluster({"name": "gw"}), "team")).mediated


async def test_nothing_is_ours_when_it_is_not_there() -> None:
    api = cluster({"name": "gw"})
    api.remove(GATEWAYS, "default", "gw")
    assert not (await known(api)).mediated
    api.served = {}
    assert not (await known(api)).mediated


async def test_it_finds_the_configuration_that_the_gateway_names() -> None:
    api = cluster({"name": "gw"}, named="config")
    assert await known(api) == Known(mediated=True)
    api.put(CONFIGS, "default", "config", spec={"extProc": {"kubernetes": {"image": "mine"}}})
    found = (await known(api)).config
    assert found is not None
    assert found.spec == config(image="mine").spec
    api.put(CONFIGS, "default", "config", spec={"extProc": {"kubernetes": {"image": 3}}})
    assert await known(api) == Known(mediated=True)


async def test_an_api_server_that_does_not_answer_leaves_it_open() -> None:
    api = cluster({"name": "gw"})
    api.fail = lambda verb: ApiError(0, "Unreachable", "no route") if verb == "list" else None
    with pytest.raises(NotKnown, match="does not say whether Gateway default/gw has AI routes: Unreachable: no route"):
        await known(api)
