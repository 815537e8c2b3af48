"""The push on gRPC over TLS: one stream per filter, on which it gets what its Gateway's configuration becomes.

    feed = Feed()                                    # a sink of the controller
    server = PushServer(feed, Identities(api, "envoy-gateway-system"), Presence(reports))
    keeper.subscribe(lambda bundle: server.use(bundle.certificate, bundle.key))
    await server.serve("0.0.0.0:18003")              # listens as soon as there is a certificate

A filter that is slow or silent holds up no other one: each stream waits for its own filter's report before the next
update, and then sends only the newest. Filters follow the replica that leads; from another one they get a first
configuration when they have none, so that pods can start while nobody leads.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import grpc
import grpc.aio

from extension_server.push.feed import Feed
from extension_server.push.identity import Filter, Identities, NotNow, Refused
from extension_server.push.presence import Presence
from filters.contract import push
from filters.contract.push import Asked, BadMessage, Hello, Report, Running, State

_log = logging.getLogger(__name__)

HELLO_LIMIT: Final = 10.0
"""Seconds for the first message. An authenticated filter sends it with the call."""
ANSWER_LIMIT: Final = 120.0
"""Seconds for a filter to say what became of an update; 10,000 routes take less than one."""
REVIEWS_AT_ONCE: Final = 16
"""Callers that the API server is asked about at a time."""
MAX_STREAMS: Final = 10_000
"""Callers at a time, known or not. Whoever is one too many comes again."""
STOP_GRACE: Final = 1.0
HEARS: Final = (push.ACCEPTED, push.HEARS_ASKED)
"""Initial metadata of a stream that is followed up."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", push.MAX_REPORT),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 16),  # per connection; a filter has one
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)
_Context = Any
"""grpc.aio.ServicerContext; grpcio has no types"""


_NOT_LEADING: Final = "another replica of the controller leads; try again"


class AddressInUse(OSError):
    """The address cannot be listened on."""


class PushServer:
    def __init__(self, feed: Feed, identities: Identities, presence: Presence) -> None:
        self._feed = feed
        self._identities = identities
        self.presence = presence
        self._reviews = asyncio.Semaphore(REVIEWS_AT_ONCE)
        self._newer: Any = None
        self._usable = asyncio.Event()
        self._accepts = True
        self._streams: set[asyncio.Task[Any]] = set()
        self.port: int | None = None

    # ---- certificates

    def use(self, certificate: bytes, key: bytes) -> None:
        """PEM of a chain and its key, for connections from now on."""
        self._newer = grpc.ssl_server_certificate_configuration(((key, certificate),))
        self._usable.set()

    def _fetch(self) -> Any:
        """Called by gRPC, in a thread of its own, for each connection. None: as before."""
        newer, self._newer = self._newer, None
        return newer

    # ---- running

    async def serve(self, address: str) -> None:
        """Listens on `host:port` (port 0: a free one) as soon as there is a certificate, until cancelled. Raises
        AddressInUse."""
        await self._usable.wait()
        initial, self._newer = self._newer, None
        credentials = grpc.dynamic_ssl_server_credentials(initial, self._fetch)
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((self._handlers(),))
        try:
            self.port = int(server.add_secure_port(address, credentials))
        except RuntimeError as exc:
            raise AddressInUse(f"cannot listen on {address}: {exc}") from exc
        await server.start()
        _log.info("pushing configuration on port %d", self.port)
        try:
            await server.wait_for_termination()
        finally:
            self._end_streams("the controller is stopping")
            await server.stop(STOP_GRACE)
            self.presence.close()

    def accept(self, accepts: bool) -> None:
        """Whether this replica is the one that filters follow: what they run is known only where they are connected,
        and the one that writes the status has to know it. The others send them on, at once or (`_started`) soon."""
        self._accepts = accepts
        if not accepts:
            self._end_streams(_NOT_LEADING)

    def _end_streams(self, why: str) -> None:
        for task in self._streams:
            task.cancel(why)

    # ---- one stream

    def _handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            push.SERVICE, {push.METHOD: grpc.stream_stream_rpc_method_handler(self._follow)}
        )

    async def _follow(self, _: object, context: _Context) -> None:
        if len(self._streams) >= MAX_STREAMS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many filters at a time; try again")
        # A handler that is cancelled by anybody but its caller sends no status: the caller would wait for ever.
        serve = self._stream if self._accepts else self._started
        stream = asyncio.create_task(serve(context))
        self._streams.add(stream)
        try:
            await asyncio.wait((stream,))
        finally:
            self._streams.discard(stream)
            stream.cancel()
        try:
            stream.result()
        except asyncio.CancelledError as exc:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(exc))

    async def _stream(self, context: _Context) -> None:
        found = await self._identified(context)
        await context.send_initial_metadata(HEARS)
        await self._served(found, context)

    async def _started(self, context: _Context) -> None:
        """What a replica that does not lead does. It says nothing about what then runs: that is for the one that leads,
        to which the filter goes next. Nobody is asked about filters that are only sent on."""
        try:
            async with asyncio.timeout(HELLO_LIMIT):
                hello = await _report(context)
            match hello:
                case Hello(contract=push.CONTRACT, state=push.NOTHING):
                    found = await self._identified(context)
                    if self._feed.newest(found.gateway) is not None and await self._first(found, context):
                        return
        except (TimeoutError, _Silent, BadMessage) as exc:
            _log.debug("%s is sent on: %s", context.peer(), exc)
        await context.abort(grpc.StatusCode.UNAVAILABLE, _NOT_LEADING)

    async def _first(self, found: Filter, context: _Context) -> bool:
        """Whether it runs now. Raises _Silent, BadMessage."""
        await context.send_initial_metadata((push.ACCEPTED,))
        report = await _sent(context, self._feed.update(found.gateway, push.NOTHING), lambda: _report(context))
        if not isinstance(report, Running):
            return False
        _log.info("%s has a first configuration, for %s", found.pod, found.gateway)
        return True

    async def _identified(self, context: _Context) -> Filter:
        token = ""
        for name, value in context.invocation_metadata() or ():
            if name == "authorization" and isinstance(value, str):
                token = value.removeprefix("Bearer ").strip()
        try:
            async with self._reviews:
                return await self._identities.of(token)
        except Refused as exc:
            _log.warning("%s is refused a configuration: %s", context.peer(), exc)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(exc))
        except NotNow as exc:
            _log.warning("%s is sent away for now: %s", context.peer(), exc)
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(exc))
        raise AssertionError  # abort raises

    async def _served(self, found: Filter, context: _Context) -> None:
        stream = object()
        try:
            async with asyncio.timeout(HELLO_LIMIT):
                hello = await _report(context)
            if not isinstance(hello, Hello):
                raise BadMessage("the first message is not Hello")
            self.presence.came(found, stream)
            _log.info("%s follows, for %s", found.pod, found.gateway)
            answers: asyncio.Queue[Report] = asyncio.Queue(1)
            # A renewed token comes with a new connection, and the pod is looked at again.
            async with asyncio.timeout(found.valid_for):
                await _first_end(self._heard(found, context, answers), self._pushed(found, hello, context, answers))
        except _Silent:
            _log.warning("%s has not taken its configuration for %.0f s", found.pod, ANSWER_LIMIT)
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the configuration was not taken in time")
        except TimeoutError:
            _log.debug("%s has to come again: its token has ended, or it said nothing", found.pod)
        except BadMessage as exc:
            _log.warning("%s does not speak our protocol: %s", found.pod, exc)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(exc))
        finally:
            self.presence.left(found, stream)

    async def _heard(self, found: Filter, context: _Context, answers: asyncio.Queue[Report]) -> None:
        """All that the filter says after its Hello, until it ends the stream. Raises BadMessage."""
        while (message := await context.read()) is not grpc.aio.EOF:
            match push.decode_report(message):
                case Asked(silent=0):
                    self.presence.asked(found)
                case Asked(silent=looks):
                    await self._silent(found, looks)
                case Hello():
                    raise BadMessage("a second Hello")
                case report:
                    await answers.put(report)

    async def _silent(self, found: Filter, looks: int) -> None:
        """No Envoy asks the filter, so many looks in a row found. That matters where requests come: not in a pod that
        starts, ends, or is broken."""
        with contextlib.suppress(NotNow):  # it is said again
            async with self._reviews:
                serves = await self._identities.serves(found)
            if serves:
                self.presence.unasked(found, long=looks > push.SILENT_LOOKS)
            else:
                self.presence.asked(found)

    async def _pushed(self, found: Filter, hello: Hello, context: _Context, answers: asyncio.Queue[Report]) -> None:
        running = hello.state
        if hello.silent:
            await self._silent(found, hello.silent)
        self.presence.runs(found, running)
        if hello.contract != push.CONTRACT:
            release = _line(hello.release, 64) or "unknown"
            sentence = (
                f"the filter of {found.pod} is of release {release}, which does not understand this controller's "
                "configuration; it keeps its last one until its pod is restarted"
            )
            _log.warning("%s", sentence)
            self.presence.trouble(found, sentence)
            await asyncio.Event().wait()
        refused: State | None = None
        while True:
            changed = self._feed.changed
            newest = self._feed.newest(found.gateway)
            if newest == running and refused is not None:
                # What was refused is not wanted any more.
                refused = None
                self.presence.runs(found, running)
            if newest is None or newest in (running, refused):
                await changed.wait()
                continue
            match await _sent(context, self._feed.update(found.gateway, running), answers.get):
                case Running(state=running):
                    refused = None
                    self.presence.runs(found, running)
                case push.Refused(state=refused, reason=reason):
                    text = _line(reason, push.MAX_REASON)
                    _log.error("%s refused configuration %s: %s", found.pod, refused.config_hash, text)
                    self.presence.trouble(found, f"the filter of {found.pod} keeps its last configuration: {text}")


def _line(text: str, limit: int) -> str:
    """What a filter says, fit for logs and conditions."""
    return " ".join(text.split())[:limit]


class _Silent(Exception):
    """The filter does not read, or does not answer."""


async def _sent(context: _Context, update: bytes, answer: Callable[[], Awaitable[Report]]) -> Report:
    """What the filter says about it. Raises _Silent, and what `answer` raises."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT):
            for piece in push.pieces(update):
                await context.write(piece)
            return await answer()
    except TimeoutError as exc:
        raise _Silent from exc


async def _first_end(*works: Coroutine[Any, Any, None]) -> None:
    """Until one of them ends; then the others do, too. Raises what it raises."""
    tasks = [asyncio.create_task(each) for each in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _report(context: _Context) -> Report:
    """Raises BadMessage; asyncio.CancelledError when the filter is gone."""
    message = await context.read()
    if message is grpc.aio.EOF:
        raise BadMessage("the stream ended without a report")
    return push.decode_report(message)
