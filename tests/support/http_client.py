"""A small HTTP/1.1 client on asyncio and h11: one connection, one request after the other."""

import asyncio
import contextlib
from dataclasses import dataclass, field

import h11

READ = 1024 * 1024


@dataclass
class Reply:
    """What came back. `complete` is False when the connection broke before the end of the body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False


class HttpClient:
    """Connects when it must; a broken connection is forgotten."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._http: h11.Connection | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def post(self, body: bytes, headers: dict[str, str] | None = None, *, path: str = "/") -> Reply:
        """Raises OSError when there is no answer at all."""
        if self._http is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=READ)
            self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=READ)
        http = self._http
        fields = {"host": "localhost", "content-length": str(len(body)), **(headers or {})}
        data = http.send(h11.Request(method="POST", target=path, headers=list(fields.items()))) or b""
        data += http.send(h11.Data(data=body)) or b""
        data += http.send(h11.EndOfMessage()) or b""
        try:
            self._writer.write(data)
            return await self._read(http)
        except BaseException:
            self.close()
            raise

    async def _read(self, http: h11.Connection) -> Reply:
        reply: Reply | None = None
        pieces: list[bytes] = []
        while True:
            try:
                event = http.next_event()
            except h11.RemoteProtocolError:
                event = h11.ConnectionClosed()
            if event is h11.NEED_DATA:
                http.receive_data(await self._reader.read(READ))
            elif isinstance(event, h11.Response):
                pairs = {name.decode(): value.decode("latin-1") for name, value in event.headers}
                reply = Reply(event.status_code, pairs)
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                if reply is None:
                    raise ConnectionResetError("no answer")
                reply.body = b"".join(pieces)
                reply.complete = isinstance(event, h11.EndOfMessage)
                if http.our_state is h11.DONE and http.their_state is h11.DONE:
                    http.start_next_cycle()
                else:
                    self.close()
                return reply

    def close(self) -> None:
        if self._http is not None:
            self._http = None
            with contextlib.suppress(OSError):
                self._writer.close()


async def post(port: int, body: bytes, headers: dict[str, str] | None = None) -> Reply:
    """One request on a connection of its own."""
    client = HttpClient(port)
    try:
        return await client.post(body, headers)
    finally:
        client.close()
