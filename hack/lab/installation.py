"""Envoy Gateway and the AI gateway in any cluster, as their users install them: by Helm charts. Twice is once.

Images are assembled here (`images`) and must be loaded into the cluster first.
"""

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from hack.lab import envoy_gateway, folders, images, shell
from hack.lab.envoy_gateway import RELEASES, Release
from hack.tools import build

NAMESPACE: Final = "envoy-ai-gateway-system"
UPSTREAM: Final = "lab/upstream"
"""image of a provider that answers from memory and keeps what it was asked (`conformance.upstream.recorder`)"""
EXAMPLES_UPSTREAM: Final = "docker.io/envoyproxy/ai-gateway-testupstream:latest"
"""the same, under the name of the provider in published examples of Envoy AI Gateway: nothing can be pulled here"""
CONTROLLER: Final = "aigw/ai-gateway-controller"
FILTER: Final = "aigw/ai-gateway-extproc"
_MANIFESTS: Final = build.MODULES.parents[1] / "manifests"
_CHARTS: Final = _MANIFESTS / "charts"


@dataclass(frozen=True, slots=True)
class Installation:
    """What is installed: this tree, and one release of Envoy Gateway."""

    release: Release
    tag: str
    """of our own images"""
    archives: tuple[Path, ...]

    @property
    def upstream(self) -> str:
        return f"{UPSTREAM}:{self.tag}"


def prepare(release: Release) -> Installation:
    """Assembles what is not assembled yet. Raises shell.Failed."""
    python = images.Python()
    default = envoy_gateway.default_envoy_image(release)
    tag = python.tag
    upstream = python.image(f"{UPSTREAM}:{tag}", "conformance.upstream.recorder", with_conformance=True)
    own = (
        python.image(f"{CONTROLLER}:{tag}", "extension_server.main"),
        python.image(f"{FILTER}:{tag}", "filters.main"),
        replace(upstream, names=(*upstream.names, EXAMPLES_UPSTREAM)),
    )
    gateway = images.program(release.tool, "/usr/local/bin/envoy-gateway", [envoy_gateway.IMAGE])
    envoy = images.envoy([envoy_gateway.ENVOY_IMAGE, *([default] if default else [])])
    archives = (
        images.archive(release.tool, [gateway]),
        images.archive("envoy", [envoy]),
        images.archive("aigw", own),
    )
    return Installation(release, tag, archives)


def install(place: shell.Place, wanted: Installation, step: Callable[[str, Callable[[], object]], object]) -> None:
    """`step` runs its second argument and tells what its first says. Raises shell.Failed."""
    release = wanted.release
    step("Gateway API and Envoy Gateway CRDs", functools.partial(_definitions, place, release))
    step("AI gateway CRDs", functools.partial(_chart, place, "ai-gateway-crds-helm", "aieg-crd", {}))
    values = [_MANIFESTS / release.values]
    step(f"Envoy Gateway {release.version}", functools.partial(envoy_gateway.install, place, release, values))
    step("AI gateway", functools.partial(_chart, place, "ai-gateway-helm", "aieg", _values(wanted)))


def _definitions(place: shell.Place, release: Release) -> None:
    arguments = ["apply", "--server-side", "--force-conflicts"]
    for file in envoy_gateway.definitions(release):
        arguments += ["-f", str(file)]
    shell.kubectl(place, arguments)
    shell.kubectl(place, ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])


def _values(wanted: Installation) -> dict[str, object]:
    return {
        "controller": {"image": {"tag": wanted.tag}},
        "extProc": {"image": {"tag": wanted.tag}},
    }


def _chart(place: shell.Place, chart: str, release: str, values: dict[str, object]) -> None:
    arguments = ["upgrade", "--install", release, str(_CHARTS / chart), "--namespace", NAMESPACE, "--create-namespace"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=folders.cache()) as file:
        yaml.safe_dump(values, file)
        file.flush()
        shell.helm(place, [*arguments, "--values", file.name, "--wait", "--timeout", "2m"])


__all__ = ["RELEASES", "Installation", "Release", "install", "prepare"]
