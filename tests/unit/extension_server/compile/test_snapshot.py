"""A snapshot finds objects by kind, namespace and name, and iterates in one order whatever it was built from."""

import pytest

from extension_server.api import core
from extension_server.api.aigateway import AnyBackendSecurityPolicy, BackendSecurityPolicyV1alpha1
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import DuplicateObject, Snapshot
from tests.support.manifests import objects

SECRETS = """
{apiVersion: v1, kind: Secret, metadata: {name: b}}
---
{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: z}}
---
{apiVersion: v1, kind: Secret, metadata: {name: a}}
"""


def test_objects_are_found_and_ordered() -> None:
    snapshot = Snapshot(objects(SECRETS))
    assert [f"{each.namespace}/{each.name}" for each in snapshot.all(core.Secret)] == ["default/a", "default/b", "z/a"]
    assert len(snapshot) == 3
    assert snapshot.get(core.Secret, "z", "a") is not None
    assert snapshot.get(core.Secret, "z", "b") is None
    assert snapshot.get(core.ConfigMap, "z", "a") is None


def test_an_object_twice_is_refused() -> None:
    snapshot = Snapshot(objects(SECRETS))
    with pytest.raises(DuplicateObject, match="Secret default/a is defined twice") as caught:
        snapshot.with_objects(objects("{apiVersion: v1, kind: Secret, metadata: {name: a}}"))
    assert caught.value.ref == ObjectRef("Secret", "default", "a")


def test_a_kind_is_found_in_each_of_its_versions() -> None:
    text = """
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: BackendSecurityPolicy
metadata: {name: p}
spec: {type: APIKey, apiKey: {secretRef: {name: s}}}
"""
    (found,) = Snapshot(objects(text)).all(AnyBackendSecurityPolicy)
    assert isinstance(found, BackendSecurityPolicyV1alpha1)
