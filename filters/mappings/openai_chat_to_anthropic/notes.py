"""What is found out on the way through a request and belongs beside its body."""

import re
from typing import Final

from filters.mappings.json_schema import Closed

MAX_NAME: Final = 100
"""Characters of a name that a client made up, as it is reported in a header."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.\[\]\-]")


class Notes:
    """Ordered, without repetitions."""

    __slots__ = ("betas", "dropped")

    def __init__(self) -> None:
        self.dropped: dict[str, None] = {}
        """members left out on purpose"""
        self.betas: dict[str, None] = {}
        """`anthropic-beta` flags that the content needs"""

    def drop(self, member: str) -> None:
        self.dropped[member] = None

    def drop_unknown(self, member: str) -> None:
        """`drop` for a name that comes from the request: what it holds ends up in a header."""
        self.dropped[_UNSAFE.sub("?", member[:MAX_NAME])] = None

    def loosen(self, member: str, schema: Closed) -> None:
        """Keywords of the schema `member` are told to the model, but not enforced."""
        for keyword in schema.loosened:
            self.drop(f"{member}.{keyword}")

    def need(self, beta: str) -> None:
        self.betas[beta] = None
