"""Resources are known again in whatever order and company they come, and go out as they came in."""

import random
from collections.abc import Sequence

import pytest
from google.protobuf import json_format

from extension_server.hooks.holes import Template
from extension_server.hooks.recall import Opened, Run, Table
from extension_server.xds import pool
from tests.support.map_order import turned

Made = Table[bytes, Sequence[bytes]]


def resource(name: str, *, generated: bool, note: str = "n") -> bytes:
    """A serialized route."""
    owner: dict[str, object] = {"kind": "HTTPRoute", "name": f"owner-of-{name}", "namespace": "default"}
    if generated:
        owner["annotations"] = {"ai-gateway-generated": "true", "note": note}
    route = pool.message(pool.ROUTE, name=name)
    json_format.ParseDict({"filter_metadata": {"envoy-gateway": {"resources": [owner]}}}, route.metadata)
    return pool.serialized(route)


def table() -> tuple[Made, list[bytes]]:
    """A table, and what it has made anew."""
    made: list[bytes] = []

    def make(opened: Opened) -> bytes:
        made.append(opened.hollow)
        return opened.hollow

    return Table(make, tuple), made


def answered(runs: Sequence[Run[bytes, Sequence[bytes]]]) -> bytes:
    """What comes out when nothing is patched."""
    filled = [
        Template([(hollow, run.first[place]) for place, hollow in enumerate(run.summary)]).filled(run.metadata)
        for run in runs
    ]
    return b"".join(filled)


@pytest.mark.parametrize("seed", range(30))
def test_any_sequence_comes_out_bit_for_bit_and_only_what_is_new_is_made(seed: int) -> None:
    chance = random.Random(seed)
    known, made = table()
    names = [f"route-{number}" for number in range(chance.choice([3, 40, 300]))]
    was: set[str] = set()
    for _ in range(12):
        change = chance.randrange(6)
        if change == 0:
            names = names[: chance.randrange(len(names) + 1)] + names[chance.randrange(len(names) + 1) :]
        elif change == 1:
            names.insert(chance.randrange(len(names) + 1), f"new-{chance.random()}")
        elif change == 2:
            chance.shuffle(names)
        elif change == 3 and names:
            names[chance.randrange(len(names))] = f"other-{chance.random()}"
        raws = [turned(resource(name, generated=not name.endswith("7")), chance) for name in names]
        made.clear()
        hosts = sorted(chance.randrange(len(raws) + 1) for _ in range(3))
        for begin, end in zip([0, *hosts], [*hosts, len(raws)], strict=True):
            assert answered(known.recall(raws[begin:end])) == b"".join(raws[begin:end])
        known.turn()
        generated = {name for name in names if not name.endswith("7")}
        assert {name for name in generated if name in was}.isdisjoint(
            str(pool.message_class(pool.ROUTE).FromString(hollow).name) for hollow in made
        )
        was = set(names)


def test_what_the_metadata_says_goes_out_as_it_came() -> None:
    known, made = table()
    for note in ("one", "two"):
        raw = resource("r", generated=True, note=note)
        assert answered(known.recall([raw])) == raw
        known.turn()
    assert len(made) == 1


def test_a_resource_that_is_not_generated_any_more_is_another() -> None:
    known, made = table()
    raw = resource("r", generated=True)
    other = raw.replace(b"ai-gateway-generated", b"ai-gateway-Generated")
    for each in (raw, other):
        assert answered(known.recall([each])) == each
        known.turn()
    assert len(made) == 2


def test_one_resource_twice_in_a_translation_keeps_both_of_its_orders() -> None:
    known, made = table()
    chance = random.Random(1)
    for _ in range(5):
        raws = [turned(resource("r", generated=True), chance) for _ in range(2)]
        runs = [run for raw in raws for run in known.recall([raw])]
        assert [answered([run]) for run in runs] == raws
        known.turn()
    assert len(made) == 1


def test_a_run_that_is_what_it_was_keeps_what_was_made_of_it() -> None:
    known, _ = table()
    raws = [resource(f"r{number}", generated=True) for number in range(500)]
    first = known.recall(raws)
    known.turn()
    raws[250] = resource("another", generated=True)
    second = known.recall(raws)
    assert len({*map(id, first)} - {*map(id, second)}) == 1
