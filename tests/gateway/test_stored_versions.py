"""Objects that were stored as v1alpha1, by definitions that knew nothing else: what becomes of them under ours."""

import contextlib
import copy
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from hack.generate_crds import KINDS, definition
from hack.tools import build
from tests.support import apiserver, envoy_gateway_crds, validation
from tests.support.apiserver import ApiServer, Refused
from tests.support.controller import CLASS_CONTROLLER, running
from tests.support.controller_world import AIGW, FOREIGN, GW, accepted, documents, http_route

OLD: Final = "aigateway.envoyproxy.io/v1alpha1"
NAMESPACE: Final = "stored"
BASES: Final[dict[str, Any]] = validation.table("kinds")["base"]
MOVED: Final = tuple(kind for kind in KINDS if len(kind.versions) > 1)
PAGE: Final = Path(__file__).parents[2] / "docs" / "operations.md"


def commands() -> str:
    """What people run before v1alpha1 may ever be taken out."""
    (found,) = (
        each
        for each in re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        if "storedVersions" in each
    )
    return str(found)


def without(version: str, plural: str) -> dict[str, Any]:
    """The definition, as if that version had never been, or were no more."""
    found = copy.deepcopy(next(definition(kind) for kind in KINDS if kind.plural == plural))
    found["spec"]["versions"] = [each for each in found["spec"]["versions"] if each["name"] != version]
    for each in found["spec"]["versions"]:
        each["storage"] = True
    return found


@contextlib.contextmanager
def running_upgraded(folder: Path) -> Iterator[ApiServer]:
    """The definitions are ours; every object was stored before they were."""
    if names := apiserver.missing():
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    old = folder / "old.yaml"
    old.write_text(yaml.safe_dump_all([without("v1beta1", kind.plural) for kind in MOVED]))
    foreign = envoy_gateway_crds.write(folder / "foreign.yaml", *FOREIGN)
    with apiserver.running_apiserver(crds=[old, foreign]) as api:
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        gateway_class = {"metadata": {"name": "envoy"}, "spec": {"controllerName": CLASS_CONTROLLER}}
        api.create({"apiVersion": GW, "kind": "GatewayClass", **gateway_class})
        for kind in MOVED:
            api.create({**BASES[kind.name], "apiVersion": OLD, "metadata": {"name": "base"}})
        for each in documents(NAMESPACE):
            api.create({**each, "apiVersion": OLD} if each["apiVersion"] == AIGW else each)
        api.install(apiserver.CRDS)
        yield api


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_upgraded(tmp_path_factory.mktemp("definitions")) as api:
        yield api


def stored(api: ApiServer, plural: str) -> list[str]:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.aigateway.envoyproxy.io"
    found: list[str] = api.http.get(path).json()["status"]["storedVersions"]
    return found


def test_both_versions_show_what_was_stored_and_the_definitions_say_what_is(upgraded: ApiServer) -> None:
    for kind in MOVED:
        old, new = (upgraded.get(version, kind.name, "base") for version in (OLD, AIGW))
        assert old.pop("apiVersion") == OLD
        assert new.pop("apiVersion") == AIGW
        assert old == new
        assert stored(upgraded, kind.plural) == ["v1alpha1", "v1beta1"]


async def test_the_controller_serves_what_was_stored(upgraded: ApiServer) -> None:
    async with running(upgraded.kubeconfig, [NAMESPACE]) as controller:
        await controller.leading()
        await accepted(upgraded, NAMESPACE, "True", "Programmed")
        rules = http_route(upgraded, NAMESPACE)["spec"]["rules"]
        assert [each["name"] for each in rules] == ["main", "route-not-found"]


def test_the_old_version_cannot_be_taken_out_before_its_objects_are_rewritten(upgraded: ApiServer) -> None:
    with pytest.raises(Refused, match="storage migration"):
        upgraded.apply(without("v1alpha1", "aigatewayroutes"), manager="install")


def test_the_documented_commands_rewrite_them_and_the_old_version_can_go(tmp_path: Path) -> None:
    if names := build.missing(("kubectl",)):
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    (tmp_path / "kubectl").symlink_to(build.place("kubectl"))
    with running_upgraded(tmp_path) as api:
        # A kind without objects is no reason to stop.
        api.delete({**BASES["MCPRoute"], "metadata": {"name": "base"}})
        left = [kind for kind in MOVED if kind.name != "MCPRoute"]
        before = {kind.name: api.get(AIGW, kind.name, "base")["spec"] for kind in left}
        path = f"{tmp_path}:{os.environ['PATH']}"
        # Without a home, kubectl leaves its cache in the current folder.
        environment = {"PATH": path, "HOME": str(tmp_path), "KUBECONFIG": str(api.kubeconfig)}
        done = subprocess.run(["sh", "-ec", commands()], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for kind in MOVED:
            assert stored(api, kind.plural) == ["v1beta1"]
            api.apply(without("v1alpha1", kind.plural), manager="install")
        # An object that were stored as the old version still could not be read any more.
        assert {kind.name: api.get(AIGW, kind.name, "base")["spec"] for kind in left} == before
