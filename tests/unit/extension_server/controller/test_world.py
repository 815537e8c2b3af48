"""Compiling what a change concerns gives what compiling everything gives, whatever happens in whatever order."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from extension_server.api.base import Object
from extension_server.api.gateway import Gateway
from extension_server.compile.gateway import compile_gateway
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import Snapshot
from extension_server.controller import world
from extension_server.controller.kinds import BY_KIND
from filters.contract import sections
from tests.unit.extension_server.controller.objects import (
    CHAT,
    EDGE,
    KEY,
    POLICY,
    SECRET,
    WORLD,
    Both,
    documents,
    stored,
)


def test_only_what_depends_on_a_change_is_compiled_again() -> None:
    both = Both()
    both.put(*documents(WORLD))
    other = documents(WORLD)[4]
    other["metadata"]["name"] = "other"
    other["spec"]["rules"][0]["backendRefs"][0]["name"] = "another"
    assert both.put(other) == [ObjectRef("AIGatewayRoute", "n", "other")]
    service = documents(WORLD)[3]
    service["spec"]["schema"]["prefix"] = "v2"
    assert both.put(service) == [CHAT, ObjectRef("AIServiceBackend", "n", "provider")]
    assert both.put(*documents(SECRET)) == []
    assert both.put(*documents(POLICY)) == [
        CHAT,
        ObjectRef("AIServiceBackend", "n", "provider"),
        ObjectRef("BackendSecurityPolicy", "n", "policy"),
    ]
    before = both.world.compiled(EDGE)
    assert both.put(*documents(SECRET.replace("c2stMQ", "c2stMg"))) == []
    after = both.world.compiled(EDGE)
    assert before is not None
    assert after is not None
    assert after.config_hash == before.config_hash
    assert [each.value.reveal() for each in after.filter_config.credentials.values()] == ["Bearer sk-2"]  # type: ignore[union-attr]
    assert both.remove(documents(SECRET)[0]) == [
        CHAT,
        ObjectRef("AIServiceBackend", "n", "provider"),
        ObjectRef("BackendSecurityPolicy", "n", "policy"),
    ]
    assert both.world.secrets() == {ObjectRef("Secret", "n", "key")}
    assert both.world.asked_for(ObjectRef("Secret", "n", "key"))


def test_what_a_filter_runs_tells_which_routes_it_serves_as_they_are_now() -> None:
    both = Both()
    both.put(*documents(WORLD))
    second = documents(WORLD)[4]
    second["metadata"]["name"] = "second"
    first = both.world.compiled(EDGE)
    assert first is not None
    both.put(second)
    now = both.world.compiled(EDGE)
    assert now is not None
    old, new = (both.world.number(EDGE, each.config_hash) for each in (first, now))
    assert (both.world.number(EDGE, "unknown"), old, new) == (0, 1, 2)
    assert both.world.since(EDGE, CHAT) == old
    assert both.world.since(EDGE, ObjectRef("AIGatewayRoute", "n", "second")) == new
    both.remove(second)
    again = both.world.compiled(EDGE)
    assert again is not None
    assert again.config_hash == first.config_hash
    assert both.world.number(EDGE, first.config_hash) == 3


def test_a_filter_of_the_users_changes_the_plan_of_what_it_sees() -> None:
    both = Both()
    both.put(*documents(WORLD))
    gateway = documents(WORLD)[1]
    gateway["metadata"]["annotations"] = {"aigateway.envoyproxy.io/user-filters": "n/edge/http,n/edge/other"}
    assert both.put(gateway) == [CHAT]
    found = both.world.compiled(EDGE)
    assert found is not None
    assert {rule.plan for rule in found.rules} == {"attempt"}


def test_a_gateway_that_goes_takes_its_configuration_along() -> None:
    both = Both()
    both.put(*documents(WORLD))
    both.remove(documents(WORLD)[1])
    assert both.world.compiled(EDGE) is None
    assert both.world.routes_of(EDGE) == (CHAT,)


def test_what_nobody_thought_of_concerns_its_own_object_only(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Both()
    both.put(*documents(WORLD))
    good = both.world.compiled(EDGE)

    def broken(*_: object) -> None:
        raise KeyError("sk-1")

    monkeypatch.setattr(world, "compile_route", broken)
    changed = documents(WORLD)[4]
    changed["spec"]["hostnames"] = ["new.example.com"]
    service = documents(WORLD)[3]
    service["metadata"]["name"] = "other"
    both.put(changed, service)
    part = both.world.part(CHAT)
    assert part is not None
    assert [str(finding) for finding in part.findings] == [
        "AIGatewayRoute n/chat: cannot be compiled (KeyError); please report this, the controller's log has more"
    ]
    assert both.world.compiled(EDGE) == good
    assert both.world.part(ObjectRef("AIServiceBackend", "n", "other")) is not None


def test_a_backend_with_a_policy_that_cannot_be_read_is_served_by_none() -> None:
    """Without its credential the client's own would go to the provider."""
    both = Both()
    both.put(*documents(WORLD), *documents(SECRET), stored(UNREAD))
    closed = both.world.compiled(EDGE)
    assert closed is not None
    assert [rule.backends for rule in closed.filter_config.rules] == [()]
    assert "BackendSecurityPolicy policy targets this backend and cannot be read" in str(closed.findings)
    both.put(*documents(POLICY))
    served = both.world.compiled(EDGE)
    assert served is not None
    assert len(served.filter_config.credentials) == 1
    # The last good state of a policy stays.
    both.put(stored(UNREAD))
    assert both.world.compiled(EDGE) == served
    both.remove(UNREAD)
    both.put(stored(UNREAD, uid="another"))
    assert both.world.compiled(EDGE) == closed
    both.remove(stored(UNREAD, uid="another"))
    bare = both.world.compiled(EDGE)
    assert bare is not None
    assert not bare.filter_config.credentials
    assert all(rule.backends for rule in bare.filter_config.rules)


def test_kinds_that_are_not_served_say_so() -> None:
    both = Both()
    both.put(
        *documents(
            """
            apiVersion: aigateway.envoyproxy.io/v1alpha1
            kind: QuotaPolicy
            metadata: {name: q}
            spec: {}
            """
        )
    )
    part = both.world.part(ObjectRef("QuotaPolicy", "n", "q"))
    assert part is not None
    assert [finding.reason for finding in part.findings] == ["NotSupported"]


CONFIG = """
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: GatewayConfig
metadata: {name: c}
spec: {globalLLMRequestCosts: [{metadataKey: k, type: TotalToken}]}
"""
GRANTS = """
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g}
spec:
  from: [{group: aigateway.envoyproxy.io, kind: AIGatewayRoute, namespace: m}]
  to: [{group: aigateway.envoyproxy.io, kind: AIServiceBackend}]
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: h}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: m}]
  to: [{group: gateway.envoyproxy.io, kind: Backend}]
"""


(UNREAD,) = yaml.safe_load_all(POLICY.replace("type: APIKey", "type: OfTheNextRelease"))


def _variants() -> list[dict[str, Any]]:
    """Objects of a small world, some in several states, some bad."""
    base = list(yaml.safe_load_all("\n---\n".join((WORLD, POLICY, SECRET, CONFIG, GRANTS))))
    found = list(base)
    for index, change in (
        (1, {"metadata": {"name": "edge", "annotations": {"aigateway.envoyproxy.io/gateway-config": "c"}}}),
        (1, {"metadata": {"name": "second"}}),
        (3, {"metadata": {"name": "spare"}}),
        (4, {"metadata": {"name": "other", "namespace": "m"}}),
        (5, {"metadata": {"name": "policy2"}}),
        (6, {"data": {"apiKey": "c2stMg=="}}),
        (6, {"data": {}}),
    ):
        found.append({**deepcopy(base[index]), **change})
    other = found[-4]
    other["spec"] = deepcopy(other["spec"])
    other["spec"]["parentRefs"] = [{"name": "edge", "namespace": "n"}, {"name": "second", "namespace": "n"}]
    other["spec"]["rules"][0]["backendRefs"] = [{"name": "provider", "namespace": "n"}, {"name": "spare", "weight": 2}]
    both = deepcopy(base[4])
    both["spec"]["rules"][0]["backendRefs"].append({"name": "spare", "priority": 1})
    bad = deepcopy(base[4])
    bad["spec"]["rules"] = "none"
    closed = deepcopy(base[2])
    closed["spec"]["endpoints"] = []
    unread_besides = {**deepcopy(UNREAD), "metadata": {"name": "policy2"}}
    shared = deepcopy(base[1])
    shared["spec"]["listeners"][0]["allowedRoutes"] = {"namespaces": {"from": "All"}}
    return [*found, both, bad, closed, shared, UNREAD, unread_besides]


VARIANTS = _variants()
EVENTS = st.tuples(st.sampled_from(range(len(VARIANTS))), st.booleans())


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_step_by_step_and_all_at_once_agree(events: list[tuple[int, bool]]) -> None:
    both = Both()
    both.put(*documents(WORLD))
    for index, present in events:
        if present:
            both.put(stored(deepcopy(VARIANTS[index])))
        else:
            both.remove(VARIANTS[index])
        _agree(both)


def _agree(both: Both) -> None:
    view = both.store.view()
    kinds = [kind for kind, watched in BY_KIND.items() if watched.sort != "child"]
    held = [view.held(ref) for kind in kinds for ref in view.refs(kind)]
    unread = [UNREAD | {"metadata": {"namespace": "n", "name": each.ref.name}} for each in held if each and each.claims]
    objects: list[Object] = [each.object for each in held if each is not None and each.object is not None]
    served = [each for each in objects if not isinstance(each, Gateway) or view.foreign_class(each) is None]
    for name in ("edge", "second"):
        gateway = ObjectRef("Gateway", "n", name)
        found = both.world.compiled(gateway)
        if view.get(Gateway, "n", name) is None:
            assert found is None
            continue
        whole = compile_gateway(Snapshot(served, unread=unread), gateway, token_key=KEY)
        assert found is not None
        assert found.document == whole.document
        assert found.sections == whole.sections == sections.split(whole.filter_config)
        assert (found.rules, found.fallbacks) == (whole.rules, whole.fallbacks)
        parts = [both.world.part(ref) for ref in sorted(both.world.routes_of(gateway))]
        routes = [part.route for part in parts if part is not None and part.route is not None]
        assert tuple(each for route in routes for each in route.generated.objects()) == whole.objects
        assert [(each.object, each.field, each.reason) for each in found.findings] == [
            (each.object, each.field, each.reason) for each in whole.findings
        ]
