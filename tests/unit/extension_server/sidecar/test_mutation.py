import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension_server.compile.result import ObjectRef
from extension_server.sidecar import container, mutation
from extension_server.sidecar.container import CA_ANNOTATION, HASH_ANNOTATION, Settings
from tests.unit.extension_server.sidecar.proxies import LABELS, SETTINGS, config, proxy

CA = "-----BEGIN CERTIFICATE-----\n"


def filter_of(pod: dict[str, Any]) -> dict[str, Any]:
    spec = pod["spec"]
    found = [
        each for each in [*spec.get("initContainers", ()), *spec["containers"]] if each["name"] == container.CONTAINER
    ]
    assert len(found) == 1
    return found[0]


def applied(pod: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    changed = copy.deepcopy(pod)
    for operation in operations:
        *parents, member = operation["path"].strip("/").split("/")
        target = changed
        for parent in parents:
            target = target[parent]
        assert (member in target) == (operation["op"] == "replace")
        target[member] = operation["value"]
    return changed


def test_the_filter_is_a_sidecar_that_starts_before_envoy() -> None:
    pod = mutation.mutated(proxy(), SETTINGS, None, CA)
    assert pod["spec"]["initContainers"][-1]["name"] == container.CONTAINER
    assert pod["spec"]["initContainers"][-1]["restartPolicy"] == "Always"
    assert [each["name"] for each in pod["spec"]["containers"]] == ["envoy", "shutdown-manager"]


def test_without_native_sidecars_it_is_a_container_like_the_others() -> None:
    settings = Settings(image="i", config_address="c:1", native=False)
    pod = mutation.mutated(proxy(), settings, None, CA)
    assert [each["name"] for each in pod["spec"]["containers"]] == ["envoy", "shutdown-manager", container.CONTAINER]
    assert "initContainers" not in pod["spec"]
    assert "restartPolicy" not in filter_of(pod)


@pytest.mark.parametrize(("grace", "seconds"), [(None, 20), (30, 20), (360, 70), (11, 1), (10, 0), (0, 0)])
def test_an_ordinary_container_goes_on_while_envoy_drains(grace: int | None, seconds: int) -> None:
    pod = proxy(**({} if grace is None else {"terminationGracePeriodSeconds": grace}))
    made = filter_of(mutation.mutated(pod, Settings(image="i", config_address="c:1", native=False), None, CA))
    command = ["python", "-c", f"import time; time.sleep({seconds})"]
    assert made.get("lifecycle") == ({"preStop": {"exec": {"command": command}}} if seconds else None)
    assert "lifecycle" not in filter_of(mutation.mutated(pod, SETTINGS, None, CA))


@pytest.mark.parametrize("spec", [None, 3, {}, {"containers": None}, {"containers": [3, {"name": "other"}]}])
def test_whatever_holds_no_container_envoy_is_no_envoy(spec: Any) -> None:
    assert not mutation.has_envoy({"spec": spec})
    assert mutation.has_envoy(proxy())


def test_envoy_gets_the_directory_of_the_socket_and_keeps_what_it_had() -> None:
    envoy, other = mutation.mutated(proxy(), SETTINGS, None, CA)["spec"]["containers"]
    assert [mount["mountPath"] for mount in envoy["volumeMounts"]] == ["/certs", container.SOCKETS]
    assert "volumeMounts" not in other


def test_no_secret_and_no_configuration_is_among_the_arguments() -> None:
    assert filter_of(mutation.mutated(proxy(), SETTINGS, None, CA))["args"] == [
        *("--socket", "/etc/ai-gateway-extproc-uds/run.sock"),
        *("--config-server", "controller.aigw.svc:18003"),
        *("--config-server-ca", "/etc/ai-gateway-extproc-identity/ca.crt"),
        *("--config-server-token", "/etc/ai-gateway-extproc-identity/token"),
        *("--state", "/var/lib/ai-gateway-extproc"),
        *("--admin-host", "0.0.0.0", "--admin-port", "1064"),
        *("--log-level", "info", "--log-format", "text", "--no-control"),
    ]


def test_the_authority_that_the_filter_trusts_is_on_the_pod() -> None:
    pod = mutation.mutated(proxy(), SETTINGS, None, CA)
    assert pod["metadata"]["annotations"][CA_ANNOTATION] == CA
    assert pod["metadata"]["annotations"][HASH_ANNOTATION] == container.template_hash(SETTINGS, None)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("own", [None, config(env=[{"name": "A", "value": "1"}], image="mine:2")])
def test_a_second_pass_changes_nothing(native: bool, own: Any) -> None:
    settings = Settings(image="i", config_address="c:1", native=native, pull_secrets=("a", "b"))
    once = mutation.mutated(proxy(), settings, own, CA)
    assert mutation.patch(once, settings, own, CA) == []


def test_what_somebody_put_there_by_our_name_is_replaced() -> None:
    evil = {"name": container.CONTAINER, "image": "evil"}
    pod = proxy(initContainers=[evil, {"name": "theirs", "image": "i"}])
    pod["spec"]["containers"].append(evil)
    changed = mutation.mutated(pod, SETTINGS, None, CA)
    assert filter_of(changed)["image"] == SETTINGS.image
    assert [each["name"] for each in changed["spec"]["initContainers"]] == ["theirs", container.CONTAINER]


def test_a_pod_without_envoy_is_refused() -> None:
    pod = proxy()
    pod["spec"]["containers"] = [{"name": "shutdown-manager", "image": "i"}]
    with pytest.raises(ValueError, match="no container envoy"):
        mutation.patch(pod, SETTINGS, None, CA)


@pytest.mark.parametrize(
    ("labels", "gateway"),
    [
        (LABELS, ObjectRef("Gateway", "default", "gw")),
        ({**LABELS, "app.kubernetes.io/managed-by": "Helm"}, None),
        ({"app.kubernetes.io/managed-by": "envoy-gateway", "app.kubernetes.io/component": "ratelimit"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_only_proxies_of_envoy_gateway_have_a_gateway(labels: Any, gateway: ObjectRef | None) -> None:
    assert mutation.gateway_of({"labels": labels}) == gateway


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=2))


@given(
    st.dictionaries(st.sampled_from(["hostNetwork", "tolerations", "volumes", "imagePullSecrets"]), st.none()),
    st.dictionaries(st.text(), st.text(), max_size=3),
    st.dictionaries(st.sampled_from(["hostname", "subdomain", "priority", "overhead"]), values),
)
def test_the_patch_makes_the_mutated_pod_and_leaves_the_rest(
    absent: dict[str, None], annotations: dict[str, str], others: dict[str, Any]
) -> None:
    pod = proxy(**absent, **others)
    pod["metadata"]["annotations"] = annotations
    before = copy.deepcopy(pod)
    changed = applied(pod, mutation.patch(pod, SETTINGS, None, CA))
    assert pod == before
    assert changed == mutation.mutated(pod, SETTINGS, None, CA)
    assert {name: changed["spec"][name] for name in others} == others
    assert annotations.items() <= {**changed["metadata"]["annotations"], **annotations}.items()
