"""The push against a real API server: a proxy's filter gets its own Gateway's configuration, and keeps it."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from extension_server.controller.leader import LEASE, LEASES
from filters.contract import jsonlib
from filters.push.state import StateFolder
from tests.support import push_processes as processes
from tests.support.apiserver import ApiServer
from tests.support.controller import condition
from tests.support.controller_world import by_kind, documents, route
from tests.support.push import Following
from tests.support.push_processes import ControllerProcess
from tests.support.waiting import eventually, wait_until


@dataclass
class World:
    api: ApiServer
    namespace: str
    controller: ControllerProcess
    authorities: bytes

    @property
    def port(self) -> int:
        return self.controller.config_port


@pytest.fixture
def world(cluster: ApiServer, namespace: str, tmp_path: Path) -> Iterator[World]:
    for each in documents(namespace):
        cluster.apply(each)
    with processes.controller(cluster, namespace, tmp_path) as controller:
        controller.ready()
        yield World(cluster, namespace, controller, processes.authorities(cluster, namespace))


def programmed(world: World, name: str = "chat") -> dict[str, Any]:
    return condition(route(world.api, world.namespace, name), "Programmed")


def another(namespace: str, model: str, name: str) -> dict[str, Any]:
    document = by_kind(namespace)["AIGatewayRoute"]
    document["metadata"] = {"name": name, "namespace": namespace}
    document["spec"]["rules"][0]["matches"][0]["headers"][0]["value"] = model
    return document


def kept(folder: Path) -> bytes:
    """What the next process starts with."""
    found = StateFolder(folder).read()
    return found[0].read_bytes() if found is not None else b""


@pytest.mark.parametrize("workers", [1, 2])
def test_changes_reach_the_filter_which_outlives_its_controller(world: World, tmp_path: Path, workers: int) -> None:
    api, namespace, state = world.api, world.namespace, tmp_path / "state"
    proof = processes.proxy(api, namespace, (namespace, "edge"))
    flags = ("--workers", str(workers)) if workers > 1 else ()
    with processes.filter_process(world.port, world.authorities, proof, state, *flags) as filter_:
        if workers > 1:
            filter_.socket = filter_.socket.with_name("run.sock.1")
        wait_until(lambda: filter_.health() == 200, "healthy")
        assert filter_.ask("m1") == (200, "Bearer sk-1")
        wait_until(lambda: programmed(world).get("status") == "True", "Programmed")
        before = route(api, namespace)["metadata"]["resourceVersion"]

        api.apply(another(namespace, "m2", "second"))
        wait_until(lambda: filter_.ask("m2")[0] == 200, "a new route")
        api.apply({**by_kind(namespace)["Secret"], "stringData": {"apiKey": "sk-2"}})
        wait_until(lambda: filter_.ask("m1") == (200, "Bearer sk-2"), "a new value of the Secret")
        wait_until(lambda: programmed(world, "second").get("status") == "True", "Programmed, too")
        assert route(api, namespace)["metadata"]["resourceVersion"] == before, "nothing is written for a new value"

        wait_until(lambda: b"sk-2" in kept(state) and b"m2" in kept(state), "kept on disk")
        world.controller.kill()
        wait_until(lambda: "runs on" in filter_.log(), "the filter notices")
        assert filter_.health() == 200
        assert filter_.ask("m1") == (200, "Bearer sk-2")
        loads = len(filter_.loaded())

        # A new process beside the old one's folder serves at once; one that knows nothing says so.
        with processes.filter_process(world.port, world.authorities, proof, state, *flags) as successor:
            if workers > 1:
                successor.socket = successor.socket.with_name("run.sock.0")
            wait_until(lambda: successor.health() == 200, "healthy by the last good configuration")
            assert successor.ask("m2") == (200, "Bearer sk-2")
        with processes.filter_process(world.port, world.authorities, proof, tmp_path / "nothing") as new:
            wait_until(lambda: "there is no configuration" in new.log(), "it tries")
            assert new.health() == 500
            status, body = new.ask("m1")
            assert (status, "no_configuration" in body) == (503, True)

        with processes.controller(api, namespace, tmp_path, port=world.port) as again:
            again.ready()
            wait_until(lambda: filter_.log().count("following the controller") == 2, "it follows again")
            wait_until(lambda: "Pod" in again.log() and "follows" in again.log(), "it is there")
            assert len(filter_.loaded()) == loads, "the same configuration is not loaded again"
            api.apply(another(namespace, "m3", "third"))
            wait_until(lambda: filter_.ask("m3")[0] == 200, "a change after the restart")


def test_a_filter_starts_while_nobody_leads(world: World, tmp_path: Path) -> None:
    api, namespace = world.api, world.namespace
    spec = {"holderIdentity": "killed", "leaseDurationSeconds": 3600, "renewTime": f"{datetime.now(UTC):%FT%T.%fZ}"}
    lease = {"name": LEASE, "namespace": namespace}
    api.create({"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": lease, "spec": spec})
    proof = processes.proxy(api, namespace, (namespace, "edge"))
    with processes.controller(api, namespace, tmp_path, "--enableLeaderElection=true") as other:
        other.ready()
        with processes.filter_process(other.config_port, world.authorities, proof, tmp_path / "state") as filter_:
            wait_until(lambda: filter_.health() == 200, "healthy")
            assert filter_.ask("m1") == (200, "Bearer sk-1")
            wait_until(lambda: "another replica of the controller leads" in filter_.log(), "sent on")
            assert filter_.ask("m1") == (200, "Bearer sk-1")


async def test_each_filter_gets_its_own_gateway_and_nothing_else(world: World, tmp_path: Path) -> None:
    api, namespace = world.api, world.namespace
    second = by_kind(namespace)["Gateway"]
    second["metadata"]["name"] = "second"
    api.apply(second)
    other = another(namespace, "m9", "for-second")
    other["spec"]["parentRefs"] = [{"name": "second"}]
    api.apply(other)
    proof = processes.proxy(api, namespace, (namespace, "second"))
    async with Following(tmp_path, world.port, world.authorities, proof).running() as filter_:
        await eventually(lambda: any(f"route/{namespace}/for-second" in each.parts for each in filter_.target.taken))
    for each in filter_.target.taken:
        assert f"route/{namespace}/chat" not in each.parts


def forged(api: ApiServer, good: str, **claims: Any) -> str:
    """A token with other claims, signed with the API server's own key: all about it is right but what it says."""
    header, payload, _ = good.split(".")
    said = {**jsonlib.decode(_bytes(payload), dict[str, Any]), **claims}
    signed = f"{header}.{_text(jsonlib.encode(said))}"
    key = serialization.load_pem_private_key((api.directory / "service-accounts.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_text(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_strangers_are_refused_and_the_log_says_why(world: World, tmp_path: Path) -> None:
    api, namespace = world.api, world.namespace
    elsewhere = f"{namespace}-elsewhere"
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": elsewhere}})
    good = processes.proxy(api, namespace, (namespace, "edge"))
    gone = processes.proxy(api, namespace, (namespace, "edge"), "gone")
    api.http.delete(f"/api/v1/namespaces/{namespace}/pods/gone", params={"gracePeriodSeconds": "0"})
    tampered = good[:-10] + ("A" if good[-10] != "A" else "B") + good[-9:]
    cases = {
        "": "no token",
        "nonsense": "the token is not valid",
        tampered: "the token is not valid",
        forged(api, good, exp=1_000_000): "the token is not valid",
        gone: "the token is not valid",
        processes.token(api, namespace, "proxy", "https://kubernetes.default.svc"): "the token is not valid",
        processes.token(api, namespace, None): "is not bound to a pod",
        processes.pod(api, namespace, "plain", {}): "is no proxy of Envoy Gateway's",
        processes.proxy(api, elsewhere, (namespace, "edge")): "proxies run in the namespace of their Gateway",
    }
    for number, (proof, reason) in enumerate(cases.items()):
        before = world.controller.log().count(reason)
        directory = tmp_path / str(number)
        directory.mkdir()
        following = Following(directory, world.port, world.authorities, proof)
        async with following.running():
            await eventually(lambda before=before, reason=reason: world.controller.log().count(reason) > before, reason)
            await eventually(lambda following=following: following.waits >= 1)
        assert following.target.taken == []
    for proof in cases:
        assert not proof or proof not in world.controller.log()

    # And the good one, signed in the same way, is none of them.
    directory = tmp_path / "good"
    directory.mkdir()
    following = Following(directory, world.port, world.authorities, forged(api, good))
    async with following.running():
        await eventually(lambda: following.target.taken != [])


async def test_a_route_that_is_deleted_leaves_the_filter(world: World, tmp_path: Path) -> None:
    api, namespace = world.api, world.namespace
    api.apply(another(namespace, "m2", "second"))
    proof = processes.proxy(api, namespace, (namespace, "edge"))
    name = f"route/{namespace}/second"
    async with Following(tmp_path, world.port, world.authorities, proof).running() as filter_:
        await eventually(lambda: filter_.target.taken != [] and name in filter_.target.taken[-1].parts)
        api.delete(another(namespace, "m2", "second"))
        await eventually(lambda: name not in filter_.target.taken[-1].parts)
