"""Envoy's bootstrap and flags."""

from pathlib import Path

import pytest

from aigw.standalone.envoy import PRIVATE_COMPONENTS, LogLevels, bootstrap
from aigw.standalone.state import RunDirectories
from aigw.standalone.xds_files import XdsFiles


def component_levels(levels: LogLevels) -> dict[str, str]:
    arguments = levels.arguments()
    pairs = arguments[arguments.index("--component-log-level") + 1].split(",")
    return dict(pair.split(":") for pair in pairs)


@pytest.mark.parametrize("default", ["debug", "trace", "warn", "error"])
def test_components_that_print_credentials_never_go_below_info(default: str) -> None:
    wanted = dict.fromkeys(PRIVATE_COMPONENTS, "trace")
    for levels in (LogLevels(default=default), LogLevels(default=default, components=wanted)):
        for component, level in component_levels(levels).items():
            assert component not in PRIVATE_COMPONENTS or level not in ("debug", "trace")
    if default in ("debug", "trace"):
        assert set(PRIVATE_COMPONENTS) <= set(component_levels(LogLevels(default=default)))


def test_the_reason_of_a_refused_configuration_is_always_logged() -> None:
    assert component_levels(LogLevels(default="error"))["config"] == "warning"


def test_the_admin_interface_is_a_socket_of_this_user(tmp_path: Path) -> None:
    directories = RunDirectories(tmp_path, tmp_path)
    document = bootstrap(directories, XdsFiles(tmp_path))
    assert document["admin"]["address"]["pipe"] == {"path": str(tmp_path / "envoy.sock"), "mode": 0o600}
    # docs/adr/0006: with the graceful close of ext_proc streams switched on, Envoy can crash.
    assert "layered_runtime" not in document
