"""The listening unix socket, and the connections on it.

A new process may take the path over from an old one that is still draining: the socket is made under another name and
renamed into place, and a server takes away only its own. Until the last request that an old one holds is over, it goes
on listening where nobody took its place: that request's next attempt can come on a new connection.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Collection
from typing import Final

from filters.extproc.transport import Connection, Services

BACKLOG: Final = 1024
SOCKET_MODE: Final = 0o600
"""Envoy runs as the same user."""


class Server:
    """Serves gRPC on one unix socket."""

    def __init__(self, services: Services, last_services: Services | None = None) -> None:
        """`last_services` are served on connections that are opened while the server drains."""
        self._services = services
        self._last_services = services if last_services is None else last_services
        self._connections: set[Connection] = set()
        self._listener: asyncio.AbstractServer | None = None
        self._path = ""
        self._inode = 0
        self._left = asyncio.Event()
        self._draining = False
        self._came = False

    async def listen(self, path: str) -> None:
        """Raises OSError when the path cannot be used."""
        loop = asyncio.get_running_loop()
        self._path = path
        listening = bind_unix(path)
        self._inode = os.stat(path).st_ino
        self._listener = await loop.create_unix_server(self.connection, sock=listening, backlog=BACKLOG)

    def connection(self) -> Connection:
        """A new connection that belongs to this server."""
        return Connection(
            self._last_services if self._draining else self._services,
            on_open=self._opened,
            on_lost=self._lost,
            call_later=asyncio.get_running_loop().call_later,
        )

    def _opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._came = True

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._left.set()

    @property
    def streams(self) -> int:
        """Streams that are open now."""
        return sum(connection.streams for connection in self._connections)

    def was_asked(self) -> bool:
        """Whether somebody is connected, or has been since the last call: Envoy's probe comes and goes."""
        came, self._came = self._came, False
        return came or bool(self._connections)

    async def drain(self, limit: float) -> None:
        """Lets what is in flight end for up to `limit` seconds, then takes the socket away and breaks off the rest."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._drained(list(self._connections))
                self.stop_listening()
                await self._drained(list(self._connections))
        self.stop_listening()
        for connection in list(self._connections):
            connection.abort()

    async def _drained(self, connections: Collection[Connection]) -> None:
        for connection in connections:
            connection.drain()
        while not self._connections.isdisjoint(connections):
            self._left.clear()
            await self._left.wait()

    def stop_listening(self) -> None:
        """New clients are refused; the path goes away unless a successor holds it."""
        if self._listener is None:
            return
        remove_own(self._path, self._inode)
        self._listener.close()
        self._listener = None


def bind_unix(path: str) -> socket.socket:
    """A listening socket at `path`, which replaces whatever socket was there. Raises OSError."""
    temporary = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(temporary)
        os.chmod(temporary, SOCKET_MODE)
        listening.listen(BACKLOG)
        os.rename(temporary, path)
    except OSError:
        listening.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    listening.setblocking(False)
    return listening


def remove_own(path: str, inode: int) -> None:
    """Removes the socket at `path` if it is the one with `inode`."""
    with contextlib.suppress(OSError):
        if os.stat(path).st_ino == inode:
            os.unlink(path)
