from typing import Any

import pytest

from extension_server.api.container import EnvVar
from extension_server.sidecar import container
from extension_server.sidecar.container import Settings, native_sidecars
from tests.unit.extension_server.sidecar.proxies import SETTINGS, config


def settings(image: str) -> Settings:
    return Settings(image=image, config_address="c:1")


@pytest.mark.parametrize(
    ("default", "own", "expected"),
    [
        ("registry:5000/a/b:1", {}, "registry:5000/a/b:1"),
        ("registry:5000/a/b:1", {"image": "mine"}, "mine"),
        ("registry:5000/a/b:1", {"imageRepository": "mine/b"}, "mine/b:1"),
        ("registry:5000/a/b", {"imageRepository": "mine/b"}, "mine/b"),
        ("a/b@sha256:0", {"imageRepository": "mine/b"}, "mine/b@sha256:0"),
        ("a/b:1@sha256:0", {"imageRepository": "mine/b"}, "mine/b@sha256:0"),
    ],
)
def test_the_image_is_the_gateways_own_before_the_controllers(default: str, own: dict[str, Any], expected: str) -> None:
    assert container.container(settings(default), config(**own))["image"] == expected


def test_a_variable_of_the_gateway_takes_the_place_of_the_controllers() -> None:
    shared = Settings(
        image="i", config_address="c:1", environment=(EnvVar(name="A", value="1"), EnvVar(name="B", value="2"))
    )
    own = config(env=[{"name": "A", "value": "own"}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}])
    assert container.container(shared, own)["env"] == [
        {"name": "A", "value": "own"},
        {"name": "B", "value": "2"},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}},
    ]


def test_a_security_context_of_the_gateway_replaces_the_hardened_one_as_a_whole() -> None:
    assert container.container(SETTINGS, None)["securityContext"]["readOnlyRootFilesystem"] is True
    own = config(securityContext={"privileged": False, "capabilities": {"add": ["X"]}})
    made = container.container(SETTINGS, own)["securityContext"]
    assert made == {"privileged": False, "capabilities": {"add": ["X"], "drop": []}}


def test_resources_and_mounts_of_the_gateway_are_taken() -> None:
    own = config(
        resources={"limits": {"memory": "1Gi"}}, volumeMounts=[{"name": "extra", "mountPath": "/x", "readOnly": True}]
    )
    made = container.container(SETTINGS, own)
    assert made["resources"]["limits"] == {"memory": "1Gi"}
    assert made["volumeMounts"][-1] == {"name": "extra", "mountPath": "/x", "readOnly": True}


def test_the_hash_is_that_of_everything_which_a_pod_gets() -> None:
    hashes = {
        container.template_hash(SETTINGS, None),
        container.template_hash(settings("other"), None),
        container.template_hash(SETTINGS, config(env=[{"name": "A", "value": "1"}])),
        container.template_hash(Settings(image=SETTINGS.image, config_address="c:1", native=False), None),
    }
    assert len(hashes) == 4
    assert container.template_hash(SETTINGS, None) == container.template_hash(SETTINGS, config())


@pytest.mark.parametrize(
    ("major", "minor", "native"),
    [("1", "32", False), ("1", "33", True), ("1", "33+", True), ("1", "9", False), ("2", "0", True), ("", "", False)],
)
def test_sidecar_containers_are_known_by_the_version(major: str, minor: str, native: bool) -> None:
    assert native_sidecars(major, minor) is native
