"""What people and programs see of the CustomResourceDefinitions, beyond the verdicts on objects."""

from typing import Any, Final

import pytest

from hack.generate_crds import KINDS
from tests.support import apiserver, validation
from tests.support.apiserver import ApiServer, Refused

BASES: Final[dict[str, Any]] = validation.table("kinds")["base"]
CONDITION: Final = {
    "type": "Accepted",
    "status": "True",
    "reason": "Accepted",
    "message": "",
    "lastTransitionTime": "2026-01-02T03:04:05Z",
}


def named(kind: str, name: str, **members: Any) -> dict[str, Any]:
    """The valid object of a kind under a name of the test's own."""
    return {**BASES[kind], "metadata": {"name": name}, **members}


def test_discovery_lists_names_short_names_and_versions(api: ApiServer) -> None:
    found = {}
    for version in ("v1beta1", "v1alpha1"):
        for each in api.http.get(f"/apis/aigateway.envoyproxy.io/{version}").json()["resources"]:
            found[version, each["name"]] = (
                each["kind"],
                each["singularName"],
                each.get("shortNames"),
                each["namespaced"],
            )
    expected = {}
    for kind in KINDS:
        for version in kind.versions:
            own = (kind.name, kind.name.lower(), list(kind.short_names) or None, True)
            expected[version.name, kind.plural] = own
            expected[version.name, f"{kind.plural}/status"] = (kind.name, "", None, True)
    assert found == expected


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS if len(kind.versions) > 1])
def test_the_old_version_is_served_with_a_warning(api: ApiServer, kind: str) -> None:
    answer = api.create(named(kind, "old", apiVersion="aigateway.envoyproxy.io/v1alpha1"), dry_run=True)
    text = "aigateway.envoyproxy.io/v1alpha1 is deprecated; use aigateway.envoyproxy.io/v1beta1 instead"
    assert answer.warnings == (f'299 - "{text}"',)
    assert api.create(named(kind, "new"), dry_run=True).warnings == ()


def test_the_only_version_of_quota_policy_is_served_without_a_warning(api: ApiServer) -> None:
    assert api.create(named("QuotaPolicy", "q"), dry_run=True).warnings == ()


def test_an_object_of_the_old_version_is_read_as_the_new_one(api: ApiServer) -> None:
    old = named("AIGatewayRoute", "stored-old", apiVersion="aigateway.envoyproxy.io/v1alpha1")
    created = api.create(old).object
    read = api.get("aigateway.envoyproxy.io/v1beta1", "AIGatewayRoute", "stored-old")
    assert (read["apiVersion"], read["spec"]) == ("aigateway.envoyproxy.io/v1beta1", created["spec"])
    api.delete(old)


def test_kubectl_get_shows_the_last_condition(api: ApiServer) -> None:
    document = named("GatewayConfig", "shown")
    api.create(document)
    path = f"{api.path(document)}/shown"
    empty = {"Name": "shown", "Status": None, "Reason": None, "Message": None}
    assert table(api, path) == empty | {"Age": table(api, path)["Age"]}
    written = api.http.patch(
        f"{path}/status",
        json={"status": {"conditions": [CONDITION]}},
        headers={"content-type": "application/merge-patch+json"},
    )
    assert written.is_success, written.text
    shown = table(api, path)
    assert (shown["Status"], shown["Reason"]) == ("Accepted", "Accepted")
    api.delete(document)


def table(api: ApiServer, path: str) -> dict[str, Any]:
    """The row that kubectl prints."""
    answer = api.http.get(path, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json()
    names = [column["name"] for column in answer["columnDefinitions"]]
    return dict(zip(names, answer["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_status_is_written_apart_and_must_hold_conditions(api: ApiServer, kind: str) -> None:
    document = named(kind, "status", status={"conditions": [CONDITION]})
    created = api.create(document).object
    # `status` of a created object does not count.
    assert created.get("status") is None
    path = f"{api.path(document)}/status/status"
    merge = {"content-type": "application/merge-patch+json"}
    bad = {**CONDITION, "status": "Perhaps", "reason": "not one word"}
    refused = api.http.patch(path, json={"status": {"conditions": [bad]}}, headers=merge)
    assert refused.status_code == 422
    assert 'status.conditions[0].status: Unsupported value: "Perhaps"' in refused.text.replace("\\", "")
    written = api.http.patch(path, json={"status": {"conditions": [CONDITION]}}, headers=merge)
    assert written.json()["status"] == {"conditions": [CONDITION]}
    # A change of status is none of the object.
    assert written.json()["metadata"]["generation"] == created["metadata"]["generation"]
    api.delete(document)


def test_conditions_of_a_gateway_config_are_keyed_by_type(api: ApiServer) -> None:
    document = named("GatewayConfig", "keyed")
    api.create(document)
    refused = api.http.patch(
        f"{api.path(document)}/keyed/status",
        json={"status": {"conditions": [CONDITION, CONDITION]}},
        headers={"content-type": "application/merge-patch+json"},
    )
    assert "status.conditions[1]: Duplicate value" in refused.json()["message"]
    api.delete(document)


def test_unknown_fields_are_pruned_where_the_client_does_not_mind(api: ApiServer) -> None:
    spec = BASES["AIServiceBackend"]["spec"]
    document = named("AIServiceBackend", "pruned", spec={**spec, "timeouts": {"request": "3m"}})
    with pytest.raises(Refused, match=r'unknown field \\?"spec.timeouts'):
        api.create(document, dry_run=True)
    answer = api.create(document, dry_run=True, unknown_fields="Warn")
    assert answer.object["spec"] == spec
    assert answer.warnings == ('299 - "unknown field \\"spec.timeouts\\""',)


def definitions(api: ApiServer) -> list[dict[str, Any]]:
    """Ours, as they are stored."""
    items = api.http.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").json()["items"]
    return [each for each in items if each["spec"]["group"] == "aigateway.envoyproxy.io"]


def test_the_same_definitions_applied_again_change_nothing(api: ApiServer) -> None:
    before = [each["metadata"]["resourceVersion"] for each in definitions(api)]
    api.install(apiserver.CRDS)
    assert [each["metadata"]["resourceVersion"] for each in definitions(api)] == before


def test_every_schema_is_structural(api: ApiServer) -> None:
    conditions = {(each["type"], each["status"]) for item in definitions(api) for each in item["status"]["conditions"]}
    assert conditions == {("NamesAccepted", "True"), ("Established", "True")}


def test_kubectl_explain_has_texts(api: ApiServer) -> None:
    document = api.http.get("/openapi/v3/apis/aigateway.envoyproxy.io/v1beta1").json()
    spec = document["components"]["schemas"]["io.envoyproxy.aigateway.v1beta1.MCPRoute"]["properties"]["spec"]
    assert spec["properties"]["path"]["description"] == "Exact path of the MCP endpoint."
