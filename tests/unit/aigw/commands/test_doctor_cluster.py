"""The checks of `aigw doctor --kubernetes`; tests/gateway runs the command against a real API server."""

import asyncio
from collections.abc import Callable

import pytest

from aigw.commands.cluster.checks import CLUSTER
from aigw.commands.doctor import Checked, Report, examine
from tests.unit.aigw.commands import cluster_world as world
from tests.unit.aigw.commands.cluster_world import FAULTS, NOW, Fault
from tests.unit.aigw.commands.world import invoke

REFUSED = world.condition("Accepted", "False", "Invalid", "no")


def examined(every: list[world.Document], **unreadable: str) -> Report:
    return asyncio.run(examine(world.cluster(every, NOW, **unreadable), CLUSTER))


def good() -> list[world.Document]:
    return [*world.definitions(), *world.documents(NOW)]


def bad(report: Report) -> list[Checked]:
    return [each for each in report.checks if any(finding.severity != "ok" for finding in each.findings)]


def test_a_good_cluster_has_one_good_finding_per_check_at_least() -> None:
    report = examined(good())
    assert bad(report) == []
    assert report.verdict == "ok"
    assert all(each.findings for each in report.checks)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_is_named_with_its_fix(fault: Fault) -> None:
    every = good()
    fault.change(every)
    (checked,) = [each for each in bad(examined(every)) if each.check == fault.check]
    (finding,) = [each for each in checked.findings if each.severity != "ok"]
    assert finding.severity == fault.severity
    assert fault.title in finding.title
    assert fault.fix in finding.fix.replace("Helm values", "values")
    assert finding.meaning


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_no_reason_to_complain_about_something_else(fault: Fault) -> None:
    every = good()
    fault.change(every)
    assert [each.check for each in bad(examined(every))] == [fault.check]


def test_kinds_that_may_not_be_read_are_named_and_not_judged() -> None:
    every = [each for each in good() if each["kind"] not in ("Pod", "Secret", "Lease")]
    report = examined(every, Pod="pods is forbidden", Secret="secrets is forbidden", Lease="leases is forbidden")
    (access,) = bad(report)
    assert [finding.severity for finding in access.findings] == ["warning"] * 3
    assert report.verdict == "warning"


@pytest.mark.parametrize(
    "change",
    [
        world.policy(
            "SecurityPolicy", {"targetRefs": [world.target("HTTPRoute", "chat")]}, world.condition("Accepted")
        ),
        world.policy("SecurityPolicy", {"targetRefs": [world.target("HTTPRoute", "other")]}, REFUSED),
        world.policy("SecurityPolicy", {"targetRefs": [world.target("GRPCRoute", "chat")]}, REFUSED),
        world.policy("SecurityPolicy", {"targetSelectors": [{"kind": "Gateway", "matchLabels": {"a": "b"}}]}, REFUSED),
        world.policy("BackendTLSPolicy", {"targetRefs": [world.target("Backend", "other")]}, REFUSED),
        world.policy("SecurityPolicy", {"targetRefs": [world.target("HTTPRoute", "chat")]}),
    ],
    ids=["accepted", "of another route", "of another kind", "selects others", "of another backend", "not looked at"],
)
def test_policies_that_are_accepted_or_for_others_are_no_finding(
    change: Callable[[list[world.Document]], object],
) -> None:
    every = good()
    change(every)
    assert bad(examined(every)) == []


def test_a_policy_of_another_namespace_or_controller_is_no_finding() -> None:
    every = good()
    selector = {"kind": "HTTPRoute", "matchLabels": {}}
    for name, namespaces in (("here", None), ("everywhere", {"from": "All"})):
        spec = {"targetSelectors": [selector | ({"namespaces": namespaces} if namespaces else {})]}
        world.policy("SecurityPolicy", spec, REFUSED, name=name)(every)
        every[-1]["metadata"]["namespace"] = "elsewhere"
    (checked,) = bad(examined(every))
    assert [each.title.partition(" for ")[0] for each in checked.findings] == ["SecurityPolicy elsewhere/everywhere"]
    every[-1]["status"]["ancestors"][0]["controllerName"] = "example.com/other"
    assert bad(examined(every)) == []


def test_an_empty_cluster_is_no_crash() -> None:
    report = examined([])
    assert report.verdict == "error"
    assert "the check itself failed" not in {finding.title for each in report.checks for finding in each.findings}


def test_the_tag_of_a_private_build_of_envoy_gateway_says_nothing() -> None:
    every = good()
    deployment = world.find(every, "Deployment", "envoy-gateway")
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com:5000/gateway:1"
    assert bad(examined(every)) == []


@pytest.mark.parametrize("arguments", [("--kubernetes",), ("--kubeconfig", "/no/such/file")])
def test_without_a_cluster_it_is_said_where_one_was_looked_for(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    result = invoke("doctor", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "aigw: no Kubernetes cluster to connect to: there is no file /no/such/file; name one with --kubeconfig, "
        "or set KUBECONFIG\n"
    )
