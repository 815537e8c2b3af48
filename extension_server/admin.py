"""HTTP for operators and probes: `/metrics`, `/healthz` (the process turns), `/readyz` (send it work)."""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from extension_server.metrics import CONTENT_TYPE, Metrics

STOP_GRACE: Final = 1.0
"""seconds for a scrape that is under way at the end"""


class AdminServer:
    """`unready` says why the process is not ready, one reason per line; empty when it is."""

    def __init__(self, metrics: Metrics, unready: Callable[[], str]) -> None:
        self._metrics = metrics
        self._unready = unready
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._scraped),
                web.get("/healthz", self._alive),
                web.get("/readyz", self._ready),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_GRACE)

    async def start(self, host: str, port: int) -> int:
        """Listens (port 0: a free one) and returns the port. Raises OSError when it is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _scraped(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def _alive(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        why = self._unready()
        return web.Response(text=f"{why or 'ok'}\n", status=503 if why else 200)
