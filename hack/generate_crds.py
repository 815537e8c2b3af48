"""Writes `manifests/crds/*.yaml`: the CustomResourceDefinitions of our kinds, from the models of the api package.
The chart of definitions gets the same, marked to outlive it.

python -m hack.generate_crds          # `make generate`
python -m hack.generate_crds --check  # `make check-generated`: exit code 1 and the names of stale files
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from extension_server.api import aigateway, mcp, quota, status
from extension_server.api.base import Model, Object
from hack import crd_schema

MANIFESTS: Final = Path(__file__).parent.parent / "manifests"
FOLDER: Final = MANIFESTS / "crds"
CHART: Final = MANIFESTS / "charts" / "ai-gateway-crds-helm" / "templates"
KEPT: Final = {"helm.sh/resource-policy": "keep"}
"""`helm uninstall` of a definition would delete every object of its kind."""
HEADER: Final = "# Written by `make generate` from extension_server/api. Do not edit.\n"
POLICY: Final = {"gateway.networking.k8s.io/policy": "direct"}
"""marks kinds that attach to others (Gateway API, GEP-713)"""
DEPRECATION: Final = f"{aigateway.V1ALPHA1} is deprecated; use {aigateway.V1BETA1} instead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    name: str
    model: type[Object]
    deprecated: bool = False
    storage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a CRD says besides its schemas. The first version is preferred."""

    plural: str
    versions: tuple[Version, ...]
    status: type[Model] = status.Status
    labels: dict[str, str] | None = None
    short_names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return str(self.versions[0].model.model_fields["kind"].default)


def _stable(new: type[Object], old: type[Object]) -> tuple[Version, ...]:
    return (
        Version(name="v1beta1", model=new, storage=True),
        Version(name="v1alpha1", model=old, deprecated=True),
    )


KINDS: Final = (
    Kind(plural="aigatewayroutes", versions=_stable(aigateway.AIGatewayRoute, aigateway.AIGatewayRoute)),
    Kind(plural="aiservicebackends", versions=_stable(aigateway.AIServiceBackend, aigateway.AIServiceBackend)),
    Kind(
        plural="backendsecuritypolicies",
        versions=_stable(aigateway.BackendSecurityPolicy, aigateway.BackendSecurityPolicyV1alpha1),
        labels=POLICY,
    ),
    Kind(
        plural="gatewayconfigs",
        versions=_stable(aigateway.GatewayConfig, aigateway.GatewayConfig),
        status=status.GatewayConfigStatus,
        short_names=("gwconfig",),
    ),
    Kind(plural="mcproutes", versions=_stable(mcp.MCPRoute, mcp.MCPRoute)),
    Kind(
        plural="quotapolicies",
        versions=(Version(name="v1alpha1", model=quota.QuotaPolicy, storage=True),),
        labels=POLICY,
    ),
)

_TYPE_META: Final[dict[str, Any]] = {
    "apiVersion": {"description": "Group and version of the schema that the object is written in.", "type": "string"},
    "kind": {"description": "Kind of the object.", "type": "string"},
    "metadata": {"type": "object"},
}


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition."""
    metadata: dict[str, Any] = {"name": f"{kind.plural}.{aigateway.GROUP}"}
    if kind.labels:
        metadata["labels"] = kind.labels
    names: dict[str, Any] = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
    }
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": aigateway.GROUP,
            "names": names,
            "scope": "Namespaced",
            "versions": [_version(kind, version) for version in kind.versions],
        },
    }


def _version(kind: Kind, version: Version) -> dict[str, Any]:
    result: dict[str, Any] = {"name": version.name, "served": True, "storage": version.storage}
    if version.deprecated:
        result |= {"deprecated": True, "deprecationWarning": DEPRECATION}
    return result | {
        "additionalPrinterColumns": [*columns(kind)],
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema(kind, version)},
    }


def columns(kind: Kind) -> Iterator[dict[str, Any]]:
    """Tools read the first one; the others are for people, the long ones with `-o wide` alone."""
    yield {"name": "Status", "type": "string", "jsonPath": ".status.conditions[-1:].type"}
    if kind.name == "AIGatewayRoute":
        yield {"name": "Programmed", "type": "string", "jsonPath": _of("Programmed", "status")}
    yield {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    yield {"name": "Reason", "type": "string", "jsonPath": _of("Accepted", "reason"), "priority": 1}
    yield {"name": "Message", "type": "string", "jsonPath": _of("Accepted", "message"), "priority": 1}


def _of(condition: str, member: str) -> str:
    return f'.status.conditions[?(@.type=="{condition}")].{member}'


def schema(kind: Kind, version: Version) -> dict[str, Any]:
    """Of the whole object: nothing is required at its root."""
    specification = crd_schema.of_type(version.model.model_fields["spec"].annotation)
    result = {
        "type": "object",
        "properties": {**_TYPE_META, "spec": specification, "status": crd_schema.of_model(kind.status)},
    }
    return {"description": crd_schema.document(version.model), **result}


def files() -> Iterator[tuple[Path, str]]:
    for kind in KINDS:
        yield FOLDER / f"{aigateway.GROUP}_{kind.plural}.yaml", _text(definition(kind))


def chart_files() -> Iterator[tuple[Path, str]]:
    """The same definitions as templates; none of them has anything that Helm would fill in."""
    for kind in KINDS:
        document = definition(kind)
        document["metadata"]["annotations"] = KEPT
        yield CHART / f"{aigateway.GROUP}_{kind.plural}.yaml", _text(document)


def _text(document: dict[str, Any]) -> str:
    return HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.CSafeDumper):
    """Without anchors: schemas repeat, and every tool should be able to read them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main() -> int:
    """Exit code 1: a generated file is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    wanted = dict([*files(), *chart_files()])
    present = {path for folder in (FOLDER, CHART) for path in folder.glob("*.yaml")}
    if parser.parse_args().check:
        stale = sorted(path for path, text in wanted.items() if path not in present or path.read_text() != text)
        stale += sorted(present - wanted.keys())
        for path in stale:
            print(f"{path.relative_to(MANIFESTS.parent)} is stale: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for path in present - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
