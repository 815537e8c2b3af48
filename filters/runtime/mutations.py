"""What a backend's owner changes on its requests: headers and top-level members of the JSON body.

Applied after translation and before credentials (observability chapter §13.5, §13.6). Remove first, then set.
"""

from collections.abc import Mapping, MutableMapping
from typing import Final

from filters.contract import jsonlib
from filters.contract.config import BodyMutation, HeaderMutation
from filters.contract.jsonlib import JsonError, Raw
from filters.runtime.errors import ConfigError

_PROTECTED: Final = frozenset({"x-envoy-original-path", "content-length", "transfer-encoding"})


def _open(name: str) -> bool:
    """Whether an owner may touch the header: not the pseudo headers, not ours, not the framing."""
    return not name.startswith((":", "x-ai-eg-")) and name not in _PROTECTED


class HeaderMutator:
    __slots__ = ("_remove", "_set")

    def __init__(self, mutation: HeaderMutation) -> None:
        self._remove = tuple(sorted({name.lower() for name in mutation.remove if _open(name.lower())}))
        self._set = {name.lower(): value for name, value in mutation.set if _open(name.lower())}

    def apply(self, headers: MutableMapping[str, str | None]) -> None:
        """`headers` are the changes so far: name → value to set, or None to remove."""
        for name in self._remove:
            headers[name] = None
        headers.update(self._set)


class BodyMutator:
    __slots__ = ("_remove", "_set")

    def __init__(self, mutation: BodyMutation, where: str) -> None:
        self._remove = frozenset(mutation.remove)
        self._set = {name: value.encode() for name, value in mutation.set if name}
        for name, value in self._set.items():
            try:
                jsonlib.members(b'{"v":' + value + b"}")
                jsonlib.decode(value, Raw)
            except JsonError as exc:
                raise ConfigError(f"{where}: bodyMutation.set[{name}]: the value is not JSON") from exc

    def __bool__(self) -> bool:
        return bool(self._remove or self._set)

    def apply(self, body: bytes, members: Mapping[str, Raw] | None = None) -> bytes:
        """`body`, a JSON object, with the changes made; every untouched byte is kept where nothing is removed.

        `members` are those of `body` when the caller has them. Raises JsonError when `body` is no object.
        """
        parsed = dict(jsonlib.members(body) if members is None else members)
        if not self._remove.isdisjoint(parsed):
            parsed = {name: value for name, value in parsed.items() if name not in self._remove}
            body = jsonlib.encode(parsed)
        for name, value in self._set.items():
            body = jsonlib.replace_member(body, parsed, name, value)
            parsed[name] = Raw(value)
        return body
