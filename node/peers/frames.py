"""The body of an answer to `GET /b/...`: frames, so that a waiting reader knows its owner lives.

0x00                        still fetching; sent at once and then every KEEP_ALIVE_INTERVAL_S seconds
0x01 length(u32 BE) bytes   the block; the last frame
0x02                        not here; the last frame
0x03                        not known, something failed; the last frame
"""

from __future__ import annotations

PROGRESS = b"\x00"
FOUND = b"\x01"
NOT_FOUND = b"\x02"
FAILED = b"\x03"

KEEP_ALIVE_INTERVAL_S = 0.1
"""Seconds between signs of life while fetching."""

MAX_PROGRESS_FRAMES = 1200
"""Signs of life in one answer: two minutes' worth. A peer that sends more is flooding us."""


def held(size: int) -> bytes:
    """Return what goes before a block of *size* bytes."""
    return FOUND + size.to_bytes(4)
