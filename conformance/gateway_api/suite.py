"""The suite as it is built by `hack.tools`: what its files ask for, and the command that runs it.

Names of images and Gateways are read from the module's own manifests, so a new version of it brings its own.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from filters.contract import jsonlib
from hack.lab import images
from hack.tools import build

PROGRAM: Final = "gateway-api-conformance"
ECHO: Final = "gateway-api-echo"
TOOLS: Final = (PROGRAM, ECHO, "coredns")
PROFILES: Final = ("GATEWAY-HTTP", "GATEWAY-TLS", "GATEWAY-GRPC")
GATEWAY_CLASS: Final = "conformance"
_SUITE: Final = "sigs.k8s.io/gateway-api/conformance"
_API: Final = "sigs.k8s.io/gateway-api"
_USABLE: Final = "10.97.255.1"
"""of the lab's range for load balancers, at its far end: nobody else is given it"""
_UNUSABLE: Final = "192.0.2.1"
"""RFC 5737: of documentation, so nobody's"""
_EXEMPT: Final = ("GatewayHTTPSListenerDetectMisdirectedRequests", "GatewayInfrastructurePropagation")
"""Envoy Gateway leaves them out of its own runs, as it does the tests below."""
_SKIPPED: Final = (
    "ListenerSetHostnameConflict",
    "ListenerSetProtocolConflict",
    "GatewayInfrastructure",
    "TLSRouteListenerMixedTerminationNotSupported",
)
"""The last one wants a refusal of what Envoy Gateway has as a feature (TLSRouteModeMixed)."""
_IMAGE: Final = re.compile(r"image:\s*(\S+/(echo-basic|coredns):\S+)")
_MESH: Final = re.compile(r'FeatureName = "(Mesh\w*)"')
_SHORT_NAME: Final = re.compile(r'ShortName:\s*"(\w+)"')
_NO_ROUTES: Final = "GatewayMustHaveZeroRoutes("
_downloaded = jsonlib.decoder(dict[str, object])


class SuiteFailed(RuntimeError):
    """The suite is not there, or did not get as far as a report. The text says why."""


@dataclass(frozen=True, slots=True)
class SuiteGateway:
    """A Gateway that the suite makes for many of its tests."""

    namespace: str
    name: str
    route_namespace: str
    """one that its first listener takes routes from"""
    port: int
    tls: bool
    """whether that listener terminates TLS"""


def folder(module: str = _SUITE) -> Path:
    """Of a module of the suite, fetched when it is not there; go.sum says what it must be. Raises SuiteFailed."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=build.MODULES / build.TOOLS[PROGRAM].module,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SuiteFailed(f"{module} cannot be had: {done.stderr.strip()}")
    return Path(str(_downloaded(done.stdout.encode())["Dir"]))


def gateways(files: Path) -> list[SuiteGateway]:
    """Those of the base manifests: they live as long as the suite runs. `files`: the suite's `folder`."""
    found = _namespaces(files)
    return [_tested(each, found) for each in _base(files) if each["kind"] == "Gateway"]


def namespaces(files: Path) -> list[str]:
    """Those of the base manifests: all that the suite makes is in one of them. `files`: as above."""
    return sorted(_namespaces(files))


def wanting_no_routes(files: Path) -> frozenset[str]:
    """Tests that hold that nothing is attached to a Gateway of the base manifests: a route of anybody fails them."""
    sources = (file.read_text() for file in sorted((files / "tests").glob("*.go")))
    return frozenset(name for text in sources if _NO_ROUTES in text for name in _SHORT_NAME.findall(text))


def _namespaces(files: Path) -> dict[str, dict[str, str]]:
    """Name → labels."""
    found = (each["metadata"] for each in _base(files) if each["kind"] == "Namespace")
    return {metadata["name"]: dict(metadata.get("labels") or {}) for metadata in found}


def _base(files: Path) -> list[dict[str, Any]]:
    return [*filter(None, yaml.safe_load_all((files / "base" / "manifests.yaml").read_text()))]


def _tested(gateway: Mapping[str, Any], labels: Mapping[str, Mapping[str, str]]) -> SuiteGateway:
    listener = gateway["spec"]["listeners"][0]
    wanted = ((listener.get("allowedRoutes") or {}).get("namespaces") or {}).get("selector")
    own = gateway["metadata"]["namespace"]
    source = own if wanted is None else next(_matching(wanted.get("matchLabels") or {}, labels), own)
    return SuiteGateway(own, gateway["metadata"]["name"], source, listener["port"], listener["protocol"] == "HTTPS")


def _matching(wanted: Mapping[str, str], labels: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    return (name for name, own in sorted(labels.items()) if wanted.items() <= own.items())


def archives(files: Path) -> list[Path]:
    """The images of the suite's servers, under the names that its manifests have."""
    names: dict[str, set[str]] = {"echo-basic": set(), "coredns": set()}
    for file in sorted((*(files / "base").glob("*.yaml"), *(files / "tests").glob("*.yaml"))):
        for image, program in _IMAGE.findall(file.read_text()):
            names[program].add(image)
    echo = images.program(ECHO, "/echo-basic", sorted(names["echo-basic"]))
    # It listens on port 53 and has its configuration in /root.
    dns = images.program("coredns", "/coredns", sorted(names["coredns"]), user="0:0")
    return [images.archive(ECHO, [echo]), images.archive("gateway-api-coredns", [dns])]


def command(report: Path, version: str, tests: str = "") -> list[str]:
    """Writes `report`. `version`: what the report says was tested. `tests`: the name of one, all when it is empty."""
    mesh = _mesh_features(folder(_API))
    flags = {
        "gateway-class": GATEWAY_CLASS,
        "conformance-profiles": ",".join(PROFILES),
        "all-features": "true",
        "allow-crds-mismatch": "true",
        "cleanup-base-resources": "false",
        "usable-address": _USABLE,
        "unusable-address": _UNUSABLE,
        "exempt-features": ",".join((*mesh, *_EXEMPT)),
        "skip-tests": ",".join(_SKIPPED),
        "report-output": str(report),
        "organization": "aigw",
        "project": "aigw with Envoy Gateway",
        "url": "https://aigw.example",
        "contact": "nobody@aigw.example",
        "version": version,
        **({"run-test": tests} if tests else {}),
    }
    return [
        str(build.place(PROGRAM)),
        "-test.v",
        "-test.run=TestConformance",
        "-test.timeout=45m",
        *(f"-{name}={value}" for name, value in flags.items()),
    ]


def _mesh_features(api: Path) -> list[str]:
    """Names of the features of meshes: Envoy Gateway is none."""
    found = (_MESH.findall(file.read_text()) for file in sorted((api / "pkg" / "features").glob("*.go")))
    return sorted({name for names in found for name in names})


def begun(line: str) -> str:
    """Name of the test of the suite that begins with this line of its output; empty for other lines."""
    found = re.fullmatch(r"=== RUN {3}TestConformance/([^/\s]+)\s*", line)
    return "" if found is None else found[1]
