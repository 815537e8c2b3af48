"""Checks of the small languages inside resources: CEL of costs, RE2 of header matches. One environment each, static."""

from functools import cache
from typing import Final

from cel_expr_python import cel

_COUNTS: Final = (
    "input_tokens",
    "cached_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "total_tokens",
    "reasoning_tokens",
)
_NAMES: Final = ("model", "backend", "route_name")
_UNSIGNED: Final = " (counts of tokens are unsigned: write 2u, not 2)"
_TRIAL: Final = dict.fromkeys(_COUNTS, 0) | dict.fromkeys(_NAMES, "dummy")
"""what the trial run sees; so an expression that divides by a count is refused here, not at the end of a request"""


@cache
def _costs() -> cel.Env:
    types = dict.fromkeys(_COUNTS, cel.Type.UINT) | dict.fromkeys(_NAMES, cel.Type.STRING)
    return cel.NewEnv(variables=types)


@cache
def _regex() -> cel.Expression:
    return cel.NewEnv(variables={"pattern": cel.Type.STRING}).compile("''.matches(pattern)")


def cost_problem(expression: str) -> str | None:
    """Why `expression` cannot be a cost (observability chapter §12.2); None when it can."""
    try:
        program = _costs().compile(expression)
    except RuntimeError as exc:
        return f"cannot compile CEL expression: {_first_line(exc)}{_UNSIGNED if 'uint' in str(exc) else ''}"
    type_ = program.return_type()
    if type_ not in (cel.Type.UINT, cel.Type.INT, cel.Type.DYN):
        return f"CEL expression result is not an integer, got {type_.name().lower()}"
    result = program.eval(data=_TRIAL)
    if result.type() not in (cel.Type.UINT, cel.Type.INT):
        return f"failed to evaluate CEL expression with all counts 0: {_first_line(result.value())}"
    if result.value() < 0:
        return f"CEL expression result is negative ({result.value()})"
    return None


def regex_problem(pattern: str) -> str | None:
    """Why RE2 (Envoy's engine, and CEL's) cannot take `pattern`; None when it can."""
    result = _regex().eval(data={"pattern": pattern})
    if result.type() == cel.Type.BOOL:
        return None
    return _first_line(result.value()).removeprefix("INVALID_ARGUMENT: ")


def _first_line(text: object) -> str:
    return str(text).splitlines()[0].removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ")
