"""Which questions were asked while something was compiled: it must be compiled again when an answer changes.

Noting the questions themselves makes the dependencies exact, those on what is *not* there included, and no list of
"who refers to whom" has to be kept in step with the compiler.
"""

from collections.abc import Mapping
from typing import TypeVar

from extension_server.api.aigateway import AnyBackendSecurityPolicy
from extension_server.api.base import Object
from extension_server.api.gateway import ReferenceGrant
from extension_server.compile.result import ObjectRef
from extension_server.compile.snapshot import Resources, Target, kind_of

T = TypeVar("T", bound=Object)
Key = ObjectRef
"""A question: an object by its name, or one of those below."""


def grants_key(namespace: str) -> Key:
    return ObjectRef("ReferenceGrant", namespace, "*")


def policies_key(backend: Target) -> Key:
    return ObjectRef("BackendSecurityPolicy of AIServiceBackend", *backend)


def credential_key(policy: ObjectRef) -> Key:
    """Is there a credential, and which? Not: what is its value?"""
    return ObjectRef("credential of BackendSecurityPolicy", policy.namespace, policy.name)


class Recorder:
    """Passes every question on, and keeps it in `reads`."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self.reads: set[Key] = set()

    def get(self, kind: type[T], namespace: str, name: str) -> T | None:
        self.reads.add(ObjectRef(kind_of(kind), namespace, name))
        return self._resources.get(kind, namespace, name)

    def grants(self, namespace: str) -> tuple[ReferenceGrant, ...]:
        self.reads.add(grants_key(namespace))
        return self._resources.grants(namespace)

    def policies_of(self, backend: Target) -> tuple[AnyBackendSecurityPolicy, ...]:
        self.reads.add(policies_key(backend))
        return self._resources.policies_of(backend)

    def unread_policies_of(self, backend: Target) -> tuple[str, ...]:
        self.reads.add(policies_key(backend))
        return self._resources.unread_policies_of(backend)

    def labels(self, namespace: str) -> Mapping[str, str]:
        self.reads.add(ObjectRef("Namespace", "", namespace))
        return self._resources.labels(namespace)

    def problem(self, kind: type[Object], namespace: str, name: str) -> str | None:
        return self._resources.problem(kind, namespace, name)
