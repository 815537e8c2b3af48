"""The ring with a real API server: its binaries come from `make tools`. Without them nothing here runs, and says so."""

import itertools
from collections.abc import Iterator

import pytest

from tests.support import apiserver, envoy_gateway_crds
from tests.support.apiserver import ApiServer
from tests.support.controller import CLASS_CONTROLLER
from tests.support.controller_world import FOREIGN, GW


@pytest.fixture(scope="session")
def api() -> Iterator[ApiServer]:
    """One API server with our CustomResourceDefinitions, for all tests of a worker."""
    if names := apiserver.missing():
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    with apiserver.running_apiserver(crds=[apiserver.CRDS]) as running:
        yield running


_numbers = itertools.count()


@pytest.fixture(scope="session")
def cluster(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> ApiServer:
    """The API server with Envoy Gateway's definitions besides, and its GatewayClass."""
    api.install(envoy_gateway_crds.write(tmp_path_factory.mktemp("crds") / "foreign.yaml", *FOREIGN))
    api.apply(
        {
            "apiVersion": GW,
            "kind": "GatewayClass",
            "metadata": {"name": "envoy"},
            "spec": {"controllerName": CLASS_CONTROLLER},
        }
    )
    return api


@pytest.fixture
def namespace(cluster: ApiServer) -> Iterator[str]:
    """Of one test, which watches nothing else."""
    name = f"controller-{next(_numbers)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if names := apiserver.missing():
        terminalreporter.section("tests/gateway: NOT RUN")
        terminalreporter.line(f"{', '.join(names)} not built: run `make tools`")
