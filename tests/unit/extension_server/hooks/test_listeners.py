"""Listeners of every kind that Envoy Gateway writes, beside one with AI routes."""

from typing import Any

import pytest

from extension_server.hooks import messages
from extension_server.hooks.service import HookService
from extension_server.xds import pool, processor
from tests.support.hooks import answered, decoded, scenario

NAME = "default/gw/https"


def patched(*more: Any) -> list[Any]:
    """The listeners after the hook: the recorded ones of scenario `https`, and `more`."""
    recorded = scenario("https")
    request = messages.request("PostTranslateModify").FromString(recorded.translation)
    request.listeners.extend(each.SerializeToString() for each in more)
    answer = answered(HookService(recorded.results()), "PostTranslateModify", request.SerializeToString())
    return decoded("listeners", answer)[len(request.listeners) - len(more) :]


def recorded_listener() -> Any:
    request = messages.request("PostTranslateModify").FromString(scenario("https").translation)
    return next(each for each in decoded("listeners", request) if each.name == NAME)


def managers(listener: Any) -> list[Any]:
    chains = [*listener.filter_chains, listener.default_filter_chain]
    return [
        pool.unpacked(each.typed_config)
        for chain in chains
        for each in chain.filters
        if pool.type_name(each.typed_config) == pool.HTTP_CONNECTION_MANAGER
    ]


def has_filter(manager: Any) -> bool:
    return any(each.name == processor.FILTER for each in manager.http_filters)


def test_every_chain_of_a_listener_is_patched_the_default_one_too() -> None:
    listener = recorded_listener()
    listener.filter_chains.add().CopyFrom(listener.filter_chains[0])
    listener.default_filter_chain.CopyFrom(listener.filter_chains[0])
    (after,) = patched(listener)
    assert [has_filter(each) for each in managers(after)] == [True, True, True]


def test_a_quic_listener_is_patched_like_its_tcp_twin() -> None:
    listener = recorded_listener()
    listener.name += "-quic"
    listener.address.socket_address.protocol = listener.address.socket_address.Protocol.Value("UDP")
    listener.udp_listener_config.quic_options.SetInParent()
    (after,) = patched(listener)
    assert [has_filter(each) for each in managers(after)] == [True]


def udp() -> Any:
    """A UDP listener has no filter chain at all."""
    return pool.message(pool.LISTENER, name="default/gw/udp", udp_listener_config={"downstream_socket_config": {}})


def inline_routes() -> Any:
    listener = recorded_listener()
    for chain in listener.filter_chains:
        for each in chain.filters:
            manager = pool.unpacked(each.typed_config)
            manager.route_config.name = manager.rds.route_config_name
            pool.replace(each.typed_config, manager)
    return listener


def another_gateways() -> Any:
    listener = recorded_listener()
    for chain in listener.filter_chains:
        for each in chain.filters:
            manager = pool.unpacked(each.typed_config)
            manager.rds.route_config_name += "-2"
            pool.replace(each.typed_config, manager)
    return listener


def own() -> Any:
    listener = recorded_listener()
    listener.name = "envoy-gateway-proxy-stats-0.0.0.0-19001"
    return listener


@pytest.mark.parametrize("listener", [udp(), inline_routes(), another_gateways(), own()], ids=lambda each: each.name)
def test_listeners_that_serve_no_ai_routes_are_not_touched(listener: Any) -> None:
    assert patched(listener) == [listener]


def test_a_listener_whose_name_only_begins_like_another_is_not_touched() -> None:
    """`default/gw/http` is part of `default/gw/http2`, in the bytes as well."""
    recorded = scenario("one-fqdn")
    request = messages.request("PostTranslateModify").FromString(recorded.translation)
    (listener,) = [each for each in decoded("listeners", request) if each.name == "default/gw/http"]
    other = pool.message_class(pool.LISTENER)()
    other.CopyFrom(listener)
    other.name = "default/gw/http2"
    chain = other.default_filter_chain if other.HasField("default_filter_chain") else other.filter_chains[0]
    manager = pool.unpacked(chain.filters[0].typed_config)
    manager.rds.route_config_name = "default/gw/http2"
    pool.replace(chain.filters[0].typed_config, manager)
    raw = other.SerializeToString()
    request.listeners.append(raw)
    answer = answered(HookService(recorded.results()), "PostTranslateModify", request.SerializeToString())
    assert raw in answer.listeners
