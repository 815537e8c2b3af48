"""When a filter tells its controller whether an Envoy asks it."""

import pytest

from filters.contract.push import SILENT_LOOKS, Asked
from filters.push.attention import Attention


def told(looks: str) -> list[tuple[int, int]]:
    """(number of the look, what is told) after looks that find an Envoy (`+`) or none (`-`)."""
    attention, found = Attention(), []
    for number, each in enumerate(looks):
        if attention.look(each == "+"):
            assert attention.said is not None
            found.append((number, attention.said.silent))
            assert attention.silent == attention.said.silent
    return found


SILENCE = "-" * SILENT_LOOKS
N = SILENT_LOOKS


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ("", []),
        ("+++", [(0, 0)]),
        # It starts before Envoy does, and Envoy is started again.
        (SILENCE[1:] + "++", [(N - 1, 0)]),
        ("+" + SILENCE[1:] + "+" + SILENCE[1:] + "+", [(0, 0)]),
        ("+" + SILENCE, [(0, 0), (N, N)]),
        ("+" + SILENCE + "+", [(0, 0), (N, N), (N + 1, 0)]),
        # Never, and still not: the controller looks at the pod again.
        (SILENCE * 3, [(N - 1, N), (2 * N - 1, 2 * N), (3 * N - 1, 3 * N)]),
        (SILENCE + SILENCE[1:] + "+" + SILENCE, [(N - 1, N), (2 * N - 1, 0), (3 * N - 1, N)]),
    ],
)
def test_a_change_is_told_at_once_and_silence_after_some_looks_again_and_again(
    looks: str, expected: list[tuple[int, int]]
) -> None:
    assert told(looks) == expected


def test_who_connects_early_is_told_nothing() -> None:
    attention = Attention()
    attention.look(False)
    assert (attention.said, attention.silent) == (None, 0)
    attention.look(True)
    assert (attention.said, attention.silent) == (Asked(0), 0)
