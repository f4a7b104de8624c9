"""What the C library does with large buffers that a process which serves has let go of: it keeps them.

glibc gives buffers of a block's size back to the kernel at once, and takes fresh pages for the next, which
the kernel has to clear. Keeping them makes sealing 1 MiB take 0.6 ms instead of 2.1 ms (docs/bench.md).
"""

from __future__ import annotations

import ctypes

_MIB = 1024 * 1024

_OPTIONS = {
    -1: 256 * _MIB,  # M_TRIM_THRESHOLD: what is free at the end goes back from here on
    -2: 16 * _MIB,  # M_TOP_PAD: what is taken beyond the need
    -3: 32 * _MIB,  # M_MMAP_THRESHOLD: the most that every glibc takes; no block is as large
}
"""mallopt(3), malloc.h."""


def keep_large_buffers() -> None:
    """Have this process's malloc keep them. Nothing where the C library has no mallopt(3)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _OPTIONS.items():
            mallopt(option, value)
