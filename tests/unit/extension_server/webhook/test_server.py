"""What the webhook's server leaves behind when it stops: nothing, whatever its callers do."""

import asyncio
import gc
import socket
import ssl
import threading
import warnings
from pathlib import Path

from extension_server.compile.result import ObjectRef
from extension_server.sidecar.container import Settings
from extension_server.webhook.admission import Admission, Known, NotKnown
from extension_server.webhook.server import WebhookServer

CERTIFICATES = Path(__file__).parents[3] / "standalone" / "certificates"
LIMIT = 20.0
BODY = b'{"request":{"uid":"1"}}'
REQUEST = b"POST /mutate HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(CERTIFICATES / "provider.crt", CERTIFICATES / "provider.key")
    return made


async def unknown(_: ObjectRef) -> Known:
    raise NotKnown("not asked")


def admission() -> Admission:
    return Admission(
        settings=lambda: Settings(image="i", config_address="c:1"),
        gateway=unknown,
        ca=lambda: "",
        proxies_namespace="envoy-gateway-system",
    )


class Caller:
    """Asks once, over a connection that it neither reads any more nor closes before `over`."""

    def __init__(self, port: int) -> None:
        self.answer = b""
        self.answered = threading.Event()
        self.over = threading.Event()
        self._port = port
        self._thread = threading.Thread(target=self._call)
        self._thread.start()

    def _call(self) -> None:
        trusting = ssl.create_default_context()
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=LIMIT)
        with trusting.wrap_socket(plain) as connection:
            connection.sendall(REQUEST)
            self.answer = connection.recv(65536)
            self.answered.set()
            self.over.wait(LIMIT)

    def leave(self) -> None:
        self.over.set()
        self._thread.join(LIMIT)


def test_a_caller_that_does_not_hang_up_is_not_waited_for() -> None:
    async def run() -> Caller:
        server = WebhookServer(admission(), context)
        caller = Caller(await server.start("127.0.0.1", 0))
        try:
            assert await asyncio.to_thread(caller.answered.wait, LIMIT)
        finally:
            await server.stop()
        return caller

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        caller = asyncio.run(run())
        gc.collect()
    caller.leave()
    assert caller.answer.startswith(b"HTTP/1.1 200")
    assert [str(each.message) for each in seen if issubclass(each.category, ResourceWarning)] == []
