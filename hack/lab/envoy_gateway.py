"""Envoy Gateway as it is really installed: its own Helm chart, its image assembled from the binary.

Chart and CustomResourceDefinitions come with the Go module that the binary is built from, so both are of one version.
"""

import functools
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from filters.contract import jsonlib
from hack.lab import folders, shell
from hack.tools import build

NAMESPACE: Final = "envoy-gateway-system"
IMAGE: Final = "lab/envoy-gateway:1"
ENVOY_IMAGE: Final = "lab/envoy:1"
_MODULE: Final = "github.com/envoyproxy/gateway"
_downloaded = jsonlib.decoder(dict[str, object])


@dataclass(frozen=True, slots=True)
class Release:
    tool: str
    version: str
    values: str
    """file in manifests/ with what the AI gateway needs of it"""


RELEASES: Final = {
    "1.8": Release("envoy-gateway-1.8", "v1.8.1", "envoy-gateway-values.yaml"),
    "1.9": Release("envoy-gateway-1.9", "v1.9.1", "envoy-gateway-values-1.9.yaml"),
}


@functools.cache
def source(release: Release) -> Path:
    """The module's folder, fetched when it is not there; go.sum says what it must be. Raises shell.Failed."""
    folder = build.MODULES / build.TOOLS[release.tool].module
    done = subprocess.run(
        ["go", "mod", "download", "-json", _MODULE], cwd=folder, capture_output=True, text=True, check=False
    )
    said = _downloaded(done.stdout.encode()) if done.stdout else {}
    if done.returncode:
        raise shell.Failed(f"{_MODULE} {release.version} cannot be had: {said.get('Error') or done.stderr.strip()}")
    return Path(str(said["Dir"]))


def default_envoy_image(release: Release) -> str | None:
    """What EnvoyProxy objects that name no image get; None when that is pinned by digest, which nobody can assemble."""
    text = (source(release) / "api" / "v1alpha1" / "shared_types.go").read_text()
    found = re.search(r'DefaultEnvoyProxyImage\s*=\s*"([^"@]+)"', text)
    return found[1] if found else None


def definitions(release: Release) -> list[Path]:
    folder = source(release) / "charts" / "gateway-helm" / "charts" / "crds" / "crds"
    return [folder / "gatewayapi-crds.yaml", folder / "generated"]


def install(place: shell.Place, release: Release, values: Iterable[Path]) -> None:
    """Returns when it is available. Raises shell.Failed."""
    arguments = ["upgrade", "--install", "eg", str(chart(release)), "--namespace", NAMESPACE, "--create-namespace"]
    arguments += ["--skip-crds", "--wait", "--timeout", "3m"]
    for file in (*values, own_values()):
        arguments += ["--values", str(file)]
    before = _configuration(place)
    shell.helm(place, arguments)
    if before not in ("", _configuration(place)):
        # Envoy Gateway reads its configuration when it starts, and the chart does not restart it.
        shell.kubectl(place, ["-n", NAMESPACE, "rollout", "restart", "deployment/envoy-gateway"])
        shell.kubectl(place, ["-n", NAMESPACE, "rollout", "status", "deployment/envoy-gateway", "--timeout=120s"])


def _configuration(place: shell.Place) -> str:
    """Empty when there is none."""
    arguments = ["-n", NAMESPACE, "get", "configmap", "envoy-gateway-config", "--ignore-not-found"]
    return shell.kubectl(place, [*arguments, "-o", "jsonpath={.data}"])


def chart(release: Release) -> Path:
    """A copy with values.yaml, which only releases have: the module holds its template."""
    folder = folders.cache() / f"gateway-helm-{release.version}"
    if not (folder / "values.yaml").exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source(release) / "charts" / "gateway-helm", folder)
        for file in (folder, *folder.rglob("*")):
            file.chmod(file.stat().st_mode | 0o200)
        text = (folder / "values.tmpl.yaml").read_text()
        text = text.replace("${GatewayImage}", IMAGE).replace("${GatewayImagePullPolicy}", "IfNotPresent")
        (folder / "values.yaml").write_text(text)
    return folder


def own_values() -> Path:
    """For its chart: the images that we assemble, and no more of the machine than is needed."""
    images = {"images": {"envoyProxy": {"image": ENVOY_IMAGE, "pullPolicy": "IfNotPresent"}}}
    resources = {"limits": None, "requests": {"cpu": "10m", "memory": "64Mi"}}
    file = folders.cache() / "envoy-gateway-values.yaml"
    file.write_text(yaml.safe_dump({"global": images, "deployment": {"envoyGateway": {"resources": resources}}}))
    return file
