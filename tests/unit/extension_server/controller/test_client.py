"""What the client leaves behind when it is closed: nothing, however slow the API server is to hang up."""

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from extension_server.controller.client import KubernetesApi, Resource

CERTIFICATES = Path(__file__).parents[3] / "standalone" / "certificates"
LIMIT = 20.0
SECRETS = Resource("", "v1", "Secret", "secrets")
EVENT = b'{"type":"ADDED","object":{"metadata":{"name":"s","namespace":"n"}}}\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """Of an API server that sends one watch event, and then neither reads nor hangs up before the test is over."""
    over = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "provider.crt", CERTIFICATES / "provider.key")

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as client:
            client.recv(65536)
            client.sendall(HEAD + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            over.wait(LIMIT)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        cluster = {"server": f"https://127.0.0.1:{listening.getsockname()[1]}", "insecure-skip-tls-verify": True}
        path = tmp_path / "kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"token": "t"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        yield path
        over.set()
        thread.join(LIMIT)


def test_a_watch_that_is_cancelled_leaves_no_connection_open(kubeconfig: Path) -> None:
    async def watch(api: KubernetesApi, first: asyncio.Event) -> None:
        async for event in api.watch(SECRETS, "n", "1"):
            assert event.object["metadata"]["name"] == "s"
            first.set()

    async def run() -> None:
        async with asyncio.timeout(LIMIT), KubernetesApi(await KubernetesApi.configuration(kubeconfig)) as api:
            first = asyncio.Event()
            task = asyncio.create_task(watch(api, first))
            await first.wait()
            task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled()

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        asyncio.run(run())
        gc.collect()
    assert [str(each.message) for each in seen if issubclass(each.category, ResourceWarning)] == []
