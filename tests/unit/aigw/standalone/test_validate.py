"""`aigw validate`: which judge a file gets, and what it says."""

from pathlib import Path

import pytest

from aigw.standalone.validate import validate
from filters.contract import jsonlib
from tests.support import validation
from tests.support.validation import Case

ROUTE = """
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIGatewayRoute
metadata: {name: r}
spec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: b}]}]}
"""
GATEWAY = """
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec: {gatewayClassName: c, listeners: [{name: l, protocol: HTTP, port: 8080}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


@pytest.mark.parametrize("case", list(validation.files()), ids=lambda case: case.title)
def test_objects_without_a_gateway_are_judged_as_kubernetes_would(case: Case, file: Path) -> None:
    file.write_bytes(jsonlib.encode(case.document))
    verdict = validate(file, {})
    said = "\n".join(verdict.errors)
    assert bool(verdict.errors) == bool(case.rejects)
    assert [text for pair in case.rejects.items() for text in pair if text not in said] == []
    assert (verdict.whole, [seen.ours for seen in verdict.objects]) == (False, [True])


def test_with_a_gateway_the_whole_file_is_judged_as_it_would_be_served(file: Path) -> None:
    file.write_text(ROUTE + GATEWAY)
    verdict = validate(file, {})
    (error,) = verdict.errors
    assert error == (
        f"{file}: document 1 (AIGatewayRoute default/r): spec.rules[0].backendRefs[0].name: "
        "AIServiceBackend default/b not found; create it or correct the name"
    )
    assert verdict.whole


def test_the_same_file_can_be_judged_as_for_a_cluster(file: Path) -> None:
    file.write_text(ROUTE + GATEWAY)
    verdict = validate(file, {}, kubernetes=True)
    assert (verdict.errors, verdict.whole) == ((), False)
    assert [(seen.title, seen.ours) for seen in verdict.objects] == [
        ("AIGatewayRoute default/r", True),
        ("Gateway default/g", False),
    ]


def test_texts_for_a_cluster_are_taken_as_they_are_written(file: Path) -> None:
    file.write_text(ROUTE.replace("name: b", "name: '${B}'"))
    assert validate(file, {}).errors == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "holds no objects"),
        ("a: [b", "line 2, column 1: not valid YAML"),
        ("- a", "document 1: must be an object with apiVersion, kind and metadata"),
        ("apiVersion: aigateway.envoyproxy.io/v1beta1", "document 1 (? default/?): kind: Required value"),
        (ROUTE.replace("v1beta1", "v1"), "use aigateway.envoyproxy.io/v1beta1 or aigateway.envoyproxy.io/v1alpha1"),
        (ROUTE.replace("AIGatewayRoute", "AIRoute"), "kind AIRoute"),
        (ROUTE + "spec: {}", "document 1 (AIGatewayRoute default/r): spec: stands twice"),
    ],
)
def test_what_is_no_object_of_ours_is_an_error(file: Path, text: str, error: str) -> None:
    file.write_text(text)
    (said,) = validate(file, {}).errors
    assert error in said


def test_a_removed_field_that_never_had_an_effect_is_a_warning_when_served_and_an_error_in_a_cluster(
    file: Path,
) -> None:
    backend = """
---
apiVersion: aigateway.envoyproxy.io/v1beta1
kind: AIServiceBackend
metadata: {name: b}
spec:
  schema: {name: OpenAI}
  backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: b}
  timeouts: {request: 3m}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: b}
spec: {endpoints: [{fqdn: {hostname: example.com, port: 80}}]}
"""
    file.write_text(ROUTE + GATEWAY + backend)
    served = validate(file, {})
    assert served.errors == ()
    assert any("(AIServiceBackend default/b): spec.timeouts: is no longer a field" in each for each in served.warnings)
    (error,) = validate(file, {}, kubernetes=True).errors
    assert error.endswith("(AIServiceBackend default/b): spec.timeouts: unknown field")
