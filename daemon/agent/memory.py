"""Keeps the memory of an agent small: what is freed goes back to the system."""

from __future__ import annotations

import ctypes
import gc
import logging
import time
from pathlib import Path

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""mallopt(3), malloc.h of glibc."""
_MADV_DONTNEED = 4
THRESHOLD_BYTES = 128 * 1024
ARENAS = 2
FIRST_TIDY_S, TIDY_EVERY_S = 3.0, 300.0


def spare() -> None:
    """Tells glibc's malloc to give back what is freed, and to share its arenas between threads; other C libraries go without.

    By itself it takes every large block that is freed as a reason to keep larger ones (up to 32 MiB), and makes eight arenas
    for each core: after its detectors were fitted a process stays at the most it has ever used.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        log.debug("no mallopt: memory that was freed may stay with the process")
        return
    for option, value in ((_M_MMAP_THRESHOLD, THRESHOLD_BYTES), (_M_TRIM_THRESHOLD, THRESHOLD_BYTES), (_M_ARENA_MAX, ARENAS)):
        mallopt(option, value)


class Tidier:
    """Gives back, now and then, what is free within the heap: what was needed to start, or to fit a detector."""

    def __init__(self) -> None:
        self._due_s = time.monotonic() + FIRST_TIDY_S

    def tidy(self) -> None:
        """Does it where it is due; takes some milliseconds then."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + TIDY_EVERY_S
        gc.collect()
        try:
            library = ctypes.CDLL(None)
            library.malloc_trim(0)
            _let_go_of_code(library)
        except (OSError, AttributeError):  # another system: nothing to be gained here
            self._due_s = float("inf")


def _let_go_of_code(library: ctypes.CDLL) -> None:
    """Takes the code of shared libraries out of the process that was needed once, to load and to set up. Raises OSError.

    Pages of code are the file's own and never written, so that what is needed again is mapped again from the system's cache at
    its next use (madvise(2), MADV_DONTNEED on a private mapping of a file). Data are left alone: they hold relocations.
    """
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        addresses, permissions, *_, path = line.split(maxsplit=5)
        if permissions == "r-xp" and ".so" in path:
            start, end = (int(address, 16) for address in addresses.split("-"))
            library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
