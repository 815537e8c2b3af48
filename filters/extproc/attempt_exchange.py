"""The upstream-level conversation about one attempt: one message, answered with the request as this backend takes it.

The attempt belongs to a request that a listener-level exchange holds; that one is found by its id, in this process or
in another one, and handles the provider's answer.
"""

from collections.abc import Sequence
from typing import Final

from filters.contract.config import STATIC_METADATA_NAMESPACE
from filters.errors import GatewayError, InternalError
from filters.extproc import answers
from filters.extproc.exchange import CloseReason
from filters.extproc.listener_exchange import EXCHANGE_KEY
from filters.extproc.live import LiveRequests
from filters.extproc.messages import Forward, Message, Plain, Reply, RequestHeaders, pass_through

_BACKEND: Final = f"filter_metadata['{STATIC_METADATA_NAMESPACE}']['per_route_rule_backend_name']"
BACKEND_ATTRIBUTES: Final = (f"xds.upstream_host_metadata.{_BACKEND}", f"xds.cluster_metadata.{_BACKEND}")
"""Where the name of the chosen backend stands: on the host when a cluster has several backends, else on the cluster."""
ENDPOINT_PICKER_HEADER: Final = "x-gateway-destination-endpoint"
"""Its presence says that an endpoint picker chose the host, so that no host of ours has metadata."""


class AttemptExchange:
    """See `filters.extproc.exchange.Exchange`."""

    __slots__ = ("_live",)

    def __init__(self, live: LiveRequests) -> None:
        self._live = live

    def on_message(self, message: Message) -> Sequence[Reply]:
        if not isinstance(message, RequestHeaders):
            return (pass_through(message),)
        request_id = _text(message.metadata.get(STATIC_METADATA_NAMESPACE, {}).get(EXCHANGE_KEY))
        owner = self._live.owner(request_id)
        if owner is not None:
            return (Forward(owner),)
        request = self._live.find(request_id)
        if request is None:
            gone = InternalError("an attempt belongs to no request that is in flight here", code="unknown_exchange")
            return (answers.error(gone),)
        try:
            return (request.attempt(_backend(message), message.headers),)
        except GatewayError as exc:
            return (request.refuse_attempt(exc),)

    def on_close(self, reason: CloseReason) -> None:
        """Nothing is held here."""


def _backend(message: RequestHeaders) -> str:
    places = BACKEND_ATTRIBUTES[1:] if ENDPOINT_PICKER_HEADER in message.headers else BACKEND_ATTRIBUTES
    for place in places:
        name = _text(message.attributes.get(place))
        if name:
            return name
    raise InternalError("Envoy does not say which backend it picked", code="unknown_backend")


def _text(value: Plain) -> str:
    return value if isinstance(value, str) else ""
