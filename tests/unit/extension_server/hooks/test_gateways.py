"""Whose a RouteConfiguration is, and what the filter calls it."""

from typing import Any

import pytest

from extension_server.compile.result import ObjectRef
from extension_server.hooks import gateways
from extension_server.hooks.gateways import Section
from extension_server.xds import pool
from filters.contract.config import Listener, VirtualHost

GATEWAY = ObjectRef("Gateway", "default", "gw")


def configuration(name: str, *hosts: tuple[str, str]) -> Any:
    """`hosts`: (listener, domain)."""
    return pool.message(
        pool.ROUTE_CONFIGURATION,
        name=name,
        virtual_hosts=[
            {
                "domains": [domain],
                "metadata": {
                    "filter_metadata": {
                        "envoy-gateway": pool.struct(
                            {
                                "resources": [
                                    {"kind": "Gateway", "namespace": "default", "name": "gw", "sectionName": listener}
                                ]
                            }
                        )
                    }
                },
            }
            for listener, domain in hosts
        ],
    )


def listener(name: str, *domains: str) -> Listener:
    return Listener(name=f"default/gw/{name}", virtual_hosts=(VirtualHost(domains=domains, matches=(), models=()),))


def test_metadata_of_virtual_hosts_names_the_gateway_under_any_naming_scheme() -> None:
    assert gateways.sections(configuration("http-80", ("a", "*"), ("b", "x"), ("a", "y"))) == (
        Section(GATEWAY, "a"),
        Section(GATEWAY, "b"),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [("default/gw/http", (Section(GATEWAY, "http"),)), ("http-80", ()), ("a//b", ()), ("", ()), ("a/b/c/d", ())],
)
def test_without_metadata_the_name_tells(name: str, expected: tuple[Section, ...]) -> None:
    assert gateways.sections(pool.message(pool.ROUTE_CONFIGURATION, name=name, virtual_hosts=[{}])) == expected


@pytest.mark.parametrize(
    ("made", "known", "expected"),
    [
        (configuration("default/gw/a", ("b", "*")), [listener("a", "*")], "default/gw/a"),
        (configuration("http-80", ("a", "*")), [listener("a", "*")], "default/gw/a"),
        # The first listener of the port has no virtual host here: the hosts tell.
        (
            configuration("http-80", ("b", "b.example")),
            [listener("a", "b.example"), listener("c", "x")],
            "default/gw/a",
        ),
        # Two listeners could be meant: no guess.
        (configuration("http-80", ("b", "*")), [listener("a", "*"), listener("c", "*")], "http-80"),
        (configuration("http-80", ("b", "*")), [], "http-80"),
    ],
)
def test_the_filter_knows_a_port_by_its_first_listener(made: Any, known: list[Listener], expected: str) -> None:
    assert gateways.listener_name(made, gateways.sections(made), tuple(known)) == expected
