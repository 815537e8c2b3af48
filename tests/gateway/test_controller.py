"""The controller against a real API server: what is applied leads to the objects and statuses that follow from it."""

from typing import Any

from extension_server.compile.result import Finding, ObjectRef
from extension_server.controller.gateway_notes import TRANSLATE_ANNOTATION
from extension_server.controller.writer import HOLD
from tests.support.apiserver import ApiServer
from tests.support.controller import Running, condition, running
from tests.support.controller_world import (
    AIGW,
    EG,
    GW,
    WORLD,
    accepted,
    by_kind,
    documents,
    get,
    http_route,
    route,
)
from tests.support.waiting import eventually


async def test_a_route_becomes_objects_and_a_status(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        (compiled,) = controller.sink.compiled.values()
        generated = http_route(cluster, namespace)
        assert [rule["name"] for rule in generated["spec"]["rules"]] == ["main", "route-not-found"]
        headers = generated["spec"]["rules"][0]["matches"][0]["headers"]
        assert [header["value"] for header in headers] == [compiled.rules[0].token, "m1"]
        assert generated["metadata"]["labels"] == {"team": "a"}
        assert generated["metadata"]["annotations"] == {
            "example.com/note": "kept",
            "gateway.envoyproxy.io/ai-gateway-generated": "true",
            "gateway.envoyproxy.io/backend-ref-priority": "0:provider:0",
        }
        owner = generated["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("AIGatewayRoute", "chat", True)
        for name in ("ai-eg-host-rewrite-chat", "ai-eg-route-not-found-response-chat"):
            assert get(cluster, EG, "HTTPRouteFilter", name, namespace)
        await accepted(cluster, namespace, "True", "Programmed")
        conditions = route(cluster, namespace)["status"]["conditions"]
        assert [(each["type"], each["status"], each["observedGeneration"]) for each in conditions] == [
            ("ResolvedRefs", "True", 1),
            ("Programmed", "True", 1),
            ("Accepted", "True", 1),
        ]
        for kind, name in (("AIServiceBackend", "provider"), ("BackendSecurityPolicy", "policy")):
            assert condition(get(cluster, AIGW, kind, name, namespace), "Accepted")["status"] == "True"


async def test_a_restart_writes_nothing(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        await accepted(cluster, namespace, "True", "Programmed")
        await controller.idle()
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        assert controller.writes == []


async def test_references_that_appear_later_heal_by_themselves(cluster: ApiServer, namespace: str) -> None:
    world = by_kind(namespace)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        cluster.apply(world["AIGatewayRoute"])
        assert "Gateway" in (await accepted(cluster, namespace, "False"))["message"]

        async def says(text: str, type_: str = "ResolvedRefs") -> None:
            await eventually(lambda: text in condition(route(cluster, namespace), type_).get("message", ""), text)

        await says(f"Gateway {namespace}/edge not found")
        cluster.apply(world["Gateway"])
        await says(f"AIServiceBackend {namespace}/provider not found")
        cluster.apply(world["BackendSecurityPolicy"])
        cluster.apply(world["AIServiceBackend"])
        await says(f"Backend {namespace}/provider not found")
        cluster.apply(world["Backend"])
        await says(f"Secret {namespace}/key not found")
        cluster.apply(world["Secret"])
        await accepted(cluster, namespace, "True")
        last = route(cluster, namespace)["status"]["conditions"]
        assert [each["type"] for each in last] == ["ResolvedRefs", "Programmed", "Accepted"]
        cluster.delete(world["Secret"])
        await says(f"Secret {namespace}/key not found")
        assert route(cluster, namespace)["status"]["conditions"][-1]["type"] == "NotAccepted"
        await controller.idle()
    events = cluster.http.get(f"/api/v1/namespaces/{namespace}/events").json()["items"]
    assert any("Secret" in each["message"] and each["type"] == "Warning" for each in events)
    assert len({each["metadata"]["name"] for each in events}) == len(events)


async def test_a_new_key_reaches_the_filters(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        secret = by_kind(namespace)["Secret"]
        secret["stringData"]["apiKey"] = "sk-2"
        cluster.apply(secret)
        await eventually(lambda: any(b"sk-2" in each.document for each in controller.sink.compiled.values()))


async def test_deleting_a_route_deletes_what_was_generated(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        cluster.delete(by_kind(namespace)["AIGatewayRoute"])
        await eventually(lambda: not http_route(cluster, namespace))
        await eventually(lambda: not get(cluster, EG, "HTTPRouteFilter", "ai-eg-host-rewrite-chat", namespace))


async def test_an_object_that_an_earlier_controller_held_is_let_go(cluster: ApiServer, namespace: str) -> None:
    held = by_kind(namespace)["AIGatewayRoute"]
    held["metadata"]["finalizers"] = ["aigateway.envoyproxy.io/finalizer"]
    cluster.apply(held)
    async with running(cluster.kubeconfig, [namespace]):
        cluster.delete(held)
        await eventually(lambda: not route(cluster, namespace))


async def test_a_route_that_gets_no_requests_says_so_as_long_as_the_other_is_there(
    cluster: ApiServer, namespace: str
) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    second = by_kind(namespace)["AIGatewayRoute"]
    second["metadata"]["name"] = "second"
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        cluster.apply(second)

        def message() -> str:
            return condition(route(cluster, namespace, "second"), "Accepted").get("message", "")

        told = f"gets no requests: spec.rules[0].matches[0] of AIGatewayRoute {namespace}/chat, which "
        await eventually(lambda: f"Note: spec.rules[0].matches[0]: {told}" in message(), told)
        assert "Note" not in condition(route(cluster, namespace), "Accepted")["message"]
        cluster.delete(by_kind(namespace)["AIGatewayRoute"])
        await eventually(lambda: message() == "AI Gateway Route reconciled successfully", "the note is gone")


async def test_a_users_own_httproute_is_never_taken_over(cluster: ApiServer, namespace: str) -> None:
    own = {
        "apiVersion": GW,
        "kind": "HTTPRoute",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {"parentRefs": [{"name": "edge"}], "hostnames": ["mine.example.com"]},
    }
    before = cluster.apply(own).object
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        found = await accepted(cluster, namespace, "False")
        assert found["message"] == (
            f"metadata.name: HTTPRoute {namespace}/chat exists already and is not generated, so the route is not "
            "served; rename one of the two"
        )
        await controller.idle()
        assert http_route(cluster, namespace)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        assert not any(write.startswith("delete") for write in controller.writes)
        cluster.delete(own)
        await accepted(cluster, namespace, "True")
        assert http_route(cluster, namespace)["metadata"]["ownerReferences"]


async def test_what_others_change_in_generated_objects_is_put_right(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        spec = http_route(cluster, namespace)["spec"]
        patch = {"spec": {"hostnames": ["evil.example.com"]}}
        url = f"/apis/{GW}/namespaces/{namespace}/httproutes/chat"
        cluster.http.patch(url, json=patch, headers={"content-type": "application/merge-patch+json"})
        await eventually(lambda: http_route(cluster, namespace)["spec"] == spec)
        cluster.delete(http_route(cluster, namespace))
        await eventually(lambda: http_route(cluster, namespace).get("spec") == spec)
        await controller.idle()


async def test_labels_of_the_route_go_to_the_httproute_and_leave_it(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        labelled = by_kind(namespace)["AIGatewayRoute"]
        labelled["metadata"]["labels"] = {"other": "b"}
        cluster.apply(labelled)
        await eventually(lambda: http_route(cluster, namespace)["metadata"]["labels"] == {"other": "b"})


async def test_a_long_route_is_spread_and_shrinks_again(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    long = by_kind(namespace)["AIGatewayRoute"]
    match = {"headers": [{"name": "x-ai-eg-model", "value": "m"}]}
    long["spec"]["rules"][0]["matches"] = [
        {"headers": [{**match["headers"][0], "value": f"m{number}"}]} for number in range(100)
    ]
    short = by_kind(namespace)["AIGatewayRoute"]
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        cluster.apply(long)
        second = await eventually(lambda: http_route(cluster, namespace, "chat-1"))
        assert [len(rule["matches"]) for rule in second["spec"]["rules"]] == [36, 1]
        cluster.apply(short)
        await eventually(lambda: not http_route(cluster, namespace, "chat-1"))
        assert http_route(cluster, namespace)


async def test_programmed_waits_for_the_filters(cluster: ApiServer, namespace: str) -> None:
    gateway = ObjectRef("Gateway", namespace, "edge")
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace], filters=False) as controller:
        assert (await accepted(cluster, namespace, "Unknown", "Programmed"))["reason"] == "Pending"
        controller.reports.settle()
        assert (await accepted(cluster, namespace, "False", "Programmed"))["reason"] == "NoFilter"
        path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.kind=Gateway"
        (event,) = await eventually(lambda: cluster.http.get(path).json()["items"], "an Event on the Gateway")
        assert event["reason"] == "NoFilter"
        assert f"no filter of {gateway} is connected, its AI routes answer 503: check" in event["message"]
        controller.reports.report(gateway, "pod", "an old one")
        await eventually(lambda: condition(route(cluster, namespace), "Programmed")["reason"] == "Pending")
        controller.reports.report(gateway, "pod", controller.sink.compiled[gateway].config_hash)
        await accepted(cluster, namespace, "True", "Programmed")
        controller.reports.trouble(gateway, "pod", "the filter refuses it")
        assert (await accepted(cluster, namespace, "False", "Programmed"))["message"] == "the filter refuses it"
        controller.reports.trouble(gateway, "pod", "")
        await accepted(cluster, namespace, "True", "Programmed")


async def test_a_changed_route_waits_until_the_filters_have_it(cluster: ApiServer, namespace: str) -> None:
    """Envoy would send requests with the rule's new token to a filter that knows the old one."""
    gateway = ObjectRef("Gateway", namespace, "edge")
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace], filters=False) as controller:
        await controller.leading()
        first = controller.sink.compiled[gateway]
        controller.reports.report(gateway, "pod", first.config_hash)
        override = {"spec": {"headerMutation": {"set": [{"name": "x-a", "value": "b"}]}}}
        merge = {"content-type": "application/merge-patch+json"}
        path = f"/apis/{AIGW}/namespaces/{namespace}/aiservicebackends/provider"
        assert cluster.http.patch(path, json=override, headers=merge).is_success
        await eventually(lambda: controller.sink.compiled[gateway] != first, "compiled")
        newest = controller.sink.compiled[gateway]
        assert token(cluster, namespace) == first.rules[0].token
        controller.reports.report(gateway, "pod", newest.config_hash)
        await eventually(lambda: token(cluster, namespace) == newest.rules[0].token, "written")
        # A filter that never takes it does not hold up the others for long.
        assert cluster.http.patch(path, json={"spec": {"headerMutation": None}}, headers=merge).is_success
        await eventually(lambda: token(cluster, namespace) == first.rules[0].token, "written", limit=20 * HOLD)


async def test_filters_have_the_time_to_come_back_to_a_new_leader(cluster: ApiServer, namespace: str) -> None:
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        before = token(cluster, namespace)
        spec = {"spec": {"headerMutation": {"set": [{"name": "x-a", "value": "b"}]}}}
        merge = {"content-type": "application/merge-patch+json"}
        path = f"/apis/{AIGW}/namespaces/{namespace}/aiservicebackends/provider"
    assert cluster.http.patch(path, json=spec, headers=merge).is_success
    async with running(cluster.kubeconfig, [namespace], reconnect=3600) as controller:
        await controller.controller.lead.wait()
        await accepted(cluster, namespace, "True", "ResolvedRefs")
        assert not controller.controller.idle
        assert token(cluster, namespace) == before
        # What is new disturbs nobody.
        (chat,) = (each for each in documents(namespace) if each["kind"] == "AIGatewayRoute")
        cluster.apply({**chat, "metadata": {"name": "new", "namespace": namespace}})
        await eventually(lambda: get(cluster, GW, "HTTPRoute", "new", namespace), "written")
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        assert (
            token(cluster, namespace)
            == controller.sink.compiled[ObjectRef("Gateway", namespace, "edge")].rules[0].token
        )


async def test_an_envoy_that_does_not_ask_its_filter_any_more_is_told(cluster: ApiServer, namespace: str) -> None:
    gateway, pod = ObjectRef("Gateway", namespace, "edge"), ObjectRef("Pod", "envoy-gateway-system", "proxy")
    for each in documents(namespace):
        cluster.apply(each)
    path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.kind=Gateway"
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await accepted(cluster, namespace, "True", "Programmed")
        # First, Envoy Gateway is made to translate again: what Envoy has may only be old.
        controller.reports.report_unasked(gateway, "pod", pod, long=False)
        await eventually(lambda: TRANSLATE_ANNOTATION in annotations(cluster, namespace))
        assert condition(route(cluster, namespace), "Programmed")["status"] == "True"
        controller.reports.report_unasked(gateway, "pod", pod, long=True)
        found = await accepted(cluster, namespace, "False", "Programmed")
        assert found["reason"] == "NotMediated"
        assert f"no Envoy of {gateway} asks its filter, requests are answered with 503: " in found["message"]
        (event,) = await eventually(lambda: cluster.http.get(path).json()["items"], "an Event on the Gateway")
        assert event["reason"] == "NotMediated"
        assert f"no Envoy of {gateway} asks its filter, its AI routes answer 503: " in event["message"]
        controller.reports.asked(gateway, "pod")
        await accepted(cluster, namespace, "True", "Programmed")


async def test_an_envoy_that_serves_no_ai_route_has_nothing_to_ask_for(cluster: ApiServer, namespace: str) -> None:
    gateway, pod = ObjectRef("Gateway", namespace, "edge"), ObjectRef("Pod", "envoy-gateway-system", "proxy")
    for each in documents(namespace):
        if each["kind"] == "AIGatewayRoute":
            each["spec"]["parentRefs"][0]["sectionName"] = "none"
        cluster.apply(each)
    path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.kind=Gateway"
    async with running(cluster.kubeconfig, [namespace]) as controller:
        assert (await accepted(cluster, namespace, "False", "Programmed"))["reason"] == "NotAttached"
        controller.reports.report_unasked(gateway, "pod", pod, long=True)
        await controller.idle()
        assert condition(route(cluster, namespace), "Programmed")["reason"] == "NotAttached"
        assert controller.reports.unasked(gateway) == (pod,)
        assert cluster.http.get(path).json()["items"] == []


def annotations(cluster: ApiServer, namespace: str) -> dict[str, str]:
    found: dict[str, str] = get(cluster, GW, "Gateway", "edge", namespace)["metadata"].get("annotations") or {}
    return found


def token(cluster: ApiServer, namespace: str) -> str:
    """That the first rule's HTTPRoute demands."""
    return str(http_route(cluster, namespace)["spec"]["rules"][0]["matches"][0]["headers"][0]["value"])


async def test_what_envoy_gateway_never_asks_about_is_told(cluster: ApiServer, namespace: str) -> None:
    gateway = ObjectRef("Gateway", namespace, "edge")
    for each in documents(namespace):
        if each["kind"] == "Gateway":
            del each["metadata"]["annotations"]
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        assert (await accepted(cluster, namespace, "False", "Programmed"))["reason"] == "NotMediated"
        path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.kind=Gateway"
        (event,) = await eventually(lambda: cluster.http.get(path).json()["items"], "an Event on the Gateway")
        assert event["reason"] == "NotMediated"
        assert "its AI routes answer 503: check that extensionManager" in event["message"]
        controller.controller.observed(gateway, None, ())
        await controller.idle()
        assert condition(route(cluster, namespace), "Programmed")["reason"] == "NotMediated"
        controller.controller.observed(gateway, (), ())
        await accepted(cluster, namespace, "True", "Programmed")
        noted = [each for each in controller.writes if each.startswith("patch Gateway ")]
        controller.controller.observed(gateway, (), ())
        await controller.idle()
        assert noted == [each for each in controller.writes if each.startswith("patch Gateway ")]


async def test_of_two_controllers_one_writes(cluster: ApiServer, namespace: str) -> None:
    async with running(cluster.kubeconfig, [namespace], identity="one") as one:
        await one.leading()
        async with running(cluster.kubeconfig, [namespace], identity="two") as two:
            for each in documents(namespace):
                cluster.apply(each)
            await accepted(cluster, namespace, "True", "Programmed")
            # The other one knows the same, for its hooks.
            await eventually(lambda: two.sink.compiled == one.sink.compiled)
            assert two.writes == []
            await _hand_over(cluster, namespace, one, two)


async def _hand_over(cluster: ApiServer, namespace: str, one: Running, two: Running) -> None:
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/envoy-ai-gateway-controller"
    stolen = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}
    cluster.http.patch(lease, json=stolen, headers={"content-type": "application/merge-patch+json"})
    await eventually(lambda: one.controller.lead.is_set() != two.controller.lead.is_set())
    changed = by_kind(namespace)["AIGatewayRoute"]
    changed["spec"]["hostnames"] = ["new.example.com"]
    cluster.apply(changed)
    await eventually(lambda: http_route(cluster, namespace)["spec"].get("hostnames") == ["new.example.com"])


async def test_another_class_of_gateway_is_none_of_ours(cluster: ApiServer, namespace: str) -> None:
    cluster.apply(
        {
            "apiVersion": GW,
            "kind": "GatewayClass",
            "metadata": {"name": "other"},
            "spec": {"controllerName": "example.com/other"},
        }
    )
    for each in documents(namespace, WORLD.replace("gatewayClassName: envoy", "gatewayClassName: other")):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await controller.leading()
        found = await accepted(cluster, namespace, "False")
        assert "is served by example.com/other, not by Envoy Gateway" in found["message"]
        assert controller.sink.compiled == {}
        assert not http_route(cluster, namespace)


async def test_what_one_replica_sees_in_envoy_every_replica_compiles(cluster: ApiServer, namespace: str) -> None:
    gateway = ObjectRef("Gateway", namespace, "edge")
    for each in documents(namespace):
        cluster.apply(each)

    def plans(controller: Running) -> set[str]:
        return {rule.plan for rule in controller.sink.compiled[gateway].rules}

    async with (
        running(cluster.kubeconfig, [namespace], identity="one") as leader,
        running(cluster.kubeconfig, [namespace], identity="two") as other,
    ):
        await accepted(cluster, namespace, "True", "Programmed")
        note = Finding(severity="warning", object=gateway, field="spec.listeners", reason="X", message="one runs after")
        seeing, blind = (other, leader) if leader.controller.lead.is_set() else (leader, other)
        seeing.controller.observed(gateway, {f"{namespace}/edge/http"}, (note,))
        await eventually(lambda: plans(seeing) == plans(blind) == {"attempt"})
        token = seeing.sink.compiled[gateway].rules[0].token
        await eventually(
            lambda: http_route(cluster, namespace)["spec"]["rules"][0]["matches"][0]["headers"][0]["value"] == token
        )
        seeing.controller.observed(gateway, None, ())
        await seeing.idle()
        assert plans(seeing) == {"attempt"}
        seeing.controller.observed(gateway, (), ())
        await eventually(lambda: plans(seeing) == plans(blind) == {"single"})
        found = get(cluster, GW, "Gateway", "edge", namespace)
        assert "aigateway.envoyproxy.io/user-filters" not in found["metadata"].get("annotations", {})


async def test_what_is_seen_in_envoy_is_told_on_the_route(cluster: ApiServer, namespace: str) -> None:
    gateway = ObjectRef("Gateway", namespace, "edge")
    for each in documents(namespace):
        cluster.apply(each)
    async with running(cluster.kubeconfig, [namespace]) as controller:
        await accepted(cluster, namespace, "True")
        bad = Finding(
            severity="error", object=gateway, field="spec.listeners", reason="MergedGateways", message="merged"
        )
        controller.controller.observed(gateway, (), (bad,))
        found = await accepted(cluster, namespace, "False")
        assert (found["reason"], found["message"]) == (
            "MergedGateways",
            f"Gateway {namespace}/edge: spec.listeners: merged",
        )
        controller.controller.observed(gateway, (), ())
        await accepted(cluster, namespace, "True")


async def test_a_kind_that_is_not_served_says_so_and_can_be_deleted(cluster: ApiServer, namespace: str) -> None:
    policy = {
        "apiVersion": "aigateway.envoyproxy.io/v1alpha1",
        "kind": "QuotaPolicy",
        "metadata": {"name": "q", "namespace": namespace, "finalizers": ["aigateway.envoyproxy.io/finalizer"]},
        "spec": {},
    }
    cluster.create(policy)
    async with running(cluster.kubeconfig, [namespace]):

        def look() -> dict[str, Any]:
            return get(cluster, policy["apiVersion"], "QuotaPolicy", "q", namespace)

        await eventually(lambda: condition(look(), "Accepted").get("reason") == "NotSupported")
        cluster.delete(policy)
        await eventually(lambda: not look())


async def test_a_namespace_that_gets_the_label_is_let_in(cluster: ApiServer, namespace: str) -> None:
    own, other = f"{namespace}-own", namespace
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": own}})
    for each in documents(other):
        if each["kind"] == "Gateway":
            each["metadata"]["namespace"] = own
            each["spec"]["listeners"][0]["allowedRoutes"] = {
                "namespaces": {"from": "Selector", "selector": {"matchLabels": {"ai": "yes"}}}
            }
        if each["kind"] == "AIGatewayRoute":
            each["spec"]["parentRefs"][0]["namespace"] = own
        cluster.apply(each)
    async with running(cluster.kubeconfig, [own, other]) as controller:
        found = await accepted(cluster, other, "False")
        assert "does not select the labels of namespace" in found["message"]
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other, "labels": {"ai": "yes"}}})
        await accepted(cluster, other, "True")
        assert controller.sink.compiled[ObjectRef("Gateway", own, "edge")].filter_config.rules
