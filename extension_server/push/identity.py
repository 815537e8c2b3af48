"""Who is it that asks for a configuration? A pod of Envoy Gateway's, by a token that the API server vouches for.

The token is a projected service-account token of our audience, bound to the pod. The API server says whether it holds
and to which pod it belongs; the pod's labels say whose proxy it is. What the caller says about itself counts nothing.
"""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from extension_server.compile.result import ObjectRef
from extension_server.controller.client import Api, ApiError, Document, Resource
from extension_server.controller.workloads import PODS
from extension_server.sidecar.mutation import OWNER_NAME, OWNER_NAMESPACE
from filters.contract import jsonlib
from filters.contract.push import AUDIENCE

REVIEWS: Final = Resource("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", namespaced=False)
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_ACCOUNT: Final = "system:serviceaccount:"
MAX_TOKEN: Final = 16 * 1024
"""Bytes; those of API servers have 1 KB."""
SHORTEST: Final = 5.0
LONGEST: Final = 24 * 3600.0
"""Seconds for which a verdict counts: until the token ends, within these."""


class Refused(Exception):
    """Not one of ours; the text says why, to whoever reads the log and to the caller."""


class NotNow(Exception):
    """The API server did not answer; the caller may ask again."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A pod that may have the configuration of one Gateway."""

    gateway: ObjectRef
    pod: ObjectRef
    uid: str
    valid_for: float
    """seconds"""


class _Claims(msgspec.Struct):
    exp: float = 0.0


_claims: Final = jsonlib.decoder(_Claims)


@dataclass(frozen=True, slots=True)
class Identities:
    """Asks the API server, anew for each connection: a pod may be gone, or its token revoked."""

    api: Api
    envoy_gateway_namespace: str
    now: Callable[[], float] = time.time

    async def of(self, token: str) -> Filter:
        """Raises Refused, NotNow."""
        if not token:
            raise Refused("no token: metadata `authorization: Bearer <token>` is missing")
        if len(token) > MAX_TOKEN:
            raise Refused("the token is too long")
        pod, uid = _pod_of(await self._review(token))
        document = await self._get(pod)
        if document["metadata"].get("uid") != uid:
            raise Refused(f"{pod} has been replaced by another of the same name")
        labels: dict[str, str] = document["metadata"].get("labels") or {}
        name, namespace = labels.get(OWNER_NAME), labels.get(OWNER_NAMESPACE)
        if not name or not namespace:
            raise Refused(f"{pod} is no proxy of Envoy Gateway's: labels {OWNER_NAME} and -namespace are missing")
        gateway = ObjectRef("Gateway", namespace, name)
        if pod.namespace not in (namespace, self.envoy_gateway_namespace):
            # Whoever may make pods somewhere may label them as they like.
            raise Refused(
                f"{pod} says that it belongs to {gateway}, but proxies run in the namespace of their Gateway or in "
                f"{self.envoy_gateway_namespace}"
            )
        return Filter(gateway, pod, uid, self._valid_for(token))

    async def serves(self, found: Filter) -> bool:
        """Whether requests may come to the pod now: it is ready, and is not being deleted. Raises NotNow."""
        try:
            pod = await self._get(found.pod)
        except Refused:  # it is not there
            return False
        metadata, conditions = pod["metadata"], (pod.get("status") or {}).get("conditions") or ()
        ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
        return ready and metadata.get("uid") == found.uid and not metadata.get("deletionTimestamp")

    async def _review(self, token: str) -> Document:
        review = {
            "apiVersion": REVIEWS.api_version,
            "kind": REVIEWS.kind,
            "metadata": {},
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        try:
            answer = await self.api.create(REVIEWS, review)
        except ApiError as exc:
            raise NotNow(f"the API server cannot review tokens: {exc.reason or exc.status}") from exc
        status: Document = answer.get("status") or {}
        if not status.get("authenticated"):
            raise Refused(f"the token is not valid: {_sentence(status.get('error'))}")
        if AUDIENCE not in (status.get("audiences") or ()):
            raise Refused(f"the token is not for audience {AUDIENCE}")
        return status

    async def _get(self, pod: ObjectRef) -> Document:
        try:
            return await self.api.get(PODS, pod.namespace, pod.name)
        except ApiError as exc:
            if exc.not_found:
                raise Refused(f"{pod} is not there") from exc
            raise NotNow(f"{pod} cannot be read: {exc.reason or exc.status}") from exc

    def _valid_for(self, token: str) -> float:
        """Only for a token that the API server has vouched for."""
        try:
            payload = token.split(".")[1]
            claims = _claims(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError):  # JsonError and binascii.Error are ValueErrors
            return SHORTEST
        return min(max(claims.exp - self.now(), SHORTEST), LONGEST)


def _pod_of(status: Document) -> tuple[ObjectRef, str]:
    """The pod that a token is bound to, and its uid."""
    user: dict[str, Any] = status.get("user") or {}
    account: str = user.get("username") or ""
    extra: dict[str, list[str]] = user.get("extra") or {}
    names, uids = extra.get(_POD_NAME) or [], extra.get(_POD_UID) or []
    if not account.startswith(_ACCOUNT) or len(names) != 1 or len(uids) != 1:
        raise Refused("the token is not bound to a pod")
    namespace = account.removeprefix(_ACCOUNT).partition(":")[0]
    return ObjectRef("Pod", namespace, names[0]), uids[0]


def _sentence(error: object) -> str:
    """The API server's reason, in one line. It quotes no token."""
    return " ".join(str(error or "the API server does not know it").split())[:300]
