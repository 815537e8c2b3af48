"""How a rule is served (docs/architecture.md, "plans"): `single` when it does not matter which backend Envoy picks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from filters.contract.config import AwsCredential, Backend, Plan


@dataclass(frozen=True, slots=True)
class Choice:
    plan: Plan
    reason: str
    """one sentence, for `aigw explain` and status"""


def _signing_host(backend: Backend) -> str:
    return backend.host if isinstance(backend.credential, AwsCredential) else ""


_ASPECTS: Final[tuple[tuple[str, Callable[[Backend], object]], ...]] = (
    ("schema", lambda backend: backend.schema),
    ("model override", lambda backend: backend.model_override),
    ("credentials", lambda backend: backend.credential),
    ("signed host", _signing_host),
    ("header mutation", lambda backend: backend.header_mutation),
    ("body mutation", lambda backend: backend.body_mutation),
)
"""everything that makes the request to one backend differ from the request to another"""


def choose(backends: Sequence[Backend], *, user_filters: bool) -> Choice:
    """`backends` are the usable ones. `user_filters`: a filter of the user's runs after ours on some listener."""
    if user_filters and backends:
        return Choice(
            "attempt",
            "A filter runs after the AI filter: it must see the client's own request without credentials.",
        )
    if len(backends) < 2:
        return Choice("single", "One backend." if backends else "No usable backend: requests are answered with 503.")
    different = [name for name, aspect in _ASPECTS if len({aspect(backend) for backend in backends}) > 1]
    if different:
        return Choice("attempt", f"The {len(backends)} backends differ in: {', '.join(different)}.")
    return Choice("single", f"The {len(backends)} backends take the same request.")
