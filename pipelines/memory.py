"""How a run treats its memory, so that years of sessions take no more of it than a month. Measured: `bench/memory.py`."""

import ctypes
import gc
from functools import cache

_GLIBC = ctypes.CDLL(None)
"""What this process links to: has these two functions where the C library is glibc."""

_M_MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of glibc's malloc.h."""

_RETURNED_FROM = 256 * 1024
"""Bytes: an allocation of so many goes back to the system at once when it is freed, however long the run lasts."""

_LOOKED_THROUGH_AFTER = 50_000
"""Objects made before Python looks for garbage: most of them are modules', and stay."""


def hurry() -> None:
    """Begin a program: looking for garbage among what it imports took a tenth of a night's CPU."""
    gc.set_threshold(_LOOKED_THROUGH_AFTER)


@cache
def settle() -> None:
    """Begin a process's first run: what was imported by now stays, and is not looked through again; what comes is given back."""
    gc.freeze()
    if hasattr(_GLIBC, "mallopt"):
        _GLIBC.mallopt(_M_MMAP_THRESHOLD, _RETURNED_FROM)


def give_back() -> None:
    """Return to the system what is free by now: glibc keeps it, a share for each thread, and it only grows."""
    if hasattr(_GLIBC, "malloc_trim"):
        _GLIBC.malloc_trim(0)
