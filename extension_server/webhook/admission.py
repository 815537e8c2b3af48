"""AdmissionReview in, AdmissionReview out: proxies of Gateways with AI routes get the filter beside them. No I/O.

What cannot be decided is refused, with a sentence: an Envoy without the filter answers every AI request with an error,
so a pod that waits is better than a pod that replaces a good one. The webhook's selectors see to it that only proxies
come here (API chapter §3.5).
"""

import base64
import binascii
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from extension_server.api.aigateway import GatewayConfig
from extension_server.compile.result import ObjectRef
from extension_server.sidecar import mutation
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
    gateway: Callable[[ObjectRef], Known]
    """Raises NotKnown."""
    ca: Callable[[], str]
    """PEM that sidecars are to trust. Raises NotKnown."""

    def review(self, body: bytes) -> bytes:
        """Raises BadReview."""
        try:
            review = _document(body)
            request = review["request"]
            uid = str(request["uid"])
            pod = request.get("object")
        except (jsonlib.JsonError, KeyError, TypeError, AttributeError) as exc:
            raise BadReview(f"not an AdmissionReview: {type(exc).__name__}") from exc
        answer: Document = {"uid": uid, "allowed": True}
        if isinstance(pod, dict):
            answer |= self._answer(pod)
        return jsonlib.encode({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": answer})

    def _answer(self, pod: Document) -> Document:
        try:
            gateway = mutation.gateway_of(pod.get("metadata") or {})
            if gateway is None:
                return {}
            known = self.gateway(gateway)
            if not known.mediated:
                return {}
            operations = mutation.patch(pod, self.settings(), known.config, self.ca())
        except NotKnown as exc:
            return _refused(503, f"the AI gateway cannot add its filter yet: {exc}; the pod is tried again")
        except (ValueError, TypeError, AttributeError) as exc:
            _log.exception("a proxy pod cannot be read")
            return _refused(422, f"the AI gateway cannot add its filter to this pod: {exc}")
        if not operations:
            return {}
        return {"patchType": "JSONPatch", "patch": base64.b64encode(jsonlib.encode(operations)).decode()}


def _refused(code: int, message: str) -> Document:
    return {"allowed": False, "status": {"code": code, "message": message}}


def read_patch(answer: bytes) -> list[Document]:
    """The operations in an answer, for tests and `doctor`. Raises ValueError."""
    response = _document(answer)["response"]
    try:
        return jsonlib.decode(base64.b64decode(response["patch"], validate=True), list[Document])
    except (KeyError, binascii.Error) as exc:
        raise ValueError("no patch") from exc
