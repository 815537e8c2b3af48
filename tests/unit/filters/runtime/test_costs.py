"""Costs: token counts, CEL, and that a failing expression costs nothing but its own key."""

from collections.abc import Callable
from typing import Any

import celpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.contract.config import Cost
from filters.contract.usage import Usage
from filters.runtime.costs import Costs, CostTable, Facts
from filters.runtime.errors import ConfigError

FACTS = Facts(model="m", backend="ns/b/route/r/rule/0/ref/0", route="ns/r")
USAGE = Usage(input=10, output=5, total=15, cached=4, cache_creation=1, reasoning=2)


def evaluate(*costs: Cost, usage: Usage = USAGE) -> Costs:
    return CostTable(costs, "rule ns/r/rule/0").evaluate(usage, FACTS)


def test_every_kind_of_count_has_a_type_and_an_unknown_count_is_zero() -> None:
    types = ("InputToken", "OutputToken", "TotalToken", "CachedInputToken", "CacheCreationInputToken", "ReasoningToken")
    costs = [Cost(type_, type_) for type_ in types]  # type: ignore[arg-type]
    assert list(evaluate(*costs).values.values()) == [10, 5, 15, 4, 1, 2]
    assert set(evaluate(*costs, usage=Usage()).values.values()) == {0}


def test_the_last_of_several_costs_with_one_key_counts() -> None:
    assert evaluate(Cost("k", "InputToken"), Cost("k", "OutputToken")).values == {"k": 5}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("input_tokens - cached_input_tokens", 6),
        ("output_tokens * 6u", 30),
        ("uint(double(cached_input_tokens) * 0.5)", 2),
        ("input_tokens == uint(3) ? 100000000 : 0", 0),
        ("model == 'm' && backend.startsWith('ns/b/') && route_name == 'ns/r' ? 1 : 2", 1),
        ("cache_creation_input_tokens + reasoning_tokens + total_tokens", 18),
    ],
)
def test_expressions(expression: str, value: int) -> None:
    assert evaluate(Cost("k", "CEL", expression)).values == {"k": value}


@pytest.mark.parametrize("expression", ["output_tokens - input_tokens", "1u / (output_tokens - 5u)"])
def test_an_expression_that_fails_at_run_time_loses_its_key_alone(expression: str) -> None:
    guarded = f"total_tokens == 0u ? 0u : {expression}"
    assert evaluate(Cost("bad", "CEL", guarded), Cost("good", "InputToken")) == Costs({"good": 10}, ("bad",))


@pytest.mark.parametrize("count", [-1, 2**64, 2**200])
def test_a_count_that_is_none_fails_the_expression_alone(count: int) -> None:
    costs = evaluate(
        Cost("bad", "CEL", "input_tokens + 1u"), Cost("k", "OutputToken"), usage=Usage(input=count, output=1)
    )
    assert costs == Costs({"k": 1}, ("bad",))


def test_a_negative_result_is_no_cost() -> None:
    assert evaluate(Cost("k", "CEL", "total_tokens == 0u ? 0 : -1")) == Costs({}, ("k",))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("output_tokens * 6", "does not compile"),
        ("nonsense", "does not compile"),
        ("", "does not compile"),
        ("1u / output_tokens", "fails with all counts zero"),
        ("-1", "negative"),
        ("1.5", "not an integer"),
        ("model", "not an integer"),
    ],
)
def test_an_expression_that_cannot_be_charged_is_refused_when_it_loads(expression: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"rule ns/r/rule/0: cost k: .*{reason}"):
        evaluate(Cost("k", "CEL", expression))


NAMES = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cached_input_tokens",
    "cache_creation_input_tokens",
    "reasoning_tokens",
)
EXPRESSIONS = [
    "input_tokens + output_tokens * 3u",
    "input_tokens - cached_input_tokens",
    "total_tokens / (output_tokens + 1u)",
    "total_tokens % (input_tokens + 7u)",
    "output_tokens > 100u ? output_tokens * 2u : reasoning_tokens",
    "uint(double(input_tokens) * 0.25) + cache_creation_input_tokens",
    "model.contains('gpt') || size(route_name) > 3 ? 1u : 2u",
    "[input_tokens, output_tokens].exists(x, x > 10u) ? 5 : 6",
]


def oracle(expression: str) -> Callable[[dict[str, int]], int | None]:
    """The same expression by another implementation; None where it fails."""
    texts = {"model": celpy.celtypes.StringType, "backend": celpy.celtypes.StringType}
    environment = celpy.Environment(
        annotations={
            **texts,
            "route_name": celpy.celtypes.StringType,
            **dict.fromkeys(NAMES, celpy.celtypes.UintType),
        }
    )
    program = environment.program(environment.compile(expression))

    def run(counts: dict[str, int]) -> int | None:
        activation: dict[str, Any] = {name: celpy.celtypes.UintType(count) for name, count in counts.items()}
        for name, text in (("model", FACTS.model), ("backend", FACTS.backend), ("route_name", FACTS.route)):
            activation[name] = celpy.celtypes.StringType(text)
        try:
            return int(program.evaluate(activation))
        except (celpy.CELEvalError, ValueError):
            return None

    return run


ORACLES = {expression: oracle(expression) for expression in EXPRESSIONS}
TABLES = {expression: CostTable((Cost("k", "CEL", expression),), "rule") for expression in EXPRESSIONS}


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(EXPRESSIONS), st.lists(st.integers(0, 10**6), min_size=6, max_size=6))
def test_two_implementations_of_cel_agree(expression: str, counts: list[int]) -> None:
    named = dict(zip(NAMES, counts, strict=True))
    usage = Usage(
        input=counts[0],
        output=counts[1],
        total=counts[2],
        cached=counts[3],
        cache_creation=counts[4],
        reasoning=counts[5],
    )
    assert TABLES[expression].evaluate(usage, FACTS).values.get("k") == ORACLES[expression](named)
