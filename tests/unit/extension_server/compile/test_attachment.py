"""Where a route is served: sectionName, port, allowedRoutes, host names, and who wins a host."""

from typing import Any

import pytest

from extension_server.api.base import parse
from extension_server.api.gateway import Gateway, ParentReference
from extension_server.compile.attachment import Place, attach, configuration_names
from extension_server.compile.hostnames import covers, intersect
from tests.support.manifests import objects


def gateway(*listeners: dict[str, Any]) -> Gateway:
    document = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "g"},
        "spec": {"gatewayClassName": "c", "listeners": [{"protocol": "HTTP", "port": 80} | each for each in listeners]},
    }
    found = parse(Gateway, document)
    assert isinstance(found, Gateway)
    return found


TWO = (
    {"name": "wide"},
    {"name": "narrow", "hostname": "*.example.com"},
    {"name": "other", "port": 81, "hostname": "one.example.com"},
)


def places(
    found: Gateway, hosts: tuple[str, ...] = (), namespace: str = "default", **parent: Any
) -> tuple[set[str], tuple[str, ...]]:
    attached = attach(found, namespace, (ParentReference(name="g", namespace="default", **parent),), hosts)
    return {f"{each.configuration} {each.host}" for each in attached.places}, tuple(why for _, why in attached.refused)


def test_http_listeners_of_one_port_share_the_configuration_of_the_first() -> None:
    https = [{"name": name, "protocol": "HTTPS", "port": 443, "hostname": f"{name}.example.com"} for name in ("a", "b")]
    assert configuration_names(gateway(*TWO, *https)) == {
        "wide": "default/g/wide",
        "narrow": "default/g/wide",
        "other": "default/g/other",
        "a": "default/g/a",
        "b": "default/g/b",
    }


@pytest.mark.parametrize(
    ("listener", "route", "expected"),
    [
        ("*", (), ("*",)),
        ("*", ("a.b", "*.c"), ("a.b", "*.c")),
        ("*.b", (), ("*.b",)),
        ("*.b", ("a.b", "x.a.b", "b", "a.c"), ("a.b", "x.a.b")),
        ("*.b", ("*.a.b", "*.b", "*.c"), ("*.a.b", "*.b")),
        ("x.a.b", ("*.b", "y.a.b"), ("x.a.b",)),
        ("a.b", ("a.b", "a.b"), ("a.b",)),
        ("a.b", ("c.d",), ()),
    ],
)
def test_hosts_of_a_route_on_a_listener(listener: str, route: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert intersect(listener, route) == expected


def test_a_wildcard_takes_at_least_one_label() -> None:
    assert covers("*.b", "a.b")
    assert not covers("*.b", "b")
    assert not covers("*.b", "ab")


def test_a_host_belongs_to_the_listener_that_names_it_more_exactly() -> None:
    assert places(gateway(*TWO), ("x.example.com",)) == ({"default/g/wide x.example.com"}, ())
    assert places(gateway(*TWO), section_name="wide") == ({"default/g/wide *"}, ())
    found = attach(
        gateway(*TWO), "default", (ParentReference(name="g", section_name="wide"),), ("x.example.com", "y.org")
    )
    assert found.places == (Place("default/g/wide", "y.org"),)


def test_section_and_port_choose_listeners() -> None:
    assert places(gateway(*TWO), port=81) == ({"default/g/other one.example.com"}, ())
    assert places(gateway(*TWO), section_name="narrow") == ({"default/g/wide *.example.com"}, ())


@pytest.mark.parametrize(
    ("parent", "hosts", "namespace", "why"),
    [
        (
            {"section_name": "nope"},
            (),
            "default",
            "no HTTP or HTTPS listener is named nope; correct the reference or add one",
        ),
        ({"port": 9}, (), "default", "no HTTP or HTTPS listener has port 9; correct the reference or add one"),
        (
            {"section_name": "wide", "port": 81},
            (),
            "default",
            "no HTTP or HTTPS listener is named wide and has port 81; correct the reference or add one",
        ),
        (
            {"section_name": "wide"},
            (),
            "team",
            (
                "listener wide does not allow routes from namespace team; set its allowedRoutes.namespaces.from to "
                "All, or to Selector with a label of that namespace"
            ),
        ),
        (
            {"section_name": "other"},
            ("two.example.com",),
            "default",
            "listener other takes host one.example.com, none of the route's hostnames; change one of them",
        ),
    ],
)
def test_a_refusal_says_why(parent: dict[str, Any], hosts: tuple[str, ...], namespace: str, why: str) -> None:
    assert places(gateway(*TWO), hosts, namespace, **parent) == (set(), (why,))


@pytest.mark.parametrize(
    ("selector", "labels", "allowed"),
    [
        ("{matchLabels: {team: a}}", {"team": "a", "x": "y"}, True),
        ("{matchLabels: {team: a}}", {"team": "b"}, False),
        ("{}", {}, True),
        ("null", {"team": "a"}, False),
        ("{matchExpressions: [{key: team, operator: In, values: [a, b]}]}", {"team": "b"}, True),
        ("{matchExpressions: [{key: team, operator: In, values: [a, b]}]}", {}, False),
        ("{matchExpressions: [{key: team, operator: NotIn, values: [a]}]}", {}, True),
        ("{matchExpressions: [{key: team, operator: Exists}]}", {"team": ""}, True),
        ("{matchExpressions: [{key: team, operator: DoesNotExist}]}", {"team": ""}, False),
        ("{matchLabels: {kubernetes.io/metadata.name: other}}", None, True),
        ("{matchLabels: {team: a}}", None, False),
    ],
)
def test_a_listener_may_select_namespaces_by_label(selector: str, labels: dict[str, str] | None, allowed: bool) -> None:
    text = f"""
    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata: {{name: g, namespace: own}}
    spec:
      gatewayClassName: c
      listeners:
        - name: http
          protocol: HTTP
          port: 80
          allowedRoutes: {{namespaces: {{from: Selector, selector: {selector}}}}}
    """
    (served,) = objects(text)
    assert isinstance(served, Gateway)
    reference = ParentReference(name="g", namespace="own")
    found = attach(served, "other", (reference,), (), labels)
    assert bool(found.places) == allowed
    why = (
        "listener http does not select the labels of namespace other; change these or its "
        "allowedRoutes.namespaces.selector"
    )
    assert [each for _, each in found.refused] == ([] if allowed else [why])
