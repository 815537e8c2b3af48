"""Unguessable texts, many per second: the kernel is asked for randomness once per 256 of them (2 µs each otherwise)."""

import os
from typing import Final

SIZE: Final = 12
"""Bytes of randomness per text: nobody guesses one of 10,000 that are valid at a time."""
_BATCH: Final = 256


class Tokens:
    """Each call gives a new text of 24 hex digits. Not shared between processes: make it after a fork."""

    __slots__ = ("_pool", "_position")

    def __init__(self) -> None:
        self._pool = b""
        self._position = 0

    def __call__(self) -> str:
        position = self._position
        if position == len(self._pool):
            self._pool = os.urandom(SIZE * _BATCH)
            position = 0
        self._position = position + SIZE
        return self._pool[position : position + SIZE].hex()
