"""`aigw validate`: the verdicts are tested in tests/unit/aigw/standalone; this is how they are told."""

from pathlib import Path
from typing import Any

import pytest

from filters.contract import jsonlib
from tests.standalone import files
from tests.unit.aigw.commands.world import example, invoke, written


def told(*arguments: str, code: int) -> dict[str, Any]:
    result = invoke("validate", "--output", "json", *arguments)
    assert result.exit_code == code, result.output
    return jsonlib.decode(result.stdout.encode(), dict[str, Any])


def test_every_object_gets_a_verdict(tmp_path: Path) -> None:
    (file,) = told(written(tmp_path), code=0)["files"]
    assert {each["verdict"] for each in file["objects"]} == {"ok"}
    assert file["objects"][2]["object"] == "AIGatewayRoute default/llm"


def test_a_problem_is_told_at_its_object_and_field(tmp_path: Path) -> None:
    (file,) = told(written(tmp_path, example().replace("name: AWSBedrock", "name: Nobody")), code=1)["files"]
    (bad,) = [each for each in file["objects"] if each["verdict"] == "error"]
    assert bad["object"] == "AIServiceBackend default/bedrock"
    assert bad["problems"][0]["field"] == "spec.schema.name"


def test_the_worst_file_decides(tmp_path: Path) -> None:
    good, bad = written(tmp_path), written(tmp_path, "kind: Gateway", "bad.yaml")
    assert [each["verdict"] for each in told(good, bad, code=1)["files"]] == ["ok", "error"]
    assert told(good, bad, str(tmp_path / "none.yaml"), code=2)["verdict"] == "error"


def test_standard_input_is_a_file_too() -> None:
    result = invoke("validate", "-", stdin=example())
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "✓ <stdin>: ok")


def backend(name: str, schema: str) -> files.Document:
    return files.backend(name, schema, 9)[1]


def test_kinds_that_are_not_ours_are_not_judged_for_a_cluster_and_it_is_said(tmp_path: Path) -> None:
    deployment = files.object_("apps/v1", "Deployment", "d", {"anything": True})
    file = written(tmp_path, files.text(backend("b", "OpenAI"), deployment, *files.gateway()))
    (found,) = told("--kubernetes", file, code=0)["files"]
    assert [(each["object"], each["verdict"]) for each in found["objects"]] == [
        ("AIServiceBackend default/b", "ok"),
        ("Deployment default/d", "not judged"),
        ("GatewayClass aigw", "not judged"),
        ("Gateway default/aigw", "not judged"),
    ]
    assert found["not_judged"] == ["Deployment", "GatewayClass", "Gateway"]
    screen = invoke("validate", "--kubernetes", file).stdout.splitlines()
    assert screen[2] == "  · Deployment default/d  document 2, not judged"
    assert screen[-1] == (
        f"✓ {file}: ok (1 object judged as Kubernetes would; not judged: Deployment, GatewayClass, Gateway)"
    )


def test_a_file_with_nothing_of_ours_is_not_called_ok(tmp_path: Path) -> None:
    file = written(tmp_path, files.text(files.object_("v1", "Service", "s")))
    result = told(file, code=0)
    assert (result["verdict"], result["files"][0]["verdict"]) == ("note", "note")
    assert invoke("validate", file).stdout.splitlines()[-1].startswith(f"· {file}: nothing in it is judged")
    assert told(file, written(tmp_path), code=0)["verdict"] == "ok"


POOL = {"name": "p", "group": "inference.networking.k8s.io", "kind": "InferencePool"}
GCP = {"type": "GCPCredentials", "gcpCredentials": {"projectName": "p", "region": "r"}}


@pytest.mark.parametrize(
    ("object_", "field", "says"),
    [
        (backend("b", "Cohere"), "spec.schema.name", "Cohere is not served yet"),
        (files.route({"m": [POOL]}), "spec.rules[0].backendRefs[0].kind", "InferencePools are not served"),
        (
            files.object_(f"{files.GROUP}/v1beta1", "BackendSecurityPolicy", "p", GCP),
            "spec.gcpCredentials",
            "type GCPCredentials needs a token exchange",
        ),
        (
            files.object_(f"{files.GROUP}/v1alpha1", "QuotaPolicy", "q", {}),
            "",
            "kind QuotaPolicy is not served by this release",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_this_release_does_not_serve_is_a_warning_for_a_cluster(
    tmp_path: Path, object_: files.Document, field: str, says: str
) -> None:
    (found,) = told("--kubernetes", written(tmp_path, files.text(object_)), code=0)["files"]
    ((problem,),) = [each["problems"] for each in found["objects"]]
    assert (found["verdict"], problem["severity"], problem["field"]) == ("warning", "warning", field)
    assert problem["message"].startswith(says)
