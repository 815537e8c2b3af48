"""How memory is allocated and collected. Called once, when the process starts."""

import ctypes
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""malloc.h of glibc"""
MMAP_THRESHOLD: Final = 32 * 1024 * 1024
"""the most that glibc takes"""
TRIM_THRESHOLD: Final = 64 * 1024 * 1024
"""Bytes of free memory that the process may keep."""

YOUNG: Final = 50_000
"""Objects that have come since the last collection before there is another."""


def collect_rarely() -> None:
    """A translation of 2,000 routes makes ten thousand objects, none of them in a cycle, beside as many that stay: with
    the default of 700, a quarter of its time went into collections that found nothing."""
    gc.set_threshold(YOUNG, 20, 50)


def keep_large_blocks() -> None:
    """The messages of Envoy Gateway's hooks are megabytes, and copied several times on their way. By default glibc maps
    each such block anew and gives it back, and every page of it is a page fault: at 2,000 routes, 8 of 30 ms. Without
    effect where the C library is another."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD)
