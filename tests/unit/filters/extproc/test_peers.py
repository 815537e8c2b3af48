"""Workers that ask each other."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from filters.extproc import peers
from filters.extproc.peers import Peers, PeerServer


def answer(metadata: Mapping[str, str], message: bytes) -> list[bytes]:
    if message == b"fail":
        raise RuntimeError("told to")
    return [metadata["who"].encode(), message[::-1]]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "peer")


async def test_questions_are_answered_whatever_their_size_and_order(path: str) -> None:
    server = PeerServer(answer)
    await server.listen(path)
    asking = Peers(lambda _: path)
    messages = [bytes([number]) * size for number, size in enumerate((0, 1, 70_000, 5_000_000))]
    replies = await asyncio.gather(*(asking.ask("1", {"who": "me"}, message) for message in messages))
    assert replies == [[b"me", message[::-1]] for message in messages]
    asking.close()
    server.close()
    with pytest.raises(OSError):
        await asyncio.open_unix_connection(path)


async def test_a_question_that_fails_harms_no_other(path: str) -> None:
    server = PeerServer(answer)
    await server.listen(path)
    asking = Peers(lambda _: path)
    with pytest.raises(OSError, match="failed to answer"):
        await asking.ask("0", {"who": "me"}, b"fail")
    assert await asking.ask("0", {"who": "me"}, b"ab") == [b"me", b"ba"]
    asking.close()
    server.close()


async def test_a_worker_that_is_gone_is_an_os_error_and_its_successor_is_found(path: str) -> None:
    asking = Peers(lambda _: path)
    with pytest.raises(OSError):
        await asking.ask("0", {"who": "me"}, b"x")
    for _ in range(2):
        server = PeerServer(answer)
        await server.listen(path)
        assert await asking.ask("0", {"who": "me"}, b"x") == [b"me", b"x"]
        server.close()
        asking.close()


async def test_a_connection_that_breaks_ends_its_questions(path: str) -> None:
    done = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()
        await writer.wait_closed()
        done.set()

    listener = await asyncio.start_unix_server(accept, path)
    asking = Peers(lambda _: path)
    with pytest.raises(ConnectionResetError):
        await asking.ask("0", {"who": "me"}, b"x")
    await done.wait()
    listener.close()


async def test_garbage_ends_the_connection(path: str) -> None:
    server = PeerServer(answer)
    await server.listen(path)
    for garbage in (b"\xff\xff\xff\xff", b"\0\0\0\1x"):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(garbage)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
    server.close()


async def test_a_worker_that_does_not_answer_is_given_up(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "ANSWER_LIMIT", 0.05)

    done = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        done.set()

    listener = await asyncio.start_unix_server(accept, path)
    asking = Peers(lambda _: path)
    with pytest.raises(TimeoutError):
        await asking.ask("0", {"who": "me"}, b"x")
    asking.close()
    await done.wait()
    listener.close()
