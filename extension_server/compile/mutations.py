"""Header and body mutation of one backendRef: the route's over the AIServiceBackend's (observability chapter §13.5)."""

from dataclasses import dataclass
from typing import Final

from extension_server.api.aigateway import HTTPBodyMutation, HTTPHeaderMutation
from filters.contract import jsonlib
from filters.contract.config import BodyMutation, HeaderMutation

_RESERVED: Final = (":", "x-ai-eg-")
_RESERVED_NAMES: Final = frozenset({"x-envoy-original-path", "content-length", "transfer-encoding"})
_any = jsonlib.decoder(jsonlib.Raw)


@dataclass(frozen=True, slots=True)
class Headers:
    mutation: HeaderMutation
    reserved: tuple[str, ...]
    """names that were asked for and left out, because they are the gateway's own"""


def headers(route: HTTPHeaderMutation | None, backend: HTTPHeaderMutation | None) -> Headers:
    """Names in lower case; the route's value wins; both sides' removals hold."""
    wanted: dict[str, str] = {}
    removed: set[str] = set()
    for mutation in (backend, route):
        if mutation is not None:
            wanted.update((header.name.lower(), header.value) for header in mutation.set)
            removed.update(name.lower() for name in mutation.remove)
    own = {name for name in (*wanted, *removed) if _is_reserved(name)}
    return Headers(
        HeaderMutation(
            set=tuple(sorted((name, value) for name, value in wanted.items() if name not in own)),
            remove=tuple(sorted(removed - own)),
        ),
        tuple(sorted(own)),
    )


def _is_reserved(name: str) -> bool:
    return name.startswith(_RESERVED) or name in _RESERVED_NAMES


def body(route: HTTPBodyMutation | None, backend: HTTPBodyMutation | None) -> BodyMutation:
    """Top-level members; the route's value wins; values are JSON texts, whatever they were written as."""
    wanted: dict[str, str] = {}
    removed: set[str] = set()
    for mutation in (backend, route):
        if mutation is not None:
            wanted.update((field.path, json_text(field.value)) for field in mutation.set)
            removed.update(mutation.remove)
    return BodyMutation(set=tuple(sorted(wanted.items())), remove=tuple(sorted(removed)))


def json_text(value: str) -> str:
    """`value` itself when it is JSON, else `value` as a JSON string: `3` stays a number, `1.2.3` becomes text."""
    try:
        _any(value.encode())
    except jsonlib.JsonError:
        return jsonlib.encode(value).decode()
    return value.strip()
