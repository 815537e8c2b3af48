"""What is read of objects that are not ours: as much as can be, never an error for what we do not need."""

from typing import Any

import pytest

from extension_server.api import envoy_gateway, gateway
from extension_server.api.base import InvalidObject
from extension_server.controller import documents


def stored(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    version = "gateway.envoyproxy.io/v1alpha1" if kind == "Backend" else "gateway.networking.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}, "spec": spec}


def of_gateway(*listeners: dict[str, Any], **members: Any) -> documents.Read:
    spec = {"gatewayClassName": "envoy", "listeners": list(listeners), **members}
    return documents.read(gateway.StoredGateway, stored("Gateway", spec))


def listener(name: str, protocol: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "protocol": protocol, "port": 80, **members}


def test_listeners_of_other_protocols_are_none_of_ours() -> None:
    read = of_gateway(
        listener("web", "HTTP"),
        listener("raw", "TCP"),
        listener("pass", "TLS", tls={"mode": "Passthrough"}),
        listener("dns", "UDP"),
        listener("new", "example.com/bar"),
    )
    assert isinstance(read.object, gateway.Gateway)
    assert [each.name for each in read.object.spec.listeners] == ["web"]
    assert read.notes == ()


def test_a_gateway_without_any_listener_of_ours_is_a_gateway() -> None:
    read = of_gateway(listener("raw", "TCP"))
    assert isinstance(read.object, gateway.Gateway)
    assert read.object.spec.listeners == ()


def test_members_that_nobody_needs_may_be_anything() -> None:
    read = of_gateway(
        listener("tls", "HTTPS", tls={"mode": "Frobnicate", "certificateRefs": 7}, frontend={"a": 1}),
        infrastructure={"parametersRef": 3},
        addresses="none",
        allowedListeners={"namespaces": {"from": "All"}},
    )
    assert isinstance(read.object, gateway.Gateway)
    assert [each.name for each in read.object.spec.listeners] == ["tls"]
    assert read.notes == ()


def test_a_listener_that_cannot_be_read_is_left_out_with_the_reason() -> None:
    bad = listener("odd", "HTTP", allowedRoutes={"namespaces": {"from": "Elsewhere"}})
    read = of_gateway(bad, listener("web", "HTTP", port=81))
    assert isinstance(read.object, gateway.Gateway)
    assert [each.name for each in read.object.spec.listeners] == ["web"]
    (note,) = read.notes
    assert note.startswith("spec.listeners[0] (odd) is left out, it cannot be read: allowedRoutes.namespaces.from")


def test_a_backend_is_read_for_its_endpoints_alone() -> None:
    spec = {
        "endpoints": [{"fqdn": {"hostname": "api.example.com", "port": 443}, "zone": "z"}],
        "tls": {"wellKnownCACertificates": "Other", "alpnProtocols": 3},
        "appProtocols": ["new"],
    }
    read = documents.read(envoy_gateway.Backend, stored("Backend", spec))
    assert isinstance(read.object, envoy_gateway.Backend)
    assert read.object.spec.endpoints[0].fqdn is not None


def test_a_backend_without_addresses_that_we_understand_says_so() -> None:
    with pytest.raises(InvalidObject, match=r"spec\.type"):
        documents.read(envoy_gateway.Backend, stored("Backend", {"type": "DynamicResolver"}))


def test_of_a_grant_the_readable_members_count() -> None:
    spec = {
        "from": [
            {"group": "g", "kind": "K", "namespace": "other"},
            {"group": "g", "kind": "K", "namespaceSelector": {}},
        ],
        "to": [{"group": "", "kind": "Secret"}],
    }
    read = documents.read(gateway.ReferenceGrant, stored("ReferenceGrant", spec))
    assert isinstance(read.object, gateway.ReferenceGrant)
    assert [each.namespace for each in read.object.spec.from_] == ["other"]
    assert len(read.notes) == 1


@pytest.mark.parametrize("spec", [None, [], "text", {"listeners": "many"}, {"gatewayClassName": "c", "listeners": [1]}])
def test_what_is_no_gateway_at_all_is_refused_or_read_without_listeners(spec: Any) -> None:
    document = stored("Gateway", {})
    document["spec"] = spec
    try:
        read = documents.read(gateway.StoredGateway, document)
    except InvalidObject:
        return
    assert isinstance(read.object, gateway.Gateway)
    assert read.object.spec.listeners == ()
