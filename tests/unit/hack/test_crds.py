"""The generated CustomResourceDefinitions: how much is in them, that they are fresh, and that they break nobody."""

import copy
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field

from extension_server.api.base import Atomic, Model, Quantity
from filters.contract import jsonlib
from hack import crd_compatibility, crd_schema, generate_crds
from hack.generate_crds import KINDS, Kind

COUNTS = {
    ("AIGatewayRoute", "v1beta1"): (68, 8),
    ("AIGatewayRoute", "v1alpha1"): (68, 8),
    ("AIServiceBackend", "v1beta1"): (38, 2),
    ("AIServiceBackend", "v1alpha1"): (38, 2),
    ("BackendSecurityPolicy", "v1beta1"): (721, 105),
    ("BackendSecurityPolicy", "v1alpha1"): (713, 105),
    ("GatewayConfig", "v1beta1"): (97, 3),
    ("GatewayConfig", "v1alpha1"): (97, 3),
    ("MCPRoute", "v1beta1"): (661, 109),
    ("MCPRoute", "v1alpha1"): (661, 109),
    ("QuotaPolicy", "v1alpha1"): (65, 2),
}
"""schema nodes and CEL rules of each version, as API chapter §1.1 counts them"""


def test_every_schema_has_the_nodes_and_rules_of_the_api() -> None:
    found = {}
    for kind in KINDS:
        for version in kind.versions:
            schema = generate_crds.schema(kind, version)
            found[kind.name, version.name] = (crd_schema.nodes(schema), crd_schema.rules(schema))
    assert found == COUNTS


def test_the_files_are_those_of_the_models() -> None:
    assert {path: path.read_text() for path in generate_crds.FOLDER.iterdir()} == dict(generate_crds.files())


def test_the_files_can_be_templates_of_a_chart_as_they_are() -> None:
    assert [path.name for path, text in generate_crds.files() if "{{" in text] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_definition_fits_the_annotation_of_kubectl_apply(kind: Kind) -> None:
    # 262,144 bytes for all annotations
    assert len(jsonlib.encode(generate_crds.definition(kind))) < 200_000


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_versions_of_a_kind_are_alike_but_for_one_known_difference(kind: Kind) -> None:
    schemas = [generate_crds.schema(kind, version)["properties"]["spec"] for version in kind.versions]
    assert all(schema == schemas[0] for schema in schemas) == (kind.name != "BackendSecurityPolicy")


def test_nothing_breaks_that_is_released() -> None:
    assert crd_compatibility.found() == []


def _spec(definition: Any) -> Any:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def _rule(definition: Any) -> Any:
    return _spec(definition)["properties"]["rules"]["items"]


BREAKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a field removed": (
        lambda crd: _rule(crd)["properties"].pop("timeouts"),
        "AIGatewayRoute v1beta1.spec.rules[].timeouts: removed",
    ),
    "a type changed": (
        lambda crd: _rule(crd)["properties"]["modelsOwnedBy"].update(type="integer"),
        "AIGatewayRoute v1beta1.spec.rules[].modelsOwnedBy: type changed from string to integer",
    ),
    "a default changed": (
        lambda crd: _rule(crd)["properties"]["modelsOwnedBy"].update(default="us"),
        "AIGatewayRoute v1beta1.spec.rules[].modelsOwnedBy: default changed from Envoy AI Gateway to us",
    ),
    "a default added": (
        lambda crd: _rule(crd)["properties"]["streamIdleTimeout"].update(default="5s"),
        "AIGatewayRoute v1beta1.spec.rules[].streamIdleTimeout: default changed from None to 5s",
    ),
    "a maximum lowered": (
        lambda crd: _spec(crd)["properties"]["rules"].update(maxItems=14),
        "AIGatewayRoute v1beta1.spec.rules: maxItems tightened from 15 to 14",
    ),
    "a minimum added": (
        lambda crd: _spec(crd)["properties"]["rules"].update(minItems=1),
        "AIGatewayRoute v1beta1.spec.rules: minItems tightened from None to 1",
    ),
    "a pattern changed": (
        lambda crd: _spec(crd)["properties"]["hostnames"]["items"].update(pattern="^a$"),
        "AIGatewayRoute v1beta1.spec.hostnames[]: pattern changed from",
    ),
    "a value no longer taken": (
        lambda crd: _spec(crd)["properties"]["llmRequestCosts"]["items"]["properties"]["type"]["enum"].remove("CEL"),
        "AIGatewayRoute v1beta1.spec.llmRequestCosts[].type: no longer takes CEL",
    ),
    "a field required": (
        lambda crd: _spec(crd)["required"].append("parentRefs"),
        "AIGatewayRoute v1beta1.spec.parentRefs: is required now",
    ),
    "a rule added": (
        lambda crd: _spec(crd).update({"x-kubernetes-validations": [{"rule": "false", "message": "no"}]}),
        "AIGatewayRoute v1beta1.spec: new rule: false",
    ),
    "a message changed": (
        lambda crd: _spec(crd)["properties"]["rules"]["x-kubernetes-validations"][0].update(message="no"),
        "AIGatewayRoute v1beta1.spec.rules: message changed: no",
    ),
    "a list keyed otherwise": (
        lambda crd: _rule(crd)["properties"]["matches"]["items"]["properties"]["headers"].pop("x-kubernetes-list-type"),
        "AIGatewayRoute v1beta1.spec.rules[].matches[].headers: x-kubernetes-list-type changed from map to None",
    ),
    "a version removed": (lambda crd: crd["spec"]["versions"].pop(), "AIGatewayRoute v1alpha1: version removed"),
    "a version not served": (
        lambda crd: crd["spec"]["versions"][1].update(served=False),
        "AIGatewayRoute v1alpha1: no longer served",
    ),
    "another storage version": (
        lambda crd: crd["spec"]["versions"][0].update(storage=False),
        "AIGatewayRoute v1beta1: storage version changed",
    ),
    "no status": (
        lambda crd: crd["spec"]["versions"][0].update(subresources={}),
        "AIGatewayRoute v1beta1: subresource status removed",
    ),
    "a column changed": (
        lambda crd: crd["spec"]["versions"][0]["additionalPrinterColumns"][0].update(name="State"),
        "AIGatewayRoute v1beta1: printer column Status changed",
    ),
    "cluster scope": (lambda crd: crd["spec"].update(scope="Cluster"), "AIGatewayRoute: scope changed"),
    "another plural": (lambda crd: crd["spec"]["names"].update(plural="routes"), "AIGatewayRoute: plural changed"),
}


@pytest.mark.parametrize("title", BREAKS)
def test_a_change_that_breaks_people_is_told_with_its_path(title: str) -> None:
    change, message = BREAKS[title]
    old = generate_crds.definition(KINDS[0])
    new = copy.deepcopy(old)
    change(new)
    (found,) = crd_compatibility.breaks(old, new)
    assert found.startswith(message)


def test_what_is_only_added_or_loosened_breaks_nobody() -> None:
    old = generate_crds.definition(KINDS[0])
    new = copy.deepcopy(old)
    _spec(new)["properties"]["comment"] = {"type": "string"}
    _spec(new)["properties"]["rules"]["maxItems"] = 100
    _spec(new)["properties"]["rules"]["x-kubernetes-validations"].clear()
    _spec(new)["required"].clear()
    _rule(new)["description"] = "changed"
    new["spec"]["versions"].append({"name": "v1"})
    assert list(crd_compatibility.breaks(old, new)) == []


class Sample(Model):
    """A sample."""

    atomic = True

    size: Quantity | None = None
    """How
    much."""
    names: Annotated[tuple[str, ...], Field(min_length=1), Atomic()] = ()
    map: dict[str, int] | None = None


def test_a_model_becomes_a_structural_schema_with_its_texts() -> None:
    assert crd_schema.of_model(Sample) == {
        "description": "A sample.",
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "names": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "x-kubernetes-list-type": "atomic",
            },
            "size": {
                "description": "How much.",
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "x-kubernetes-int-or-string": True,
                "pattern": crd_schema.QUANTITY_PATTERN,
            },
        },
    }


@pytest.mark.parametrize("annotation", [float, set[str], str | bool, Annotated[str, Field(max_digits=3)]])
def test_what_a_crd_cannot_say_is_an_error(annotation: Any) -> None:
    with pytest.raises(TypeError, match="no schema for"):
        crd_schema.of_type(annotation)
