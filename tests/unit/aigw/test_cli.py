"""The command line."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aigw.cli import app

GOOD = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: aigw, listeners: [{name: http, protocol: HTTP, port: 1975}]}
"""
NO_CERTIFICATE = GOOD.replace("protocol: HTTP,", "protocol: HTTPS,")


def validated(tmp_path: Path, text: str) -> tuple[int, str]:
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    result = CliRunner().invoke(app, ["validate", str(file)])
    return result.exit_code, result.output


def test_the_version_is_the_distributions() -> None:
    assert CliRunner().invoke(app, ["version"]).output == f"aigw {version('aigw')}\n"


def test_a_good_file_is_ok(tmp_path: Path) -> None:
    code, output = validated(tmp_path, GOOD)
    assert code == 0
    assert output.endswith("gateway.yaml: ok, 1 warning\n")  # of the GatewayClass that is not in it


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("kind: Gateway", "apiVersion: Required value"),
        (GOOD.replace("1975", "0"), "spec.listeners[0].port"),
        (NO_CERTIFICATE, "spec.listeners[0].tls.certificateRefs"),
    ],
)
def test_a_bad_file_is_refused_with_the_field(tmp_path: Path, text: str, part: str) -> None:
    code, output = validated(tmp_path, text)
    assert code == 1
    assert part in output
    assert "document 1\n" in output
    assert "gateway.yaml: 1 error" in output


def test_asking_for_the_version_loads_nothing_heavy() -> None:
    code = "import sys, aigw.cli; print([m for m in ('pydantic', 'google.protobuf', 'httpx') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
