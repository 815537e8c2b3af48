"""Follows a controller: takes the configurations that it pushes, keeps the last good one, says what runs.

Runs beside the requests, on their event loop; what takes long is done in threads. Nothing that goes wrong here takes
away a configuration that runs. Imported only by processes that follow: gRPC takes 17 MB.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import grpc
import grpc.aio

from filters.contract import push
from filters.contract.push import BadMessage, Hello, Refused, Running, State
from filters.contract.sections import Sections
from filters.push.attention import Attention
from filters.push.state import StateFolder

logger = logging.getLogger(__name__)

FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = push.RECONNECT
"""Seconds between attempts to connect; each is drawn between half of it and the whole."""
STABLE_AFTER: Final = 10.0
"""Seconds that a stream has to live for the next wait to be short again."""
SAVE_PERIOD: Final = 1.0
"""Seconds between two writes of the last good configuration, 3 MB for 10,000 routes."""
_MAX_UPDATE: Final = 1024 * 1024 * 1024
"""Bytes of one update. A server that sends more is none of ours."""
_CHANNEL_OPTIONS: Final = (
    # A controller that is gone without a word is noticed within 30 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)
_PATH: Final = f"/{push.SERVICE}/{push.METHOD}"
_Call = Any
"""grpc.aio.StreamStreamCall; grpcio has no types"""


class Target(Protocol):
    """What serves requests."""

    needs_file: bool
    """`take` is to get a file, too"""

    async def take(self, whole: Sections, file: Path | None) -> None:
        """Serves with it from now on. Raises ValueError with a sentence, and everything stays as it was."""
        ...

    def was_asked(self) -> bool | None:
        """Whether an Envoy was connected since the last call; None: it does not know."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    server: str
    """`host:port`"""
    authorities: Path
    """PEM of who may have signed the server's certificate; read again for each connection"""
    token: Path
    """what this process proves itself with; read again for each connection"""
    state: Path | None = None
    """folder of the last good configuration; None: it is not kept"""
    release: str = ""


class _NoConnection(Exception):
    """The controller cannot be followed now; the text says why."""


class Follower:
    def __init__(
        self,
        settings: Settings,
        target: Target,
        *,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        look: float = push.LOOK,
    ) -> None:
        """`wait` is how it waits between two attempts, `look` seconds between two looks for an Envoy, for tests."""
        self._settings = settings
        self._target = target
        self._wait = wait
        self._look = look
        self._attention = Attention()
        self._to_tell = asyncio.Event()
        self._folder = StateFolder(settings.state) if settings.state is not None else None
        self._sections: Sections | None = None
        self._restored: Path | None = None
        self._mistrust = False
        """what is here does not fit to what came: ask for all of it"""
        self._unsaved = asyncio.Event()
        self._said = ""

    async def restore(self) -> None:
        """Serves with the last good configuration, if there is one."""
        if self._folder is None:
            return
        found = await asyncio.to_thread(self._folder.read)
        if found is None:
            return
        file, whole = found
        try:
            await self._target.take(whole, file)
        except ValueError as exc:
            logger.warning("last good configuration %s ignored: %s", file, exc)
            await asyncio.to_thread(self._folder.discard, file)
            return
        self._sections, self._restored = whole, file
        logger.info("serving with the last good configuration %s until the controller answers", whole.config_hash)

    def distrust(self) -> None:
        """Nothing can be served with what `restore` gave: the next process is to start without it."""
        if self._restored is not None and self._folder is not None:
            self._folder.discard(self._restored)

    async def run(self) -> None:
        """Until cancelled."""
        beside = [asyncio.create_task(each) for each in (self._save(), self._look_for_envoy())]
        try:
            await self._keep_following()
        finally:
            for each in beside:
                each.cancel()
            await asyncio.wait(beside)
            if self._unsaved.is_set():
                await self._write()

    async def _look_for_envoy(self) -> None:
        while (asked := self._target.was_asked()) is not None:
            if self._attention.look(asked):
                self._to_tell.set()
            await asyncio.sleep(self._look)

    async def _keep_following(self) -> None:
        failures = 0
        while True:
            begun = time.monotonic()
            try:
                await self._follow()
                reason = ""
            except _NoConnection as exc:
                reason = str(exc)
            except OSError as exc:
                reason = f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc)
            except Exception as exc:
                # Nobody thought of it; the next connection starts from what runs.
                logger.exception("a connection to the controller failed")
                reason = f"internal error ({type(exc).__name__})"
            if not reason or time.monotonic() - begun > STABLE_AFTER:
                failures = 0
            if reason:
                self._say(reason)
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0**failures)
            failures += 1
            await self._wait(random.uniform(longest / 2, longest))  # noqa: S311  spreads many filters, no secret

    def _say(self, reason: str) -> None:
        """Once, until something else is the matter."""
        if reason == self._said:
            return
        self._said = reason
        runs = f"configuration {self._sections.config_hash} runs on" if self._sections else "there is no configuration"
        logger.warning("no configuration from the controller at %s: %s; %s", self._settings.server, reason, runs)

    async def _follow(self) -> None:
        """One connection. Returns when the controller ends it in order. Raises _NoConnection, OSError."""
        settings = self._settings
        authorities = settings.authorities.read_bytes()
        if not authorities.strip():
            raise _NoConnection(f"{settings.authorities} is empty: the pod has not got the annotation with the CA yet")
        token = settings.token.read_text().strip()
        credentials = grpc.ssl_channel_credentials(root_certificates=authorities)
        async with grpc.aio.secure_channel(settings.server, credentials, options=_CHANNEL_OPTIONS) as channel:
            call = channel.stream_stream(_PATH)(metadata=(("authorization", f"Bearer {token}"),))
            try:
                with contextlib.suppress(asyncio.InvalidStateError):  # written after the end; the code says why
                    await self._converse(call)
                code = await call.code()
                if code != grpc.StatusCode.OK:
                    raise _NoConnection(_said(code, await call.details()))
            except grpc.aio.AioRpcError as exc:
                raise _NoConnection(_said(exc.code(), exc.details())) from exc
            finally:
                call.cancel()

    async def _converse(self, call: _Call) -> None:
        state = push.NOTHING if self._mistrust else push.state_of(self._sections)
        hello = Hello(push.CONTRACT, self._settings.release, state, self._attention.silent)
        await call.write(push.encode(hello))
        answered = tuple(await call.initial_metadata() or ())
        if push.ACCEPTED not in answered:
            return  # the status says why
        logger.info("following the controller at %s", self._settings.server)
        self._said = ""
        sending = asyncio.Lock()
        telling = asyncio.create_task(self._tell(call, sending)) if push.HEARS_ASKED in answered else None
        try:
            await self._take_updates(call, sending)
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.wait((telling,))

    async def _tell(self, call: _Call, sending: asyncio.Lock) -> None:
        """Whether an Envoy asks, when that changes; Hello has said how it is. A call that has ended is
        `_take_updates`'s."""
        with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            while True:
                await self._to_tell.wait()
                self._to_tell.clear()
                assert self._attention.said is not None
                async with sending:
                    await call.write(push.encode(self._attention.said))

    async def _take_updates(self, call: _Call, sending: asyncio.Lock) -> None:
        pieces: list[bytes] = []
        size = 0
        while (message := await call.read()) is not grpc.aio.EOF:
            piece, last = push.piece(message)
            size += len(piece)
            if size > _MAX_UPDATE:
                raise _NoConnection(f"an update of more than {_MAX_UPDATE} bytes")
            pieces.append(piece)
            if last:
                report = push.encode(await self._take(b"".join(pieces)))
                async with sending:
                    await call.write(report)
                pieces, size = [], 0

    async def _take(self, update: bytes) -> Running | Refused:
        """Raises _NoConnection when it is nothing that could be taken."""
        try:
            state, whole = await asyncio.to_thread(self._applied, update)
        except BadMessage as exc:
            self._mistrust = True
            raise _NoConnection(str(exc)) from exc
        reason = await self._served(whole)
        if reason:
            return Refused(state, reason[: push.MAX_REASON])
        self._sections = whole
        self._mistrust = False
        if not self._target.needs_file and self._folder is not None:
            self._unsaved.set()
        return Running(state)

    async def _served(self, whole: Sections) -> str:
        """Why it cannot be; empty when it is."""
        file = None
        try:
            if self._target.needs_file:
                assert self._folder is not None
                file = await asyncio.to_thread(self._folder.write, whole)
            await self._target.take(whole, file)
        except (ValueError, OSError) as exc:
            reason = str(exc)
            logger.error("configuration %s refused: %s", whole.config_hash, reason)  # noqa: TRY400  no trace
        except Exception as exc:
            reason = f"internal error ({type(exc).__name__}); the log of the filter has more"
            logger.exception("configuration %s cannot be served", whole.config_hash)
        else:
            return ""
        if file is not None and self._folder is not None:
            await asyncio.to_thread(self._folder.discard, file)
        return reason

    def _applied(self, update: bytes) -> tuple[State, Sections]:
        change = push.decode_update(update)
        return change.state, push.apply(change, self._sections)

    async def _save(self) -> None:
        """Keeps the file as new as what runs, but does not write all the time while much changes."""
        if self._folder is None:
            return
        while True:
            await self._unsaved.wait()
            await self._write()
            await asyncio.sleep(SAVE_PERIOD)

    async def _write(self) -> None:
        self._unsaved.clear()
        assert self._folder is not None
        assert self._sections is not None
        writing = asyncio.ensure_future(asyncio.to_thread(self._folder.write, self._sections))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait((writing,))  # a thread cannot be called off
            raise
        except OSError as exc:
            logger.warning("the last good configuration cannot be kept: %s: %s", exc.filename, exc.strerror)


def _said(code: Any, details: str | None) -> str:
    """gRPC's words, in one line of reasonable length."""
    text = " ".join((details or "no reason given").split())
    return f"{code.name.lower().replace('_', ' ')}: {text[:300]}"
