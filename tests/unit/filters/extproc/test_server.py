"""The listening socket of a filter process: who was there."""

import asyncio
from pathlib import Path

from filters.extproc.server import Server
from tests.support.waiting import eventually


async def test_whoever_is_or_was_connected_has_asked(tmp_path: Path) -> None:
    server, path = Server({}), str(tmp_path / "run.sock")
    await server.listen(path)
    assert not server.was_asked()
    # Envoy's probe: it connects and hangs up.
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await eventually(server.was_asked)
    await eventually(lambda: not server.was_asked())
    # A connection for requests, which stays, with or without any.
    _, writer = await asyncio.open_unix_connection(path)
    await eventually(server.was_asked)
    assert server.was_asked()
    writer.close()
    await eventually(lambda: not server.was_asked())
    server.stop_listening()
