"""Keeps the memory of an agent small: what is freed goes back to the system."""

from __future__ import annotations

import ctypes
import logging

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""mallopt(3), malloc.h of glibc."""
THRESHOLD_BYTES = 128 * 1024
ARENAS = 2


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
