"""HTTP headers as the data plane passes them around: ordered, duplicates kept, names lower case.

Values are `str` decoded as ISO-8859-1, so any byte that Envoy lets through survives a round trip (the codec encodes the
same way). Pseudo headers (`:path`, `:status`, …) are ordinary entries.
"""

from collections.abc import Iterable, Iterator


class Headers:
    """Read-only view of one header block. Built by the codec, once per message."""

    __slots__ = ("_index", "items")

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self.items: tuple[tuple[str, str], ...] = tuple(items)
        index = dict(self.items)
        if len(index) != len(self.items):
            index = {}
            for name, value in self.items:
                # RFC 9110 §5.2: several lines of one name are one list.
                index[name] = f"{index[name]}, {value}" if name in index else value
        self._index = index

    def get(self, name: str, default: str = "") -> str:
        """Value of `name` (lower case), several lines joined by `, `; `default` when absent."""
        return self._index.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and other.items == self.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        # Values can be credentials: only names are shown.
        return f"Headers({', '.join(self._index)})"
