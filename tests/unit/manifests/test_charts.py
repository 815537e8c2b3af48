"""Charts and values files as they lie there; what helm and an API server make of them is in tests/gateway."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from filters.contract import jsonlib
from hack import generate_crds

ROOT = Path(__file__).parents[3]
MANIFESTS = ROOT / "manifests"
CONTROLLER = MANIFESTS / "charts" / "ai-gateway-helm"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def load(path: Path) -> Any:
    return yaml.load(path.read_text(), yaml.CSafeLoader)


@pytest.mark.parametrize("chart", ["ai-gateway-helm", "ai-gateway-crds-helm"])
def test_a_chart_has_the_version_of_the_product(chart: str) -> None:
    metadata = load(MANIFESTS / "charts" / chart / "Chart.yaml")
    assert (metadata["name"], metadata["version"], metadata["appVersion"]) == (chart, VERSION, VERSION)


def test_the_chart_of_definitions_has_those_of_the_models_and_keeps_them() -> None:
    written = {path: path.read_text() for path in generate_crds.CHART.glob("*.yaml")}
    assert written == dict(generate_crds.chart_files())
    for path in generate_crds.CHART.glob("*.yaml"):
        document = load(path)
        assert document["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert document == load(generate_crds.FOLDER / path.name)


def test_every_value_has_a_default_and_a_schema() -> None:
    schema = jsonlib.decoder(dict[str, Any])((CONTROLLER / "values.schema.json").read_bytes())
    in_values = set(leaves(load(CONTROLLER / "values.yaml")))
    in_schema = set(schema_leaves(schema, schema["$defs"]))
    # The schema ends where Kubernetes' own types begin; the name of a chart is Helm's.
    ends = {path for path in in_values if not any(path == leaf or path.startswith(f"{leaf}.") for leaf in in_schema)}
    assert ends == set()
    without = {leaf for leaf in in_schema if not any(path == leaf or path.startswith(f"{leaf}.") for path in in_values)}
    assert without == {"nameOverride"}


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def schema_leaves(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, each in schema["properties"].items():
        found = definitions[each["$ref"].removeprefix("#/$defs/")] if "$ref" in each else each
        if "properties" in found:
            yield from schema_leaves(found, definitions, f"{path}{name}.")
        else:
            yield f"{path}{name}"


def test_both_releases_of_envoy_gateway_are_told_the_same() -> None:
    assert load(MANIFESTS / "envoy-gateway-values.yaml") == load(MANIFESTS / "envoy-gateway-values-1.9.yaml")


@pytest.mark.parametrize("path", sorted(MANIFESTS.glob("envoy-gateway-values*.yaml")), ids=lambda path: path.stem)
def test_values_of_envoy_gateway_set_its_configuration_alone(path: Path) -> None:
    values = load(path)
    assert list(values) == ["config"]
    assert list(values["config"]) == ["envoyGateway"]
