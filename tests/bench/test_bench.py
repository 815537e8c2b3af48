"""Does the bench measure what it says it measures? No numbers are judged here."""

import asyncio
import io
import itertools
import os
import zlib

import msgspec
import pytest
from rich.console import Console

from tests.bench import __main__ as bench
from tests.bench import answers, client, measure, scenarios, stack, targets
from tests.bench.measure import Result, Window
from tests.bench.processes import Processes, descendants
from tests.bench.scenarios import Scenario


def result(group: str, kind: str, cpu: float, **members: object) -> Result:
    defaults: dict[str, object] = {
        "name": f"{group}/{kind}/6KB/32c",
        "group": group,
        "kind": kind,
        "kilobytes": 6,
        "connections": 32,
        "chunks": 0,
        "gzip": False,
        "routes": 1,
        "rate": 0,
        "rounds": 1,
        "per_second": 1.0,
        "p50_ms": 1.0,
        "p99_ms": 1.0,
        "envoy_us": 0.0,
        "filter_us": cpu,
        "envoy_rss_mib": 1.0,
        "filter_rss_mib": 1.0,
        "others": 0.0,
    }
    return msgspec.convert(defaults | members, Result)


def window(envoy: float, filter_: float) -> Window:
    return Window(
        requests=1, per_second=1, p50=1, p99=1, envoy=envoy, filter=filter_, envoy_rss=0, filter_rss=0, others=0
    )


def test_rows_have_names_of_their_own_and_a_bare_row_to_compare_with() -> None:
    for rows in (scenarios.full(), scenarios.quick()):
        names = [row.name for row in rows]
        assert len(set(names)) == len(names)
        bare = {name.replace(f"/{row.kind}/", "/bare/") for name, row in zip(names, rows, strict=True)}
        assert bare <= set(names)


@pytest.mark.parametrize("kilobytes", [1, 6, 64, 600, 6000])
def test_a_body_has_its_size_and_is_a_chat(kilobytes: int) -> None:
    body = Scenario(group="unary", kind="pass", kilobytes=kilobytes, connections=1).body()
    assert len(body) == pytest.approx(kilobytes * 1000, rel=0.06)
    roles = [message["role"] for message in msgspec.json.decode(body)["messages"]]
    assert roles[0] == "system"
    assert roles[1] == roles[-1] == "user"
    assert all(one != other for one, other in itertools.pairwise(roles))


@pytest.mark.parametrize("key", ["openai-50", "anthropic-500", "bedrock-50"])
def test_a_stream_has_its_number_of_chunks(key: str) -> None:
    assert len(answers.answer(key).pieces) == int(key.partition("-")[2])


def test_a_compressed_stream_is_flushed_after_every_chunk() -> None:
    plain, packed = answers.answer("openai-50"), answers.answer("openai-50-gzip")
    inflater = zlib.decompressobj(31)
    assert [inflater.decompress(piece) for piece in packed.pieces] == list(plain.pieces)


def test_ratios_are_taken_round_by_round() -> None:
    row = Scenario(group="stream", kind="pass", kilobytes=1, connections=1, chunks=10)
    found = measure.summarize(
        row, [window(3, 1), window(10, 10), window(5, 5)], [window(2, 0), window(5, 0), window(1, 0)]
    )
    assert (found.envoy_us, found.filter_us, found.ratio, found.chunk_us) == (5, 5, 4, 0.9)


def test_promises_are_checked() -> None:
    found = {
        each.name: each
        for each in (
            result("unary", "pass", 80, ratio=4.0),
            result("bytes", "pass", 100, kilobytes=600, name="b1"),
            result("bytes", "pass", 3000, kilobytes=6000, name="b2"),
            result("stream", "pass", 1, chunks=500, chunk_us=29.0, name="s"),
            result("routes", "pass", 100, name="r1"),
            result("routes", "pass", 200, routes=2000, name="r2"),
        )
    }
    kept = {check.what: check.kept for check in targets.checks(found, 61)}
    assert kept == {
        "pass-through, 6 KB, 32 connections, closed loop: CPU, × bare Envoy": False,
        "pass-through, 6 KB, 32 connections, closed loop: filter, µs per request": True,
        "pass-through, 500 chunks: µs per chunk over bare Envoy": True,
        "filter RSS idle, MiB": False,
        "pass-through: CPU per byte at 6000 KB, × that at 600 KB": False,
        "pass-through: CPU with 2000 rules, × that with 1": False,
    }


def test_a_process_is_found_and_accounted_for() -> None:
    with stack.upstreams(["openai"]) as ports:
        assert set(ports) == {"openai"}
        children = Processes(tuple(descendants(os.getpid())))
        assert children.cpu_seconds() > 0
        assert children.rss_bytes() > 2**20


async def test_an_unexpected_answer_ends_the_measurement() -> None:
    with stack.upstreams(["unavailable"]) as ports:
        generator = client.Generator(client.Target(port=ports["unavailable"], request=client.request("/", (), b"")), 1)
        await generator.open()
        with pytest.raises(client.UnexpectedAnswer, match="503"):
            await generator.run(5, 1)
        await generator.close()


async def test_requests_come_at_the_pace_that_was_asked_for() -> None:
    with stack.upstreams(["openai"]) as ports:
        target = client.Target(port=ports["openai"], request=client.request("/", (), b"x" * 10))
        paced, free = client.Generator(target, 2, rate=100), client.Generator(target, 2)
        for generator in (paced, free):
            await generator.open()
        await asyncio.gather(paced.run(0.2, 1), free.run(0.2, 1))
        assert 0 < len(paced.load.seconds) < 40 < len(free.load.seconds)
        for generator in (paced, free):
            await generator.close()


@pytest.mark.envoy
async def test_every_kind_of_row_can_be_measured() -> None:
    rows = [
        *(Scenario(group="unary", kind=kind, kilobytes=1, connections=2) for kind in scenarios.KINDS),
        Scenario(group="paced", kind="pass", kilobytes=6, connections=2, rate=100),
        Scenario(group="paced", kind="bare", kilobytes=6, connections=2, rate=100),
        *(
            Scenario(group="stream", kind=kind, kilobytes=1, connections=1, chunks=50, gzip=kind != "bedrock")
            for kind in ("bare", "anthropic", "bedrock")
        ),
    ]
    routes = [Scenario(group="routes", kind="pass", kilobytes=1, connections=2, routes=count) for count in (1, 40)]
    document = await bench.run(rows, routes, 1, 0.05, Console(file=io.StringIO()))
    assert [found.name for found in document.results] == [row.name for row in (*rows, *routes)]
    assert all(found.envoy_us > 0 for found in document.results)
    assert all((found.filter_us > 0) == (found.kind != "bare") for found in document.results)
    assert document.start_seconds > 0
    assert min(document.idle_rss_mib.values()) > 1
    shown = io.StringIO()
    bench.show(document, Console(file=shown, width=150))
    assert "bare Envoy" in shown.getvalue()
    assert msgspec.json.decode(msgspec.json.encode(document), type=bench.Document) == document
