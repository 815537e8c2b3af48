"""The ring with pods: a cluster, both gateways installed by their charts, a Gateway, a provider; once for all tests."""

import os
import time
from collections.abc import Iterator
from typing import NoReturn

import pytest

from conformance.cluster import choice
from conformance.cluster.cluster import Cluster, NotAvailable
from hack.lab import cluster as lab_cluster
from hack.lab import envoy_gateway, folders, installation
from hack.lab.installation import RELEASES, Installation, Release
from hack.tools import build
from tests.e2e import scene
from tests.e2e.scene import Scene

NOT_RUN = 3
"""exit code: nothing here was tried"""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The install page goes first: before anything is installed there is nothing that it would have to put back."""
    items.sort(key=lambda item: item.path.stem != "test_install_page")


@pytest.fixture(scope="session")
def release() -> str:
    """Of Envoy Gateway: 1.8 or 1.9."""
    return os.environ.get("EG", "1.8")


@pytest.fixture(scope="session")
def chosen(release: str) -> str:
    """The kind of cluster, with every program that it needs built."""
    try:
        name = choice.chosen()
    except NotAvailable as exc:
        not_run(str(exc))
    deadline = time.monotonic() + float(os.environ.get("TOOLS_SECONDS", "inf"))
    for tool in build.missing(programs(name, RELEASES[release])):
        try:
            built = build.build(tool, deadline)
        except build.BuildFailed as exc:
            not_run(str(exc))
        if not built:
            not_run(f"{tool} is not built (`make lab-tools`), and there was no time left to build it")
    return name


def programs(name: str, release: Release) -> list[str]:
    return ["kind", "kubectl", "helm", release.tool] if name == "kind" else lab_cluster.tools(release)


def not_run(why: str) -> NoReturn:
    pytest.exit(f"test-e2e: NOT RUN: {why}", returncode=NOT_RUN)


@pytest.fixture(scope="session")
def wanted(release: str, chosen: str) -> Installation:
    del chosen  # it has built what images are made from
    return installation.prepare(RELEASES[release])


@pytest.fixture(scope="session")
def cluster(release: str, chosen: str) -> Iterator[Cluster]:
    """The lab or kind, whichever this machine can have; without either the run ends and says so."""
    files = choice.Programs(build.place("kind"), build.place("kubectl"), folders.cache())
    try:
        with choice.opened(chosen, files, release) as opened:
            yield opened
    except NotAvailable as exc:
        not_run(str(exc))


@pytest.fixture(scope="session")
def installed(cluster: Cluster, wanted: Installation) -> Installation:
    """Both gateways in the cluster, of this tree."""
    cluster.load(wanted.archives)
    installation.install(cluster, wanted, lambda title, step: step())
    return wanted


@pytest.fixture(scope="session")
def whole_scene(cluster: Cluster, installed: Installation) -> Iterator[Scene]:
    images = {"envoy_image": envoy_gateway.ENVOY_IMAGE, "upstream_image": installed.upstream}
    with scene.set_up(cluster, images) as made:
        yield made


@pytest.fixture
def ai(whole_scene: Scene) -> Scene:
    """The scene as every test finds it: serving, and with nothing recorded."""
    whole_scene.wait_until_served()
    whole_scene.forget()
    return whole_scene
