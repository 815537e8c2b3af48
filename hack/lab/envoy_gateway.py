"""Envoy Gateway as it is really installed: its own Helm chart, its image assembled from the binary.

Chart and CustomResourceDefinitions come with the Go module that the binary is built from, so both are of one version.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from filters.contract import jsonlib
from hack.lab import shell
from hack.lab.machine import Machine
from hack.tools import build

NAMESPACE: Final = "envoy-gateway-system"
IMAGE: Final = "lab/envoy-gateway:1"
ENVOY_IMAGE: Final = "lab/envoy:1"
_MODULE: Final = "github.com/envoyproxy/gateway"


@dataclass(frozen=True, slots=True)
class Release:
    tool: str
    version: str


RELEASES: Final = {
    "1.8": Release("envoy-gateway-1.8", "v1.8.1"),
    "1.9": Release("envoy-gateway-1.9", "v1.9.1"),
}


def source(release: Release) -> Path:
    """The module's folder, fetched when it is not there; go.sum of the tool says what it must be."""
    folder = build.MODULES / build.TOOLS[release.tool].module
    done = subprocess.run(
        ["go", "mod", "download", "-json", _MODULE], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise shell.Failed(f"{_MODULE} {release.version} cannot be had: {done.stderr.strip()}")
    return Path(jsonlib.decoder(dict[str, object])(done.stdout.encode())["Dir"])  # type: ignore[arg-type]


def default_envoy_image(release: Release) -> str | None:
    """What EnvoyProxy objects that name no image get; None when that is pinned by digest, which nobody can assemble."""
    text = (source(release) / "api" / "v1alpha1" / "shared_types.go").read_text()
    found = re.search(r'DefaultEnvoyProxyImage\s*=\s*"([^"@]+)"', text)
    return found[1] if found else None


def definitions(release: Release) -> list[Path]:
    folder = source(release) / "charts" / "gateway-helm" / "charts" / "crds" / "crds"
    return [folder / "gatewayapi-crds.yaml", folder / "generated"]


def chart(release: Release, target: Path) -> Path:
    """A copy with values.yaml, which only releases have: the module holds its template."""
    folder = target / f"gateway-helm-{release.version}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source(release) / "charts" / "gateway-helm", folder)
    for file in (folder, *folder.rglob("*")):
        file.chmod(file.stat().st_mode | 0o200)
    text = (folder / "values.tmpl.yaml").read_text()
    text = text.replace("${GatewayImage}", IMAGE).replace("${GatewayImagePullPolicy}", "IfNotPresent")
    (folder / "values.yaml").write_text(text)
    return folder


def install(machine: Machine, release: Release, values: list[Path]) -> None:
    """Returns when it is available. Raises shell.Failed."""
    own = machine.state.root / "envoy-gateway-values.yaml"
    images = {"images": {"envoyProxy": {"image": ENVOY_IMAGE, "pullPolicy": "IfNotPresent"}}}
    own.write_text(yaml.safe_dump({"global": images, "deployment": {"envoyGateway": {"resources": {"limits": None}}}}))
    arguments = ["upgrade", "--install", "eg", str(chart(release, machine.state.root))]
    arguments += ["--namespace", NAMESPACE, "--create-namespace", "--skip-crds", "--wait", "--timeout", "3m"]
    for file in (own, *values):
        arguments += ["--values", str(file)]
    shell.helm(machine, arguments)
