"""The admission webhook's HTTPS server: `POST /mutate`. Certificates may change while it runs."""

import logging
import ssl
from collections.abc import Callable
from typing import Final

from aiohttp import web

from extension_server.webhook.admission import Admission, BadReview

PATH: Final = "/mutate"
BODY_LIMIT: Final = 8 * 1024 * 1024
"""Bytes; a review holds the object twice at most, and etcd takes 1.5 MiB of it."""
_log = logging.getLogger(__name__)


class WebhookServer:
    def __init__(self, admission: Admission, context: Callable[[], ssl.SSLContext]) -> None:
        """`context` is asked for each connection."""
        self._admission = admission
        self._context = context
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Returns the port. Raises OSError when it is taken."""
        application = web.Application(client_max_size=BODY_LIMIT)
        application.router.add_post(PATH, self._mutate)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)
        await self._runner.setup()
        entry = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Chosen when a client says hello, so that the next connection has the new certificate.
        entry.sni_callback = self._choose
        site = web.TCPSite(self._runner, host, port, ssl_context=entry)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Requests in flight are answered."""
        if self._runner is None:
            return
        connections = self._runner.server.connections if self._runner.server is not None else []
        transports = [each.transport for each in connections]
        await self._runner.cleanup()
        for transport in transports:
            # TLS waits up to 30 s for the other side to hang up, too; the answers are with the kernel.
            if transport is not None:
                transport.abort()

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> int | None:
        try:
            connection.context = self._context()
        except Exception:
            _log.exception("no certificate to answer the API server with")
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        return None

    async def _mutate(self, request: web.Request) -> web.Response:
        try:
            answer = await self._admission.review(await request.read())
        except BadReview as exc:
            return web.Response(status=400, text=str(exc))
        return web.Response(body=answer, content_type="application/json")
