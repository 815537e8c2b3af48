"""AdmissionReview in, AdmissionReview out: proxies of Gateways with AI routes get the filter beside them. No I/O.

While nobody knows, pods whose Deployment is marked as one with the filter wait: an Envoy without it answers every AI
request with an error, and is not to replace a good one. The others start as they are, so that nobody's proxies are held
up because of us; those that turn out to need the filter are rolled out again. The webhook's selectors see to it that
only proxies come here (API chapter §3.5).
"""

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from extension_server.api.aigateway import GatewayConfig
from extension_server.compile.result import ObjectRef
from extension_server.sidecar import container, mutation
from extension_server.sidecar.container import Settings
from filters.contract import jsonlib

Document = dict[str, Any]

API_VERSION: Final = "admission.k8s.io/v1"
_log = logging.getLogger(__name__)
_document = jsonlib.decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a Gateway."""

    mediated: bool
    """AI routes are attached to it"""
    config: GatewayConfig | None = None


class NotKnown(Exception):
    """It cannot be said yet; the text says why."""


class BadReview(ValueError):
    """The request is no AdmissionReview; the text says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    settings: Callable[[], Settings]
    gateway: Callable[[ObjectRef], Awaitable[Known]]
    """Raises NotKnown."""
    proxies_namespace: str
    """Envoy Gateway's: proxies are there, or with their Gateway"""
    ca: Callable[[], str]
    """PEM that sidecars are to trust. Raises NotKnown."""

    async def review(self, body: bytes) -> bytes:
        """Raises BadReview."""
        try:
            review = _document(body)
            request = review["request"]
            uid = str(request["uid"])
            pod, namespace = request.get("object"), request.get("namespace")
        except (jsonlib.JsonError, KeyError, TypeError, AttributeError) as exc:
            raise BadReview(f"not an AdmissionReview: {type(exc).__name__}") from exc
        answer: Document = {"uid": uid, "allowed": True}
        if isinstance(pod, dict):
            answer |= await self._answer(pod, namespace)
        return jsonlib.encode({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": answer})

    async def _answer(self, pod: Document, namespace: Any) -> Document:
        try:
            metadata = pod.get("metadata") or {}
            gateway = mutation.gateway_of(metadata)
            if gateway is None or not mutation.has_envoy(pod):
                return {}
            # The object may leave it out, the request never does.
            if (metadata.get("namespace") or namespace) not in (gateway.namespace, self.proxies_namespace):
                # What a Gateway's filter is started with is nobody else's business.
                return _untouched(f"only proxies of {gateway} in its own namespace or {self.proxies_namespace} get it")
            known = await self.gateway(gateway)
            if not known.mediated:
                return {}
            operations = mutation.patch(pod, self.settings(), known.config, self.ca())
        except NotKnown as exc:
            if container.HASH_ANNOTATION in (pod["metadata"].get("annotations") or {}):
                return _refused(503, f"the AI gateway cannot add its filter yet: {exc}; the pod is tried again")
            return _untouched(f"{exc}; if it needs the filter, it is rolled out again")
        except (ValueError, TypeError, AttributeError) as exc:
            _log.exception("a proxy pod cannot be read")
            return _refused(422, f"the AI gateway cannot add its filter to this pod: {exc}")
        if not operations:
            return {}
        return {"patchType": "JSONPatch", "patch": base64.b64encode(jsonlib.encode(operations)).decode()}


def _untouched(why: str) -> Document:
    _log.warning("a pod starts without the filter: %s", why)
    return {"warnings": [f"the AI gateway's filter was not added: {why}"]}


def _refused(code: int, message: str) -> Document:
    return {"allowed": False, "status": {"code": code, "message": message}}


def read_patch(answer: bytes) -> list[Document]:
    """The operations in an answer, for tests and `doctor`. Raises ValueError."""
    response = _document(answer)["response"]
    try:
        return jsonlib.decode(base64.b64decode(response["patch"], validate=True), list[Document])
    except (KeyError, binascii.Error) as exc:
        raise ValueError("no patch") from exc
