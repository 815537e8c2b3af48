"""Writes are counted: nothing is written twice, and a change writes only what depends on it, however much there is."""

from typing import Any

from tests.support.apiserver import ApiServer
from tests.support.controller import Running, condition, running
from tests.support.controller_world import AIGW, EG, GW, by_kind
from tests.support.waiting import eventually

ROUTES = 500


def route(namespace: str, number: int) -> dict[str, Any]:
    return {
        "apiVersion": AIGW,
        "kind": "AIGatewayRoute",
        "metadata": {"name": f"route-{number}", "namespace": namespace},
        "spec": {
            "parentRefs": [{"name": "edge"}],
            "rules": [
                {
                    "matches": [{"headers": [{"name": "x-ai-eg-model", "value": f"model-{number}"}]}],
                    "backendRefs": [{"name": "special" if number == 7 else "provider"}],
                }
            ],
        },
    }


def versions(cluster: ApiServer, namespace: str) -> dict[str, str]:
    """Resource version of everything that the controller may write."""
    found = {}
    for group, plural in ((AIGW, "aigatewayroutes"), (GW, "httproutes"), (EG, "httproutefilters")):
        page = cluster.http.get(f"/apis/{group}/namespaces/{namespace}/{plural}").json()
        found |= {f"{plural}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in page["items"]}
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


async def all_programmed(cluster: ApiServer, namespace: str, controller: Running) -> None:
    def look() -> bool:
        if not controller.controller.idle:
            return False
        routes = cluster.http.get(f"/apis/{AIGW}/namespaces/{namespace}/aigatewayroutes").json()["items"]
        return all(condition(each, "Programmed").get("status") == "True" for each in routes)

    await eventually(look, "all programmed", every=0.5, limit=100)


async def test_five_hundred_routes(cluster: ApiServer, namespace: str) -> None:
    world = by_kind(namespace)
    for kind in ("Gateway", "Backend", "Secret", "AIServiceBackend", "BackendSecurityPolicy"):
        cluster.apply(world[kind])
    special = {**world["AIServiceBackend"], "metadata": {"name": "special", "namespace": namespace}}
    cluster.apply(special)
    for number in range(ROUTES):
        cluster.create(route(namespace, number))
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        await all_programmed(cluster, namespace, controller)
        await controller.idle()
        assert sum(write.startswith("apply") for write in controller.writes) == 3 * ROUTES
    before = versions(cluster, namespace)

    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        assert controller.writes == []
        assert versions(cluster, namespace) == before

        cluster.apply(
            {**special, "spec": {**special["spec"], "headerMutation": {"set": [{"name": "x-new", "value": "1"}]}}}
        )
        await eventually(lambda: any(write == f"apply HTTPRoute {namespace}/route-7" for write in controller.writes))
        await all_programmed(cluster, namespace, controller)
        await controller.idle()
        after = versions(cluster, namespace)
        assert {name for name in changed(before, after) if not name.endswith("/route-7")} == set()
        assert {write for write in controller.writes if "route-7" not in write} <= {
            f"patch AIServiceBackend {namespace}/special status"
        }

        cluster.delete(route(namespace, 8))
        gone = {"httproutes/route-8", "httproutefilters/ai-eg-host-rewrite-route-8"}
        await eventually(lambda: gone <= changed(after, versions(cluster, namespace)))
        await controller.idle()
        assert all("route-8" in name for name in changed(after, versions(cluster, namespace)))
