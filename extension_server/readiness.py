"""What `/readyz` answers (`admin`)."""

import asyncio

from extension_server.controller.reconcile import Controller


class Readiness:
    """Why the process is not to be sent work: until it knows everything, but not for longer than `limit` seconds. A
    process that never gets there must not be missing for the Gateways that have nothing to do with it: Envoy Gateway
    publishes nothing at all while it reaches no extension server."""

    def __init__(self, limit: float) -> None:
        self._until = asyncio.get_running_loop().time() + limit
        self.controller: Controller | None = None
        self.certified = asyncio.Event()

    def why_not(self) -> str:
        if asyncio.get_running_loop().time() >= self._until:
            return ""
        if self.controller is None:
            return "the API server has not been reached yet"
        if not self.controller.ready.is_set():
            kinds = ", ".join(self.controller.waiting)
            return f"waiting for {kinds}" if kinds else "compiling"
        if not self.certified.is_set():
            return "there is no certificate for the webhook yet"
        return ""
