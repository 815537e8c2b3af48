"""The six hooks as functions of bytes: a request in, an answer out. Sans-IO; `server` puts it on gRPC.

No request makes it raise. A request that is no message of its type is refused; every resource in a message that is one
is answered, patched or as it came. Hooks other than Translation and Endpoints have nothing to do for AI routes (what
they could change, Translation can), so their resource goes back untouched: for Envoy Gateway an answer that a hook is
not implemented would be a failed hook.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from extension_server.compile.result import Finding, ObjectRef
from extension_server.hooks import messages, translation
from extension_server.hooks.elements import Element, name_of
from extension_server.hooks.memo import Memos
from extension_server.hooks.messages import METHODS, Message, Method
from extension_server.hooks.observation import Ignored, Observation, Sink
from extension_server.hooks.shells import shell
from extension_server.hooks.source import MediationSource
from extension_server.xds import endpoints, names, pool

_AGAIN: Final = 1.0
"""seconds until a translation that came too early is made again"""
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """The request cannot be answered at all; Envoy Gateway keeps the xDS that it has for this Gateway, and goes on with
    the others."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cold:
    """The right answer is not known yet (`MediationSource.warm`). Asking again soon may help; `otherwise` is for when
    there was no time for that."""

    otherwise: bytes | Refused
    gateways: tuple[ObjectRef, ...] = ()
    """that Envoy Gateway has to translate again after `otherwise`"""
    again: float = 0.0
    """in how many seconds; 0: when something is known of them"""


class HookService:
    """One per process. Remembers whether the Endpoints hook is in use, and what was logged last."""

    def __init__(
        self, source: MediationSource, sink: Sink | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._clock = clock
        self._sink = sink or Ignored()
        self._endpoints_hooked = False
        self._memos = Memos()
        self._logged: dict[ObjectRef, tuple[Finding, ...]] = {}

    def prepare(self) -> None:
        """Loads Envoy's message types, which the first call would otherwise wait for (30 ms)."""
        for name in (pool.LISTENER, pool.HTTP_CONNECTION_MANAGER, pool.CLUSTER, pool.ROUTE_CONFIGURATION):
            pool.message_class(name)
        shell("RouteConfiguration")
        for method in METHODS:
            messages.request(method), messages.response(method)

    def answer(self, method: Method, data: bytes) -> bytes | Refused | Cold:
        """`data` is a `<method>Request`, the result a `<method>Response`."""
        try:
            request = messages.request(method).FromString(data)
        except DecodeError as error:
            return Refused(f"not a {method}Request: {error}")
        if method == "PostTranslateModify":
            return self._translate(request)
        answer = messages.response(method)()
        if request.HasField(messages.RESOURCE):
            answer.resource = request.resource
        if method != "PostEndpointsModify" or not request.HasField(messages.RESOURCE):
            return bytes(answer.SerializeToString())
        self._endpoints_hooked = True
        if not self._source.warm and _may_be_ours(request.resource):
            return Cold(bytes(answer.SerializeToString()))
        answer.resource = self._endpoints(request.resource)
        return bytes(answer.SerializeToString())

    def turned_away(self, answer: Cold) -> None:
        """`Cold.otherwise` was answered."""
        for gateway in answer.gateways:
            why = answer.otherwise.reason if isinstance(answer.otherwise, Refused) else "it is not known yet"
            _LOG.warning("%s keeps the xDS that it has: %s", gateway, why)
            try:
                self._sink.turned_away(gateway, answer.again)
            except Exception:
                _LOG.exception("it was not taken that %s was turned away", gateway)

    def _translate(self, request: Message) -> bytes | Refused | Cold:
        try:
            translated = translation.translate(
                request,
                self._source,
                endpoints_hooked=self._endpoints_hooked,
                memos=self._memos,
                now=self._clock(),
            )
        except Exception as error:
            # A defect of ours. Without the edge strip nothing may be published, so the last good xDS has to stay.
            _LOG.exception("translation failed")
            return Refused(f"{type(error).__name__}: {error}")
        if not self._source.warm and translated.unknown:
            # 503s would go out that the data plane does not answer now; what it has is better.
            return Cold(
                Refused("the controller has just started and does not know the AI routes yet"), translated.unknown
            )
        if translated.early:
            return Cold(
                Refused("the controller has just started, and its AI routes are about to be written in another state"),
                translated.early,
                _AGAIN,
            )
        for observation in translated.observations:
            self._report(observation)
        return translated.answer

    def _endpoints(self, raw: bytes) -> bytes:
        """Marks the endpoints of AI rules. What cannot be marked stays as it came; attempts are refused there."""
        element = Element(raw, pool.CLUSTER_LOAD_ASSIGNMENT)
        try:
            assignment = element.decode()
            name = names.cluster(assignment.cluster_name)
            rule = self._source.for_rule(name.rule) if name is not None else None
            if name is not None and rule is not None:
                endpoints.mark(assignment, rule, name)
            return element.encode()
        except Exception:
            _LOG.exception("endpoints cannot be marked")
            return raw

    def _report(self, observation: Observation) -> None:
        before = self._logged.get(observation.gateway, ())
        self._logged[observation.gateway] = observation.findings
        for finding in observation.findings:
            if finding not in before:
                _LOG.warning("%s", finding)
        try:
            self._sink.observe(observation)
        except Exception:
            _LOG.exception("the observation of %s was not taken", observation.gateway)


def _may_be_ours(raw: bytes) -> bool:
    """Whether the endpoints are those of an HTTPRoute's rule."""
    return names.cluster(name_of(raw)) is not None


__all__ = ["METHODS", "Cold", "HookService", "Refused"]
