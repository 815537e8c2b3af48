"""Texts that stand for numbers."""

import pytest

from extension_server.api.base import quantity, seconds


@pytest.mark.parametrize(
    ("text", "number"), [("50Mi", 50 * 2**20), ("1k", 1000), ("7", 7), (7, 7), ("1.5Ki", 1536), ("2Gi", 2**31)]
)
def test_quantities(text: str | int, number: int) -> None:
    assert quantity(text) == number


@pytest.mark.parametrize("text", ["1e3", "5m", "many"])
def test_a_quantity_that_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity such as 50Mi"):
        quantity(text)


@pytest.mark.parametrize(("text", "number"), [("0s", 0), ("1h30m", 5400), ("10ms", 0.01), ("1m1s1ms", 61.001)])
def test_durations(text: str, number: float) -> None:
    assert seconds(text) == pytest.approx(number)
