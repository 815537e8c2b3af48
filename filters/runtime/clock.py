"""Time, handed in by whoever starts the process."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    wall: Callable[[], float]
    """Unix seconds"""
    monotonic: Callable[[], float]
    """seconds, never backwards"""
