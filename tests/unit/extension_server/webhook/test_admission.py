import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extension_server.compile.result import ObjectRef
from extension_server.sidecar import mutation
from extension_server.webhook.admission import Admission, BadReview, Known, NotKnown, read_patch
from filters.contract import jsonlib
from tests.unit.extension_server.sidecar.proxies import SETTINGS, config, proxy

GATEWAY = ObjectRef("Gateway", "default", "gw")


def unknown(_: ObjectRef) -> Known:
    raise NotKnown("its routes are still being read")


MEDIATED = Known(mediated=True)


def admission(known: Any = MEDIATED) -> Admission:
    return Admission(settings=lambda: SETTINGS, gateway=known if callable(known) else lambda _: known, ca=lambda: "ca")


def review(pod: Any, uid: str = "1") -> bytes:
    request = {"uid": uid, "kind": {"kind": "Pod"}, "operation": "CREATE", "namespace": "proxies", "object": pod}
    return jsonlib.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


def response(answer: bytes) -> dict[str, Any]:
    document = jsonlib.decode(answer, dict[str, Any])
    assert document["apiVersion"] == "admission.k8s.io/v1"
    assert document["kind"] == "AdmissionReview"
    found: dict[str, Any] = document["response"]
    return found


def test_a_proxy_of_a_gateway_with_ai_routes_gets_the_filter_of_its_gateway() -> None:
    asked: list[ObjectRef] = []
    own = config(image="mine")

    def known(gateway: ObjectRef) -> Known:
        asked.append(gateway)
        return Known(mediated=True, config=own)

    answer = admission(known).review(review(proxy(), "u"))
    assert response(answer)["uid"] == "u"
    assert response(answer)["allowed"] is True
    assert read_patch(answer) == mutation.patch(proxy(), SETTINGS, own, "ca")
    assert asked == [GATEWAY]


@pytest.mark.parametrize(
    ("pod", "known"),
    [
        (proxy(), Known(mediated=False)),
        ({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}, unknown),
        ({"metadata": {}}, unknown),
        (None, unknown),
    ],
)
def test_everything_else_passes_as_it_is(pod: Any, known: Any) -> None:
    assert response(admission(known).review(review(pod))) == {"uid": "1", "allowed": True}


def test_a_proxy_waits_while_nobody_knows_whether_it_needs_the_filter() -> None:
    found = response(admission(unknown).review(review(proxy())))
    assert found["allowed"] is False
    assert found["status"]["code"] == 503
    assert "its routes are still being read" in found["status"]["message"]


def test_a_proxy_that_cannot_be_read_is_refused_with_the_reason() -> None:
    pod = proxy()
    pod["spec"]["containers"] = []
    found = response(admission().review(review(pod)))
    assert found["allowed"] is False
    assert found["status"]["message"].endswith("the pod has no container envoy")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"request":{}}', b'{"request":3}', b"\xff", b'{"request":null}'])
def test_what_is_no_review_is_an_error_of_the_caller(body: bytes) -> None:
    with pytest.raises(BadReview, match="not an AdmissionReview"):
        admission().review(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(json_values, json_values)
def test_no_pod_however_odd_is_let_through_without_the_filter(spec: Any, metadata: Any) -> None:
    labels = proxy()["metadata"]["labels"]
    odd = {"metadata": {**(metadata if isinstance(metadata, dict) else {}), "labels": labels}, "spec": spec}
    found = response(admission().review(review(odd)))
    assert not found["allowed"] or "ai-gateway-extproc" in base64.b64decode(found["patch"]).decode()
