"""LLM request costs: numbers for dynamic metadata, computed from token counts (observability chapter §12).

Expressions are CEL, checked and tried once when the configuration loads. One that fails at run time costs its own key
and nothing else: the answer it belongs to is never touched.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Final

import msgspec

from filters.contract.config import Cost
from filters.contract.usage import Usage
from filters.runtime.errors import ConfigError

_COUNTS: Final[Mapping[str, Callable[[Usage], int | None]]] = {
    "InputToken": attrgetter("input"),
    "OutputToken": attrgetter("output"),
    "TotalToken": attrgetter("total"),
    "CachedInputToken": attrgetter("cached"),
    "CacheCreationInputToken": attrgetter("cache_creation"),
    "ReasoningToken": attrgetter("reasoning"),
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an expression may read besides the counts."""

    model: str
    backend: str
    route: str


class Costs(msgspec.Struct, frozen=True):
    """What one evaluation gives: the numbers by metadata key, and the keys whose expression failed."""

    values: Mapping[str, int]
    failed: tuple[str, ...] = ()


NO_COSTS: Final = Costs({})


class ExpressionFailed(Exception):
    """A CEL expression gave no number that can be charged."""


class CostTable:
    """The costs of one rule. A later entry of the same key wins."""

    __slots__ = ("_entries",)

    def __init__(self, costs: Iterable[Cost], where: str) -> None:
        entries: dict[str, Callable[[Usage, Facts], int]] = {}
        for cost in costs:
            entries[cost.metadata_key] = _entry(cost, f"{where}: cost {cost.metadata_key}")
        self._entries = tuple(entries.items())

    def evaluate(self, usage: Usage, facts: Facts) -> Costs:
        if not self._entries:
            return NO_COSTS
        values: dict[str, int] = {}
        failed: list[str] = []
        for key, entry in self._entries:
            try:
                values[key] = entry(usage, facts)
            except ExpressionFailed:
                failed.append(key)
        return Costs(values, tuple(failed))


def _entry(cost: Cost, where: str) -> Callable[[Usage, Facts], int]:
    if cost.type == "CEL":
        return _expression(cost.cel, where)
    count = _COUNTS[cost.type]
    return lambda usage, facts: count(usage) or 0


_TRIAL: Final = Usage(input=0, output=0, total=0, cached=0, cache_creation=0, reasoning=0)
_TRIAL_FACTS: Final = Facts(model="dummy", backend="dummy", route="dummy")
_TEXTS: Final = ("model", "backend", "route_name")


def _variables(usage: Usage, facts: Facts) -> dict[str, str | int]:
    return {
        "model": facts.model,
        "backend": facts.backend,
        "route_name": facts.route,
        "input_tokens": usage.input or 0,
        "output_tokens": usage.output or 0,
        "total_tokens": usage.total or 0,
        "cached_input_tokens": usage.cached or 0,
        "cache_creation_input_tokens": usage.cache_creation or 0,
        "reasoning_tokens": usage.reasoning or 0,
    }


def _expression(text: str, where: str) -> Callable[[Usage, Facts], int]:
    # Here and not above: the library takes 4 MiB, and many configurations have no expression.
    from cel_expr_python import cel

    types = cel.Type
    names = _variables(_TRIAL, _TRIAL_FACTS)
    environment = cel.NewEnv(variables={name: types.STRING if name in _TEXTS else types.UINT for name in names})
    try:
        compiled = environment.compile(text)
    except RuntimeError as exc:
        raise ConfigError(f"{where}: the CEL expression does not compile: {_first_line(exc)}") from exc
    charged = (types.UINT, types.INT)

    def evaluate(usage: Usage, facts: Facts) -> int:
        try:
            result = compiled.eval(data=_variables(usage, facts))
            kind, value = result.type(), result.value()
        except (RuntimeError, OverflowError) as exc:
            raise ExpressionFailed("the expression failed") from exc
        if kind == types.ERROR:
            raise ExpressionFailed(str(value))
        if kind not in charged or not isinstance(value, int):
            raise ExpressionFailed(f"the result is not an integer, but {kind.name()}")
        if value < 0:
            raise ExpressionFailed(f"the result is negative ({value})")
        return value

    try:
        evaluate(_TRIAL, _TRIAL_FACTS)
    except ExpressionFailed as exc:
        raise ConfigError(f"{where}: the CEL expression fails with all counts zero: {exc}") from exc
    return evaluate


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0]
