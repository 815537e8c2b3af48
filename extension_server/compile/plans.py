"""How a rule is served (docs/glossary.md, "plan"): `single` when it does not matter which backend Envoy picks."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from filters.contract.config import Backend, Plan


@dataclass(frozen=True, slots=True)
class Choice:
    plan: Plan
    reason: str
    """one sentence, for `aigw explain` and status"""


_ASPECTS: Final[tuple[tuple[str, Callable[[Backend], object]], ...]] = (
    ("schema", lambda backend: backend.schema),
    ("model override", lambda backend: backend.model_override),
    ("credentials", lambda backend: backend.credential),
    ("header mutation", lambda backend: backend.header_mutation),
    ("body mutation", lambda backend: backend.body_mutation),
)
"""everything that makes the request to one backend differ from the request to another"""


_CHANGED_BY_TRANSLATION: Final = frozenset(
    {"accept", "accept-encoding", "api-key", "authorization", "content-encoding", "content-length", "content-type"}
    | {"host", "transfer-encoding", "x-api-key", "x-goog-api-key"}
)
"""Request headers that providers' translators and credentials set or remove, with the families below."""
_CHANGED_FAMILIES: Final = ("anthropic-", "openai-", "x-amz-")


def _changes(name: str, backend: Backend) -> bool:
    """Whether the request to the backend may carry another value of that header than the client's."""
    mutation = backend.header_mutation
    return (
        name in _CHANGED_BY_TRANSLATION
        or name.startswith(_CHANGED_FAMILIES)
        or name in mutation.remove
        or any(name == set_ for set_, _ in mutation.set)
    )


def choose(
    backends: Sequence[Backend], *, user_filters: bool, matched: Collection[str] = (), signing: Collection[str] = ()
) -> Choice:
    """`backends` are the usable ones. `user_filters`: a filter of the user's runs after ours on some listener.
    `matched`: names of the headers that the rule's matches read, in lower case. `signing`: identities of credentials
    that requests are signed with, for one host.

    Envoy matches once more after the reply of plan `single`, which carries all changes at once: a match on a header
    that changes would fail. The listener level of plan `attempt` changes none.
    """
    if user_filters and backends:
        return Choice(
            "attempt",
            "A filter runs after the AI filter: it must see the client's own request without credentials.",
        )
    changed = sorted({name for name in matched for backend in backends if _changes(name, backend)})
    if changed:
        return Choice("attempt", f"A match reads what the request to the backend changes: {', '.join(changed)}.")
    if len(backends) < 2:
        return Choice("single", "One backend." if backends else "No usable backend: requests are answered with 503.")
    different = [name for name, aspect in _ASPECTS if len({aspect(backend) for backend in backends}) > 1]
    if len({backend.host for backend in backends if backend.credential in signing}) > 1:
        different.append("signed host")
    if different:
        return Choice("attempt", f"The {len(backends)} backends differ in: {', '.join(different)}.")
    return Choice("single", f"The {len(backends)} backends take the same request.")
