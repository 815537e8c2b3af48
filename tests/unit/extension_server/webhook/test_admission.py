import asyncio
import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension_server.compile.result import ObjectRef
from extension_server.sidecar import container, mutation
from extension_server.webhook.admission import Admission, BadReview, Known, NotKnown, read_patch
from filters.contract import jsonlib
from tests.unit.extension_server.sidecar.proxies import SETTINGS, config, proxy

GATEWAY = ObjectRef("Gateway", "default", "gw")


async def unknown(_: ObjectRef) -> Known:
    raise NotKnown("its routes are still being read")


MEDIATED = Known(mediated=True)


def admission(known: Any = MEDIATED) -> Admission:
    async def fixed(_: ObjectRef) -> Known:
        return known  # type: ignore[no-any-return]  # of whatever the test gives

    asked = known if callable(known) else fixed
    return Admission(settings=lambda: SETTINGS, gateway=asked, ca=lambda: "ca", proxies_namespace="proxies")


def review(pod: Any, uid: str = "1") -> bytes:
    request = {"uid": uid, "kind": {"kind": "Pod"}, "operation": "CREATE", "namespace": "proxies", "object": pod}
    return jsonlib.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


def response(answer: bytes) -> dict[str, Any]:
    document = jsonlib.decode(answer, dict[str, Any])
    assert document["apiVersion"] == "admission.k8s.io/v1"
    assert document["kind"] == "AdmissionReview"
    found: dict[str, Any] = document["response"]
    return found


async def test_a_proxy_of_a_gateway_with_ai_routes_gets_the_filter_of_its_gateway() -> None:
    asked: list[ObjectRef] = []
    own = config(image="mine")

    async def known(gateway: ObjectRef) -> Known:
        asked.append(gateway)
        return Known(mediated=True, config=own)

    answer = await admission(known).review(review(proxy(), "u"))
    assert response(answer)["uid"] == "u"
    assert response(answer)["allowed"] is True
    assert read_patch(answer) == mutation.patch(proxy(), SETTINGS, own, "ca")
    assert asked == [GATEWAY]


def without_envoy() -> dict[str, Any]:
    pod = proxy()
    pod["spec"]["containers"] = [{"name": "shutdown-manager", "image": "gateway"}]
    return pod


@pytest.mark.parametrize(
    ("pod", "known"),
    [
        (proxy(), Known(mediated=False)),
        (without_envoy(), MEDIATED),
        ({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}, unknown),
        ({"metadata": {}}, unknown),
        (None, unknown),
    ],
)
async def test_everything_else_passes_as_it_is(pod: Any, known: Any) -> None:
    assert response(await admission(known).review(review(pod))) == {"uid": "1", "allowed": True}


async def test_nobody_gets_the_filter_of_a_gateway_in_another_namespace() -> None:
    pod = proxy()
    pod["metadata"]["namespace"] = "strangers"
    found = response(await admission().review(review(pod)))
    assert found["allowed"] is True
    assert "patch" not in found
    assert "only proxies of Gateway default/gw in its own namespace or proxies get it" in found["warnings"][0]


@pytest.mark.parametrize("namespace", ["default", "proxies"])
async def test_the_namespace_is_that_of_the_object_or_else_of_the_request(namespace: str) -> None:
    pod = proxy()
    pod["metadata"]["namespace"] = namespace
    assert read_patch(await admission().review(review(pod)))
    assert read_patch(await admission().review(review(proxy())))


async def test_a_proxy_that_is_marked_waits_while_nobody_knows_whether_it_needs_the_filter() -> None:
    pod = proxy()
    pod["metadata"]["annotations"] = {container.HASH_ANNOTATION: "some"}
    found = response(await admission(unknown).review(review(pod)))
    assert found["allowed"] is False
    assert found["status"]["code"] == 503
    assert "its routes are still being read" in found["status"]["message"]


async def test_any_other_proxy_starts_meanwhile_and_is_told_of_the_filter() -> None:
    found = response(await admission(unknown).review(review(proxy())))
    assert found["allowed"] is True
    assert "patch" not in found
    assert "its routes are still being read; if it needs the filter, it is rolled out again" in found["warnings"][0]


async def test_a_proxy_that_cannot_be_read_is_refused_with_the_reason() -> None:
    pod = proxy(initContainers=3)
    found = response(await admission().review(review(pod)))
    assert found["allowed"] is False
    assert found["status"]["message"].startswith("the AI gateway cannot add its filter to this pod: ")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b'{"request":{}}', b'{"request":3}', b"\xff", b'{"request":null}'),
        b'{"request":{"uid":"1","object":' + b"[" * 100_000,
    ],
)
async def test_what_is_no_review_is_an_error_of_the_caller(body: bytes) -> None:
    with pytest.raises(BadReview, match="not an AdmissionReview"):
        await admission().review(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
members = st.sampled_from(["initContainers", "volumes", "imagePullSecrets", "terminationGracePeriodSeconds", "x"])


@given(st.dictionaries(members, json_values), st.lists(json_values, max_size=2), json_values)
def test_no_envoy_however_odd_its_pod_is_let_through_without_the_filter(spec: Any, others: Any, metadata: Any) -> None:
    labels = proxy()["metadata"]["labels"]
    odd = {
        "metadata": {**(metadata if isinstance(metadata, dict) else {}), "labels": labels},
        "spec": {**spec, "containers": [*others, {"name": "envoy"}]},
    }
    found = response(asyncio.run(admission().review(review(odd))))
    assert not found["allowed"] or "ai-gateway-extproc" in base64.b64decode(found["patch"]).decode()
