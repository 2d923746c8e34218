"""Limits the memory of a run: years of sessions take little more than a month. Measured by `bench/memory.py`."""

import ctypes
import gc
from functools import cache

_C_LIBRARY = ctypes.CDLL(None)
"""The C library of this process. glibc has `mallopt` and `malloc_trim`."""

_M_MMAP_THRESHOLD = -3
"""`M_MMAP_THRESHOLD` of glibc's malloc.h."""

_MMAP_THRESHOLD_BYTES = 256 * 1024
"""Allocations from this size on return to the system as soon as they are freed, however long the run lasts."""

_OBJECTS_BEFORE_COLLECTION = 50_000
_OBJECTS_OF_A_START = 500_000
"""More than the imports of a run create, which are 310,000: none of them is garbage."""


def collect_garbage_rarely() -> None:
    """Raise the threshold of garbage collection: scanning modules took a sixth of the time of importing them."""
    gc.set_threshold(_OBJECTS_OF_A_START)


@cache
def prepare_for_runs() -> None:
    """Exclude imported modules from garbage collection, and return large allocations to the system. Once per process."""
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    if hasattr(_C_LIBRARY, "mallopt"):
        _C_LIBRARY.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)


def return_freed_memory() -> None:
    """Return freed memory to the system: glibc keeps it in an arena per thread, and the arenas only grow."""
    if hasattr(_C_LIBRARY, "malloc_trim"):
        _C_LIBRARY.malloc_trim(0)
