"""The ring with a real API server: its binaries come from `make tools`. Without them nothing here runs, and says so."""

from collections.abc import Iterator

import pytest

from tests.support import apiserver
from tests.support.apiserver import ApiServer


@pytest.fixture(scope="session")
def api() -> Iterator[ApiServer]:
    """One API server with our CustomResourceDefinitions, for all tests of a worker."""
    if names := apiserver.missing():
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    with apiserver.running_apiserver(crds=[apiserver.CRDS]) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if names := apiserver.missing():
        terminalreporter.section("tests/gateway: NOT RUN")
        terminalreporter.line(f"{', '.join(names)} not built: run `make tools`")
