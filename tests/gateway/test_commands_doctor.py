"""`aigw doctor --kubernetes` against a real API server, with the objects of a cluster planted, good and broken."""

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from filters.contract import jsonlib
from tests.support import apiserver, envoy_gateway_crds
from tests.support.apiserver import ApiServer
from tests.support.controller_world import FOREIGN
from tests.support.envoy import free_port
from tests.unit.aigw.commands import cluster_world as world
from tests.unit.aigw.commands.cluster_world import FAULTS, Document, Fault
from tests.unit.aigw.commands.world import invoke, written

OF_THE_RING = (
    "no extension manager",
    "controller has no ready pod",
    "no endpoints",
    "late lease",
    "no bundle",
    "no certificate",
    "sidecar missing",
    "sidecar killed",
    "configuration missing",
    "no pods",
    "gateway not programmed",
    "not looked at",
    "reference not granted",
    "no filter connected",
    "generated is refused",
)
"""One of each way of reading, and each of the faults that keep requests from being mediated."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that no other test puts anything into: doctor looks at all namespaces."""
    if names := apiserver.missing():
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    foreign = envoy_gateway_crds.write(tmp_path_factory.mktemp("crds") / "foreign.yaml", *FOREIGN)
    with apiserver.running_apiserver(crds=[apiserver.CRDS, foreign]) as running:
        for name in (world.CONTROLLER, world.ENVOY_GATEWAY, world.NAMESPACE):
            running.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield running


class Planted:
    """A cluster whose objects are what was last planted."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._there: dict[tuple[str, str], Document] = {}

    def plant(self, documents: list[Document]) -> None:
        wanted = {(each["kind"], each["metadata"]["name"]): each for each in documents}
        for at, document in self._there.items():
            if wanted.get(at) != document:
                path = f"{self._api.path(document)}/{document['metadata']['name']}"
                assert self._api.http.delete(path, params={"gracePeriodSeconds": "0"}).is_success
        for at, document in wanted.items():
            if self._there.get(at) != document:
                self._create(document)
        self._there = copy.deepcopy(wanted)

    def _create(self, document: Document) -> None:
        self._api.create({name: part for name, part in document.items() if name != "status"})
        if "status" in document:
            path = f"{self._api.path(document)}/{document['metadata']['name']}/status"
            kind = {"content-type": "application/merge-patch+json"}
            body = jsonlib.encode({"status": document["status"]})
            answer = self._api.http.patch(path, content=body, headers=kind)
            assert answer.is_success, answer.text


@pytest.fixture(scope="module")
def planted(own: ApiServer) -> Planted:
    return Planted(own)


def diagnosed(api: ApiServer, code: int) -> list[dict[str, Any]]:
    """All findings that are not good, with the name of their check."""
    result = invoke("doctor", "--kubeconfig", str(api.kubeconfig), "--output", "json")
    assert result.exit_code == code, result.output
    assert world.PRIVATE_KEY not in result.output
    report = jsonlib.decode(result.stdout.encode(), dict[str, Any])
    return [
        {"check": each["check"], **finding}
        for each in report["checks"]
        for finding in each["findings"]
        if finding["severity"] != "ok"
    ]


def test_a_good_cluster_has_nothing_to_complain_about(own: ApiServer, planted: Planted) -> None:
    planted.plant(world.documents(datetime.now(UTC)))
    assert diagnosed(own, 0) == []


@pytest.mark.parametrize("fault", [each for each in FAULTS if each.name in OF_THE_RING], ids=lambda fault: fault.name)
def test_a_fault_is_found(own: ApiServer, planted: Planted, fault: Fault) -> None:
    documents = world.documents(datetime.now(UTC))
    fault.change(documents)
    planted.plant(documents)
    (finding,) = [each for each in diagnosed(own, 1) if each["check"] == fault.check]
    assert (finding["severity"], fault.title in finding["title"]) == (fault.severity, True), finding
    assert fault.fix in finding["fix"].replace("Helm values", "values")


def test_an_api_server_that_is_not_there_is_unusable_input(own: ApiServer, tmp_path: Path) -> None:
    config = yaml.safe_load(own.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    result = invoke("doctor", "--kubeconfig", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Unreachable" in result.stderr


def test_generated_objects_are_taken_by_the_api_server(own: ApiServer, tmp_path: Path) -> None:
    result = invoke("translate", "--objects", written(tmp_path))
    for document in yaml.safe_load_all(result.stdout):
        own.apply(document, dry_run=True)
