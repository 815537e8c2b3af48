"""The API server that tests start: usable by every client, and gone afterwards."""

import pytest
from kubernetes_asyncio import client, config

from tests.support import apiserver
from tests.support.apiserver import ApiServer, Refused


async def test_kubernetes_asyncio_connects_with_the_kubeconfig(api: ApiServer) -> None:
    configuration = client.Configuration()
    await config.load_kube_config(str(api.kubeconfig), client_configuration=configuration)
    async with client.ApiClient(configuration) as connection:
        version = await client.VersionApi(connection).get_code()
        objects = await client.CustomObjectsApi(connection).list_cluster_custom_object(
            "aigateway.envoyproxy.io", "v1beta1", "gatewayconfigs"
        )
    assert (version.major, version.minor) == ("1", "35")
    assert objects["kind"] == "GatewayConfigList"


def test_server_side_apply_tells_owners_apart(api: ApiServer) -> None:
    base = {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIServiceBackend",
        "metadata": {"name": "owned"},
    }
    reference = {"name": "b", "group": "gateway.envoyproxy.io", "kind": "Backend"}
    spec = {"schema": {"name": "OpenAI"}, "backendRef": reference}

    def headers(name: str) -> dict[str, object]:
        return {"headerMutation": {"set": [{"name": name, "value": "v"}]}}

    api.apply({**base, "spec": {**spec, **headers("x-a")}}, manager="one")
    api.apply({**base, "spec": headers("x-b")}, manager="two")
    found = api.get("aigateway.envoyproxy.io/v1beta1", "AIServiceBackend", "owned")
    # The list is keyed by name: each manager has its own item in it.
    assert [each["name"] for each in found["spec"]["headerMutation"]["set"]] == ["x-a", "x-b"]
    api.apply({**base, "spec": spec}, manager="one")
    found = api.get("aigateway.envoyproxy.io/v1beta1", "AIServiceBackend", "owned")
    assert [each["name"] for each in found["spec"]["headerMutation"]["set"]] == ["x-b"]
    api.delete(base)
    with pytest.raises(Refused, match='"owned" not found'):
        api.get("aigateway.envoyproxy.io/v1beta1", "AIServiceBackend", "owned")


def test_two_run_side_by_side_and_both_are_gone_afterwards(api: ApiServer) -> None:
    with apiserver.running_apiserver() as other:
        assert other.url != api.url
        assert other.http.get("/readyz").text == "ok"
    assert [process.poll() is None for process in other.processes] == [False, False]
    assert not other.directory.exists()
    assert api.http.get("/readyz").text == "ok"
