"""The real `helm` of `make tools`: charts in, documents out; or into a cluster."""

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from filters.contract import jsonlib
from hack.tools import build

TOOLS: Final = ("helm",)
CHARTS: Final = Path(__file__).parents[2] / "manifests" / "charts"
NAMESPACE: Final = "envoy-ai-gateway-system"
RELEASE: Final = "aieg"
KUBERNETES: Final = "1.35.4"
"""A helm that is not told by a cluster takes a version that is much too old."""
LIMIT: Final = 60.0


class HelmFailed(Exception):
    """The text is what helm said."""


def missing() -> list[str]:
    return build.missing(TOOLS)


def run(*arguments: str, kubeconfig: Path | None = None) -> str:
    """Raises HelmFailed."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig or os.devnull)}
    done = subprocess.run(
        [build.place("helm"), *arguments], capture_output=True, text=True, check=False, env=environment, timeout=LIMIT
    )
    if done.returncode:
        raise HelmFailed(done.stderr.strip())
    return done.stdout


def text(
    chart: str | Path,
    values: Mapping[str, Any] | None = None,
    *,
    files: Iterable[Path] = (),
    namespace: str = NAMESPACE,
    more: Iterable[str] = (),
) -> str:
    """What `helm template` writes. `values` by path: `{"controller.replicaCount": 3}`. Raises HelmFailed."""
    arguments = [
        "template",
        RELEASE,
        str(CHARTS / chart),
        "--namespace",
        namespace,
        "--kube-version",
        KUBERNETES,
        *more,
    ]
    for file in files:
        arguments += ["--values", str(file)]
    for path, value in (values or {}).items():
        arguments += ["--set-json", f"{path}={jsonlib.encode(value).decode()}"]
    return run(*arguments)


def documents(rendered: str) -> list[dict[str, Any]]:
    return [each for each in yaml.load_all(rendered, yaml.CSafeLoader) if each]


def webhook(address: str, namespace: str = NAMESPACE) -> dict[str, Any]:
    """The chart's MutatingWebhookConfiguration, with the controller at `address` (`host:port`) where the API server
    has no Service to find it by."""
    (made,) = documents(text("ai-gateway-helm", namespace=namespace, more=("--show-only", "templates/webhook.yaml")))
    for each in made["webhooks"]:
        service = each["clientConfig"].pop("service")
        each["clientConfig"]["url"] = f"https://{address}{service['path']}"
    return made


def named(objects: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """`Kind name` → object. Two of one name are an error."""
    found: dict[str, Any] = {}
    for each in objects:
        metadata = each["metadata"]
        name = f"{each['kind']} {metadata['name']}"
        if name in found:
            name += f" {metadata['namespace']}"
        assert name not in found, name
        found[name] = each
    return found
