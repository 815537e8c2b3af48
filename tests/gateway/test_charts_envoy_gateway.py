"""Our values files through Envoy Gateway's own chart, and the result through Envoy Gateway itself."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from hack.tools import build
from tests.support import go_modules, helm

pytestmark = pytest.mark.skipif(bool(helm.missing()), reason="not run: helm not built (`make tools`)")

MANIFESTS: Final = Path(__file__).parents[2] / "manifests"
PROGRESS_LIMIT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Release:
    tool: str
    module: str
    checksum: str
    values: str


RELEASES: Final = {
    "1.8": Release(
        "envoy-gateway-1.8",
        "github.com/envoyproxy/gateway@v1.8.1",
        "h1:i8POtrPtel3n0iGP55MNy6U1rTW4msyhkEWjXAF09ts=",
        "envoy-gateway-values.yaml",
    ),
    "1.9": Release(
        "envoy-gateway-1.9",
        "github.com/envoyproxy/gateway@v1.9.1",
        "h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY=",
        "envoy-gateway-values-1.9.yaml",
    ),
}
ADDONS: Final = {
    "nothing more": (),
    "token rate limit": ("envoy-gateway-values-token-rate-limit-addon.yaml",),
    "inference pool": ("envoy-gateway-values-inference-pool-addon.yaml",),
    "both": (
        "envoy-gateway-values-token-rate-limit-addon.yaml",
        "envoy-gateway-values-inference-pool-addon.yaml",
    ),
}
PEERS: Final = {
    "config": {
        "envoyGateway": {
            "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
            "logging": {"level": {"default": "info"}},
            "provider": {"type": "Kubernetes"},
            "extensionApis": {"enableEnvoyPatchPolicy": True, "enableBackend": True},
            "extensionManager": {
                "hooks": {
                    "xdsTranslator": {
                        "translation": {
                            kind: {"includeAll": True} for kind in ("listener", "route", "cluster", "secret")
                        },
                        "post": ["Translation", "Cluster", "Route"],
                    }
                },
                "service": {
                    "fqdn": {
                        "hostname": "ai-gateway-controller.envoy-ai-gateway-system.svc.cluster.local",
                        "port": 1063,
                    }
                },
            },
        }
    }
}
"""What users of the peer have given Envoy Gateway (API chapter §4.4)."""


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    return RELEASES[request.param]


@cache
def module(release: Release) -> Path:
    try:
        return go_modules.folder(release.module, release.checksum)
    except go_modules.NotThere as exc:
        pytest.skip(f"not run: {exc}")


def chart(release: Release, target: Path, *, with_definitions: bool = False) -> Path:
    """As a release of it is made: its values are a template in the source. The definitions take seconds to read."""
    left = shutil.ignore_patterns() if with_definitions else shutil.ignore_patterns("crds")
    shutil.copytree(module(release) / "charts" / "gateway-helm", target, ignore=left)
    for each in (target, *target.rglob("*")):
        each.chmod(each.stat().st_mode | 0o200)
    values = (target / "values.tmpl.yaml").read_text()
    values = values.replace("${GatewayImage}", "test/gateway:1").replace("${GatewayImagePullPolicy}", "IfNotPresent")
    (target / "values.yaml").write_text(values)
    if not with_definitions:
        described = yaml.safe_load((target / "Chart.yaml").read_text())
        del described["dependencies"]
        (target / "Chart.yaml").write_text(yaml.safe_dump(described))
        (target / "Chart.lock").unlink()
    return target


def configuration(release: Release, files: tuple[Path, ...], folder: Path) -> dict[str, Any]:
    """Of Envoy Gateway, as its chart writes it."""
    text = helm.text(chart(release, folder / "chart"), files=files, namespace="envoy-gateway-system")
    (found,) = (each for each in helm.documents(text) if each["metadata"]["name"] == "envoy-gateway-config")
    content: dict[str, Any] = yaml.safe_load(found["data"]["envoy-gateway.yaml"])
    return content


# ---- every field exists


_STRUCT: Final = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD: Final = re.compile(r'^\t(?:(\w+)[ \t]+)?([\w.*\[\]]+)[ \t]+`json:"([^"]*)"', re.MULTILINE)


@cache
def structs(release: Release) -> Mapping[str, Mapping[str, str]]:
    """Name of a Go type → its fields by JSON name, with their types. Envoy Gateway itself ignores unknown fields."""
    found: dict[str, dict[str, str]] = {}
    embedded: dict[str, list[str]] = {}
    for file in sorted((module(release) / "api" / "v1alpha1").glob("*_types.go")):
        for struct in _STRUCT.finditer(file.read_text()):
            fields = found.setdefault(struct[1], {})
            for _, of, tag in _FIELD.findall(struct[2]):
                name, *options = tag.split(",")
                if "inline" in options:
                    embedded.setdefault(struct[1], []).append(of)
                elif name:
                    fields[name] = of
    return {name: _with_embedded(name, found, embedded) for name in found}


def _with_embedded(name: str, found: Mapping[str, dict[str, str]], embedded: Mapping[str, list[str]]) -> dict[str, str]:
    fields = dict(found.get(name.lstrip("*"), {}))
    for each in embedded.get(name.lstrip("*"), ()):
        fields |= _with_embedded(each, found, embedded)
    return fields


def unknown(value: Any, of: str, types: Mapping[str, Mapping[str, str]], path: str) -> list[str]:
    of = of.lstrip("*")
    if of.startswith("[]") and isinstance(value, list):
        return [each for item in value for each in unknown(item, of[2:], types, f"{path}[]")]
    if of not in types or not isinstance(value, dict):
        return []  # a type of somebody else's, or a plain value
    found = []
    for name, each in value.items():
        if name not in types[of]:
            found.append(f"{path}.{name}")
        else:
            found += unknown(each, types[of][name], types, f"{path}.{name}")
    return found


@pytest.mark.parametrize("addons", ADDONS)
def test_envoy_gateway_has_every_field_that_we_set(release: Release, addons: str, tmp_path: Path) -> None:
    files = tuple(MANIFESTS / name for name in (release.values, *ADDONS[addons]))
    found = configuration(release, files, tmp_path)
    spec = {name: value for name, value in found.items() if name not in ("apiVersion", "kind")}
    types = structs(release)
    assert {"extensionManager", "rateLimit"} <= types["EnvoyGatewaySpec"].keys()
    assert unknown({"extensionManager": {"hook": {}}}, "EnvoyGatewaySpec", types, "") == [".extensionManager.hook"]
    assert unknown(spec, "EnvoyGatewaySpec", types, "") == []
    manager = found["extensionManager"]
    assert manager["hooks"]["xdsTranslator"]["post"] == ["Translation", "Cluster", "Route", "Endpoints"]
    assert found["extensionApis"] == {"enableBackend": True, "enableEnvoyPatchPolicy": True}
    assert ("backendResources" in manager) == (addons in ("inference pool", "both"))
    assert ("rateLimit" in found) == (addons in ("token rate limit", "both"))


# ---- Envoy Gateway starts with it


def outcome(release: Release, config: dict[str, Any], folder: Path) -> str:
    """What Envoy Gateway says of its configuration: it goes on to start what it runs, or ends with an error."""
    if names := build.missing([release.tool]):
        pytest.skip(f"not run: {', '.join(names)} not built (`make tools`)")
    file = folder / "envoy-gateway.yaml"
    file.write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [build.place(release.tool), "server", "--config-path", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "KUBECONFIG": os.devnull, "ENVOY_GATEWAY_NAMESPACE": "envoy-gateway-system"},
    )
    assert process.stdout is not None
    limit = threading.Timer(PROGRESS_LIMIT, process.kill)
    limit.start()
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if "Start runners" in line:
                return "accepted"
        return "".join(said)
    finally:
        limit.cancel()
        process.kill()
        process.stdout.close()
        process.wait()


@pytest.mark.parametrize("addons", ADDONS)
def test_envoy_gateway_starts_with_our_values(release: Release, addons: str, tmp_path: Path) -> None:
    files = tuple(MANIFESTS / name for name in (release.values, *ADDONS[addons]))
    assert outcome(release, configuration(release, files, tmp_path), tmp_path) == "accepted"


def test_envoy_gateway_refuses_hooks_without_a_server(release: Release, tmp_path: Path) -> None:
    # That the test above can fail.
    config = configuration(release, (MANIFESTS / release.values,), tmp_path)
    del config["extensionManager"]["service"]
    assert "extension" in outcome(release, config, tmp_path)


def test_values_of_the_peers_users_find_our_service(release: Release, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(PEERS))
    config = configuration(release, (file,), tmp_path)
    assert outcome(release, config, tmp_path) == "accepted"
    address = config["extensionManager"]["service"]["fqdn"]
    objects = helm.named(helm.documents(helm.text("ai-gateway-helm")))
    (service,) = (each for name, each in objects.items() if name.startswith("Service "))
    metadata = service["metadata"]
    assert address["hostname"] == f"{metadata['name']}.{metadata['namespace']}.svc.cluster.local"
    assert address["port"] in [port["port"] for port in service["spec"]["ports"] if port["name"] == "grpc"]
    ours = configuration(release, (MANIFESTS / release.values,), tmp_path / "ours")
    assert ours["extensionManager"]["service"] == config["extensionManager"]["service"]
