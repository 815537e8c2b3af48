"""A string that must not be seen: it prints as `[redacted]` everywhere except where it is used."""

from typing import Final

REDACTED: Final = "[redacted]"


class Secret:
    """Wraps one secret text. `reveal()` is the only way to read it; search for it to audit every use."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(REDACTED, spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)
