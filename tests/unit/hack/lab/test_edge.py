"""Addresses for Services of type LoadBalancer, and the ways in that follow from them."""

from typing import Any

import httpx
import pytest

from filters.contract import jsonlib
from hack.lab.edge import Balancer

API = ("127.0.0.1", 6443)


class Ways:
    """Takes the place of the listeners."""

    def __init__(self) -> None:
        self.wanted: dict[str, tuple[str, int]] = {}

    async def set(self, wanted: dict[str, tuple[str, int]]) -> None:
        self.wanted = wanted


class Api:
    """Services of an API server."""

    def __init__(self, *services: dict[str, Any]) -> None:
        self._services = services
        self.given: dict[str, str] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            body = jsonlib.decode(request.content, dict[str, Any])
            self.given[request.url.path] = body["status"]["loadBalancer"]["ingress"][0]["ip"]
            return httpx.Response(200, json={})
        if "watch" in request.url.params:
            return httpx.Response(200, content=b'{"type":"ERROR","object":{}}\n')
        return httpx.Response(200, json={"metadata": {"resourceVersion": "1"}, "items": [*self._services]})


def service(name: str, type_: str = "LoadBalancer", address: str = "", **spec: Any) -> dict[str, Any]:
    ingress = {"loadBalancer": {"ingress": [{"ip": address}]}} if address else {}
    ports = [{"port": 80}, {"port": 53, "protocol": "UDP"}]
    metadata = {"name": name, "namespace": "ns", "uid": name}
    return {"metadata": metadata, "spec": {"type": type_, "ports": ports, **spec}, "status": ingress}


async def follow(api: Api) -> Ways:
    ways = Ways()
    async with httpx.AsyncClient(base_url="http://api", transport=httpx.MockTransport(api)) as client:
        await Balancer(client, ways)._follow()
    return ways


async def test_each_load_balancer_gets_an_address_and_a_way_in_for_each_tcp_port() -> None:
    api = Api(service("a"), service("b"), service("c", "ClusterIP"))
    ways = await follow(api)
    assert len(set(api.given.values())) == 2
    assert set(api.given) == {f"/api/v1/namespaces/ns/services/{name}/status" for name in "ab"}
    assert set(ways.wanted) == {"kube-apiserver", "ns/a:80", "ns/b:80"}
    assert ways.wanted["kube-apiserver"] == API


@pytest.mark.parametrize("address", ["10.97.0.10", "10.97.9.9"])
async def test_an_address_that_was_given_stays(address: str) -> None:
    api = Api(service("new"), service("old", address=address))
    ways = await follow(api)
    assert ways.wanted["ns/old:80"] == (address, 80)
    assert [*api.given] == ["/api/v1/namespaces/ns/services/new/status"]
    assert address not in api.given.values()


async def test_a_service_gets_the_address_that_it_asks_for() -> None:
    api = Api(service("a", loadBalancerIP="10.97.3.4"))
    assert (await follow(api)).wanted["ns/a:80"] == ("10.97.3.4", 80)
