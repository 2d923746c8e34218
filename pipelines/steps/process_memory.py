"""How a run treats its memory, so that years of sessions take little more of it than a month. Measured: `bench/memory.py`."""

import ctypes
import gc
from functools import cache

_C_LIBRARY = ctypes.CDLL(None)
"""What this process is linked to. `mallopt` and `malloc_trim` are there where it is glibc."""

_M_MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of glibc's malloc.h."""

_RETURNED_FROM = 256 * 1024
"""Bytes: an allocation of so many goes back to the system at once when it is freed, however long the run lasts."""

_OBJECTS_BEFORE_COLLECTION = 50_000


def collect_garbage_rarely() -> None:
    """Begin a program: looking for garbage among what it imports, which stays, took a tenth of a night's CPU."""
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)


@cache
def prepare_for_runs() -> None:
    """Leave what was imported by now out of garbage collection, and have large allocations returned. Once a process."""
    gc.freeze()
    if hasattr(_C_LIBRARY, "mallopt"):
        _C_LIBRARY.mallopt(_M_MMAP_THRESHOLD, _RETURNED_FROM)


def return_freed_memory() -> None:
    """Return to the system what is free by now: glibc keeps it, a share for each thread, and it only grows."""
    if hasattr(_C_LIBRARY, "malloc_trim"):
        _C_LIBRARY.malloc_trim(0)
