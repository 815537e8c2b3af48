"""Files with random damage: every command says something about them, and none fails."""

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import validation
from tests.unit.aigw.commands.world import example, invoke, written

SEEDS = range(16)
IN_PLACE: tuple[Any, ...] = (None, "x", 1, -1, [], {}, [None], True, "(", {"name": "x"}, "InferencePool")
COMMANDS = (
    ("validate",),
    ("validate", "--kubernetes"),
    ("explain",),
    ("explain", "-m", "some-cool-self-hosted-model"),
    ("translate",),
)


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each member, however deep."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        yield (*way, key)
        yield from places(member, (*way, key))


def damaged(seed: int) -> str:
    chance = random.Random(seed)
    basic, *others = (
        path.read_text() for path in (validation.DATA / "examples" / "basic.yaml", *validation.examples())
    )
    text = chance.choice([example(), *(f"{basic}\n---\n{each}" for each in others)])
    documents = [each for each in yaml.safe_load_all(text) if each]
    for _ in range(chance.randint(1, 4)):
        *way, last = chance.choice([*places(documents)])
        holder: Any = documents
        for step in way:
            holder = holder[step]
        if chance.random() < 0.3:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(chance.choice(IN_PLACE))
    return yaml.safe_dump_all(documents)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_damage_makes_a_command_fail(tmp_path: Path, seed: int) -> None:
    file = written(tmp_path, damaged(seed))
    for command, *arguments in COMMANDS:
        for form in ("text" if command != "translate" else "yaml", "json"):
            result = invoke(command, file, *arguments, "--output", form)
            assert result.exit_code in (0, 1, 2), result.exception
            assert isinstance(result.exception, SystemExit | None), result.exception
            assert result.stdout or (result.exit_code == 2 and result.stderr)
