"""Envoy Gateway is replaced by its next release, and back, while clients go on asking the same Envoy."""

from collections.abc import Iterator

import pytest

from hack.lab import envoy_gateway as releases
from tests.gateway.live.conftest import Live
from tests.gateway.live.load import Load, constant, served
from tests.gateway.live.test_hooks import translations
from tests.gateway.live.worlds import chat_world, route
from tests.support.waiting import wait_until

NAME = "kept"
PORT = 8895


@pytest.fixture
def load(live: Live) -> Iterator[Load]:
    live.apply(chat_world(NAME, PORT))
    live.proxy(f"default/{NAME}")
    live.provider.forget()
    with constant(PORT, lambda: served(PORT), lambda: live.controller.log()[-3000:]) as made:
        made.more()
        yield made
    live.provider.forget()


def replaced(live: Live, load: Load, version: str) -> None:
    """Envoy Gateway by that one. Then a change arrives, and all of it is mediated."""
    release = releases.RELEASES[version]
    before = translations()
    # Definitions only go forward: the API server keeps every version that objects may be stored as.
    live.envoy_gateway.replace(release.tool, releases.definitions(release) if version == "1.9" else ())
    load.more()
    live.envoy_gateway.wait(lambda: translations() > before, f"Envoy Gateway {version} calls the hooks")
    model = f"with-{version}"
    refs = f"[{{name: {NAME}}}]"
    live.apply(route(NAME, NAME, {"m1": refs, model: refs}))
    wait_until(lambda: served(PORT, model), lambda: live.controller.log()[-3000:])
    load.models = ("m1", model)
    load.more()


def test_no_request_fails_while_envoy_gateway_goes_to_its_next_release_and_back(live: Live, load: Load) -> None:
    replaced(live, load, "1.9")
    load.models = ("m1",)
    load.more()
    # One that does not please is taken back.
    replaced(live, load, "1.8")
    assert not load.failures, load.told()
    keys = {dict(each["headers"])["authorization"] for each in live.provider.recorded()}
    assert keys == {"Bearer sk-first"}
