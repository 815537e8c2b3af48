"""The store: what an event changes, and that nothing in a document can stop it."""

from copy import deepcopy
from typing import Any

import pytest

from extension_server.api import core
from extension_server.api.aigateway import AIGatewayRoute
from extension_server.api.envoy_gateway import Backend
from extension_server.api.gateway import Gateway, HTTPRoute
from extension_server.compile.reads import grants_key, policies_key
from extension_server.compile.result import ObjectRef
from extension_server.controller.kinds import BY_KIND
from extension_server.controller.store import Store
from tests.unit.extension_server.controller.objects import CHAT, EDGE, POLICY, SECRET, WORLD, documents, put, stored

CLASS, GATEWAY, BACKEND, SERVICE, ROUTE = documents(WORLD)


def store(*found: dict[str, Any]) -> Store:
    made = Store("eg")
    put(made, *found)
    return made


def test_objects_are_found_in_the_view_of_their_time() -> None:
    held = store(CLASS, GATEWAY, ROUTE)
    before = held.view()
    held.remove(BY_KIND["AIGatewayRoute"], stored(ROUTE))
    assert before.get(AIGatewayRoute, "n", "chat") is not None
    assert held.view().get(AIGatewayRoute, "n", "chat") is None
    assert before.refs("AIGatewayRoute") == (CHAT,)


def test_members_that_we_do_not_know_are_no_errors() -> None:
    document = deepcopy(stored(GATEWAY))
    document["spec"] |= {"addresses": [{"value": "10.0.0.1"}], "futureField": {"deep": [1]}}
    document["spec"]["listeners"].append({"name": "raw", "protocol": "TCP", "port": 81})
    document["status"] = {"listeners": []}
    document["metadata"]["managedFields"] = [{"manager": "x", "fieldsV1": {"f:spec": {}}}]
    held = store(CLASS, document)
    found = held.view().get(Gateway, "n", "edge")
    assert found is not None
    assert [listener.name for listener in found.spec.listeners] == ["http"]


def test_a_document_that_is_refused_leaves_the_last_good_state() -> None:
    held = store(ROUTE)
    good = held.view().get(AIGatewayRoute, "n", "chat")
    bad = deepcopy(stored(ROUTE, generation=2))
    bad["spec"]["rules"][0]["backendRefs"][0]["weight"] = -1
    change = put(held, bad)
    assert change.keys == {CHAT}
    now = held.held(CHAT)
    assert now is not None
    assert now.object == good
    assert "weight" in (now.problem or "")
    anew = deepcopy(bad)
    anew["metadata"] |= {"uid": "another", "resourceVersion": str(int(bad["metadata"]["resourceVersion"]) + 1)}
    put(held, anew)
    assert held.view().get(AIGatewayRoute, "n", "chat") is None
    assert "weight" in (held.view().problem(AIGatewayRoute, "n", "chat") or "")


def test_an_object_that_was_never_good_has_a_problem() -> None:
    document = deepcopy(BACKEND)
    document["spec"]["endpoints"] = [{"unix": {"path": "/run/x"}}]
    view = store(document).view()
    assert view.get(Backend, "n", "provider") is None
    assert view.problem(Backend, "n", "provider") == "spec.endpoints[0]: one of fqdn or ip must be specified"
    assert view.problem(Backend, "n", "other") is None


def test_old_news_change_nothing() -> None:
    held = store(ROUTE)
    new = stored(ROUTE)
    put(held, new)
    assert not put(held, ROUTE)
    assert not held.remove(BY_KIND["AIGatewayRoute"], ROUTE)
    assert held.held(CHAT) is not None


@pytest.mark.parametrize("kind", ["AIGatewayRoute", "Secret", "HTTPRoute"])
def test_what_comes_after_the_end_of_an_object_does_not_bring_it_back(kind: str) -> None:
    made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "data": {}}
    if kind != "Secret":
        made = {
            **deepcopy(ROUTE),
            "kind": kind,
            "apiVersion": BY_KIND[kind].models[0].model_fields["api_version"].default,
        }
    first = stored(made, uid="first")
    late = stored(made, uid="first")
    held = store(first)
    held.remove(BY_KIND[kind], stored(made, uid="first"))
    ref = ObjectRef(kind, "n", made["metadata"]["name"])
    # The answer to a write of ours that the API server took before the object went.
    assert not held.put(BY_KIND[kind], late)
    if kind == "Secret":
        assert not held.put_secret(late)
        assert held.stale_secrets([ref]) == ()
    assert (held.held(ref), held.child(ref)) == (None, None)
    assert held.put(BY_KIND[kind], stored(made, uid="another"))


def test_what_means_nothing_makes_no_work() -> None:
    held = store(ROUTE, GATEWAY)
    assert not put(held, stored(ROUTE), stored({**GATEWAY, "status": {"conditions": [{"type": "Programmed"}]}}))


def test_a_status_that_somebody_else_writes_is_looked_at_but_not_compiled() -> None:
    held = store(ROUTE)
    change = put(held, stored({**ROUTE, "status": {"conditions": [{"type": "Strange"}]}}))
    assert (change.keys, change.checks) == (set(), {CHAT})


def test_a_policy_concerns_its_old_and_its_new_targets() -> None:
    (policy,) = documents(POLICY)
    held = store(policy)
    moved = deepcopy(stored(policy))
    moved["spec"]["targetRefs"][0]["name"] = "other"
    change = put(held, moved)
    assert {policies_key(("n", "provider")), policies_key(("n", "other"))} <= change.keys
    assert held.view().policies_of(("n", "provider")) == ()
    assert [each.name for each in held.view().policies_of(("n", "other"))] == ["policy"]
    change = held.remove(BY_KIND["BackendSecurityPolicy"], stored(moved))
    assert policies_key(("n", "other")) in change.keys
    assert held.view().policies_of(("n", "other")) == ()


def test_a_grant_concerns_its_namespace() -> None:
    (grant,) = documents(
        """
        apiVersion: gateway.networking.k8s.io/v1beta1
        kind: ReferenceGrant
        metadata: {name: g}
        spec:
          from: [{group: aigateway.envoyproxy.io, kind: AIGatewayRoute, namespace: m}]
          to: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend}]
        """
    )
    held = store()
    assert grants_key("n") in put(held, grant).keys
    assert [each.name for each in held.view().grants("n")] == ["g"]
    assert held.view().grants("m") == ()
    assert grants_key("n") in held.remove(BY_KIND["ReferenceGrant"], stored(grant)).keys


def test_a_gateway_counts_only_when_envoy_gateway_serves_its_class() -> None:
    held = store(GATEWAY)
    assert held.view().get(Gateway, "n", "edge") is None
    assert "GatewayClass envoy not found" in (held.gateway_problem(EDGE) or "")
    assert EDGE in put(held, CLASS).keys
    assert held.view().get(Gateway, "n", "edge") is not None
    assert held.gateway_problem(EDGE) is None
    other = deepcopy(stored(CLASS))
    other["spec"]["controllerName"] = "else"
    assert EDGE in put(held, other).keys
    assert "served by else" in (held.view().problem(Gateway, "n", "edge") or "")


def test_a_list_removes_what_it_does_not_name() -> None:
    second = stored({**ROUTE, "metadata": {**ROUTE["metadata"], "name": "second"}})
    elsewhere = stored({**ROUTE, "metadata": {**ROUTE["metadata"], "namespace": "m"}})
    held = store(ROUTE, second, elsewhere)
    change = held.keep_only(BY_KIND["AIGatewayRoute"], "n", [stored(second)])
    assert change.keys == {CHAT}
    assert set(held.refs("AIGatewayRoute")) == {
        ObjectRef("AIGatewayRoute", "n", "second"),
        ObjectRef("AIGatewayRoute", "m", "chat"),
    }


def test_a_list_does_not_remove_what_is_newer_than_it() -> None:
    held = store(ROUTE)
    version = int(ROUTE["metadata"]["resourceVersion"])
    assert not held.keep_only(BY_KIND["AIGatewayRoute"], None, (), as_of=version - 1)
    assert held.held(CHAT) is not None
    assert held.keep_only(BY_KIND["AIGatewayRoute"], None, (), as_of=version).keys == {CHAT}


HTTP_ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "chat", "namespace": "n", "uid": "u"},
    "spec": {"rules": []},
}
OWNER = {
    "apiVersion": "aigateway.envoyproxy.io/v1alpha1",
    "kind": "AIGatewayRoute",
    "name": "chat",
    "uid": "uid-chat",
    "controller": True,
}


@pytest.mark.parametrize(
    ("metadata", "foreign", "owner"),
    [
        ({}, True, None),
        ({"ownerReferences": [OWNER]}, False, CHAT),
        ({"ownerReferences": [{**OWNER, "controller": False}]}, True, None),
        ({"ownerReferences": [{**OWNER, "kind": "Deployment", "apiVersion": "apps/v1"}]}, True, None),
        ({"annotations": {"gateway.envoyproxy.io/ai-gateway-generated": "true"}}, False, None),
        (
            {
                "annotations": {"gateway.envoyproxy.io/ai-gateway-generated": "true"},
                "ownerReferences": [{**OWNER, "kind": "MCPRoute2", "apiVersion": "example.com/v1"}],
            },
            True,
            None,
        ),
    ],
)
def test_whose_an_httproute_is(metadata: dict[str, Any], foreign: bool, owner: ObjectRef | None) -> None:
    held = store()
    change = put(held, stored(HTTP_ROUTE, **metadata))
    child = held.child(ObjectRef("HTTPRoute", "n", "chat"))
    assert child is not None
    assert (child.foreign, child.owner) == (foreign, owner)
    assert (held.view().get(HTTPRoute, "n", "chat") is not None) == foreign
    assert (ObjectRef("HTTPRoute", "n", "chat") in change.keys) == foreign
    assert change.checks == ({owner} if owner else set())


def test_generated_objects_are_found_by_their_owner_until_they_are_gone() -> None:
    held = store(stored(HTTP_ROUTE, ownerReferences=[OWNER]))
    assert [child.ref.name for child in held.children_of(CHAT)] == ["chat"]
    assert held.owners() == (CHAT,)
    assert not put(held, stored(HTTP_ROUTE, ownerReferences=[OWNER])).checks
    changed = {**HTTP_ROUTE, "spec": {"rules": [{}]}}
    assert put(held, stored(changed, ownerReferences=[OWNER])).checks == {CHAT}
    assert held.remove(BY_KIND["HTTPRoute"], stored(HTTP_ROUTE)).checks == {CHAT}
    assert held.children_of(CHAT) == ()
    assert held.owners() == ()


def test_a_policy_on_a_generated_route_concerns_the_status_of_its_owner() -> None:
    held = store(stored(HTTP_ROUTE, ownerReferences=[OWNER]))
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "chat"}
    policy = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": "p"},
        "spec": {"targetRef": target, "apiKeyAuth": 1},
    }
    assert put(held, stored(policy)).checks == {CHAT}
    route = ObjectRef("HTTPRoute", "n", "chat")
    assert [*held.policies_of(route)] == [ObjectRef("SecurityPolicy", "n", "p")]
    assert put(held, stored({**policy, "spec": {"targetRef": {**target, "name": "other"}}})).checks == {CHAT}
    assert [*held.policies_of(route)] == []
    put(held, stored(policy))
    assert held.remove(BY_KIND["SecurityPolicy"], stored(policy)).checks == {CHAT}


def test_only_secrets_that_somebody_asks_for_are_held() -> None:
    ref = ObjectRef("Secret", "n", "key")
    (secret,) = documents(SECRET)
    held = store(secret)
    assert held.view().get(core.Secret, "n", "key") is None
    assert held.stale_secrets([ref, ObjectRef("Secret", "n", "other"), CHAT]) == (ref,)
    held.put_secret(secret)
    assert held.stale_secrets([ref]) == ()
    found = held.view().get(core.Secret, "n", "key")
    assert found is not None
    assert "sk-1" not in repr(found)
    assert put(held, stored(secret)).keys == {ref}
    assert held.stale_secrets([ref]) == (ref,)
    held.forget_secrets([])
    assert held.view().get(core.Secret, "n", "key") is None
    assert held.gone(ref).keys == {ref}
    assert held.stale_secrets([ref]) == ()


def test_a_document_that_is_none_is_a_problem_of_its_own() -> None:
    odd = stored(
        {"apiVersion": ROUTE["apiVersion"], "kind": "AIGatewayRoute", "metadata": {"name": "odd"}, "spec": {1}}
    )
    held = store(odd)
    found = held.held(ObjectRef("AIGatewayRoute", "n", "odd"))
    assert found is not None
    assert found.object is None
    assert found.problem
