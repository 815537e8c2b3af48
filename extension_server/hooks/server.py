"""The hooks on gRPC: TCP, all six methods, health. Runs on the caller's event loop; answers need no I/O.

    server = HookServer(HookService(results))
    port = await server.start("0.0.0.0:1063")     # before anything else of the process
    ...
    await server.stop()

Envoy Gateway waits for this server without a deadline, and publishes nothing for any Gateway while it is away or
thinks. So everything is answered, and soon. What cannot be answered yet (docs/adr/0013) is held back for as long as a
start takes, HOLD seconds once per process, and then turned away: only the Gateway concerned keeps what it has.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio

from extension_server.hooks.messages import METHODS, SERVICE, Method
from extension_server.hooks.service import Cold, HookService

MAX_MESSAGE: Final = 256 * 1024 * 1024
"""Bytes. Envoy Gateway sends all xDS of a Gateway at once, 1.5 KB per route; its own limit is `maxMessageSize`."""
HOLD: Final = 10.0
"""Seconds from the start in which calls wait for the process to know everything. Longer waits would keep changes of
other Gateways from being published, new addresses of their backends among them."""
STOP_GRACE: Final = 5.0
"""Seconds for calls in flight at the end."""
HEALTH_NAME: Final = "envoy-gateway-extension-server"
"""What the health service lists."""

_HEALTH: Final = "grpc.health.v1.Health"
_KNOWN: Final = frozenset({"", SERVICE, HEALTH_NAME, _HEALTH})
_SERVING: Final = b"\x08\x01"
_NOT_SERVING: Final = b"\x08\x02"
_SERVICE_UNKNOWN: Final = b"\x08\x03"
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", -1),
    # Two servers on one port would share the calls silently.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)

Context = Any
"""grpc.aio.ServicerContext; grpcio has no types"""
Handler = Callable[[bytes, Context], Awaitable[bytes]]


Measure = Callable[[str, str, float, int, int], None]
"""(hook, result, seconds, bytes received, bytes sent)"""


class AddressInUse(OSError):
    """The address cannot be listened on."""


class HookServer:
    """Serves one HookService."""

    def __init__(self, service: HookService, measure: Measure | None = None, *, hold: float = HOLD) -> None:
        self._service = service
        self._measure = measure or _unmeasured
        self._hold = hold
        self._hold_until = 0.0
        self._warm = asyncio.Event()
        self._stopping = asyncio.Event()
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self._hooks(), self._health()))

    async def start(self, address: str) -> int:
        """Listens on `host:port` (port 0: a free one) and returns the port. Raises AddressInUse."""
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise AddressInUse(f"cannot listen on {address}: {error}") from error
        self._service.prepare()
        await self._server.start()
        self._hold_until = asyncio.get_running_loop().time() + self._hold
        return int(port)

    def warmed(self) -> None:
        """Calls that wait are answered."""
        self._warm.set()

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """Says NOT_SERVING, takes no new calls, waits `grace` seconds for those in flight."""
        self._stopping.set()
        await self._server.stop(grace)

    def _hooks(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE, {method: grpc.unary_unary_rpc_method_handler(self._handler(method)) for method in METHODS}
        )

    def _handler(self, method: Method) -> Handler:
        async def handle(request: bytes, context: Context) -> bytes:
            begun = time.perf_counter()
            answer = self._service.answer(method, request)
            cold = isinstance(answer, Cold)
            if cold:
                await self._until_warm()
                begun = time.perf_counter()
                answer = self._service.answer(method, request)
                cold = isinstance(answer, Cold)
            if isinstance(answer, Cold):
                self._service.turned_away(answer)
                answer = answer.otherwise
            sent = len(answer) if isinstance(answer, bytes) else 0
            result = "cold" if cold else "answered" if isinstance(answer, bytes) else "refused"
            self._measure(method, result, time.perf_counter() - begun, len(request), sent)
            if isinstance(answer, bytes):
                return answer
            # UNAVAILABLE is what Envoy Gateway tries again, four times within two seconds.
            code = grpc.StatusCode.UNAVAILABLE if cold else grpc.StatusCode.INTERNAL
            await context.abort(code, answer.reason)
            raise AssertionError  # abort raises

        return handle

    async def _until_warm(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._hold_until):
                await self._warm.wait()

    def _health(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            _HEALTH,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check),
                "List": grpc.unary_unary_rpc_method_handler(self._list),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            },
        )

    async def _check(self, request: bytes, context: Context) -> bytes:
        if _service_name(request) not in _KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._status()

    async def _list(self, request: bytes, context: Context) -> bytes:
        # map<string, HealthCheckResponse> statuses = 1
        entry = _field(1, HEALTH_NAME.encode()) + _field(2, self._status())
        return _field(1, entry)

    async def _watch(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        yield self._status() if _service_name(request) in _KNOWN else _SERVICE_UNKNOWN
        await self._stopping.wait()
        yield _NOT_SERVING

    def _status(self) -> bytes:
        return _NOT_SERVING if self._stopping.is_set() else _SERVING


def _unmeasured(hook: str, result: str, seconds: float, received: int, sent: int) -> None:
    """Nobody counts."""


def _service_name(request: bytes) -> str:
    """HealthCheckRequest.service, its only field; empty asks for the server as a whole."""
    if request[:1] != b"\x0a" or len(request) < 2:
        return ""
    return request[2 : 2 + request[1]].decode(errors="replace")


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field of fewer than 128 bytes."""
    return bytes(((number << 3) | 2, len(value))) + value
